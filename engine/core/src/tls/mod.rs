//! TLS: certificates with their keys, and what clients of a tenant are shown. TLS towards upstreams is
//! [`crate::upstream::tls`].

pub mod certificate;
pub mod secret;
pub mod server;
mod tickets;
