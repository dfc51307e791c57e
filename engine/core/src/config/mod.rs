//! From the control plane's entities to what requests are served from.

pub mod compile;
pub mod entities;
pub mod protocol;
pub mod store;
pub mod tenant;
pub mod update;
