//! Records of requests, and getting them to whoever keeps them.
//!
//! - [`account`]: what is noted of an exchange while it is served, if a plugin of its chain logs.
//! - [`record`]: the one document that all plugins send, written once per request.
//! - [`files`]: where records are written to on the gateway itself.
//! - [`queue`]: what waits to be delivered, and [`sender`], which delivers it.

pub(crate) mod account;
pub(crate) mod entity;
pub mod files;
pub(crate) mod json;
pub(crate) mod queue;
mod record;
pub(crate) mod sender;

pub use account::Account;
pub use entity::Logged;
