//! Sockets, buffers and timers, as the protocol code uses them.

pub mod address;
pub mod buffer;
pub mod deadline;
pub mod io;
pub mod listen;
pub mod proxy_protocol;
pub mod stream;
