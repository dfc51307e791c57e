//! The way to a service: its address, the connection, and the connections that are kept.

pub mod connect;
pub mod multiplex;
pub mod pool;
pub mod resolve;
pub mod tls;
