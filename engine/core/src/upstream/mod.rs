//! The way to a service: its address, the connection, and the connections that are kept.

pub mod balancer;
pub mod connect;
pub mod destination;
pub mod dns;
pub mod health;
pub mod kept;
pub mod multiplex;
pub mod pool;
pub mod pulse;
pub mod resolve;
pub mod tls;
