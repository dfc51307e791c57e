//! The plugins that this engine knows: one line each, and the only look-up by name.

mod request_transformer;

use std::sync::Arc;

use serde_json::Value;

use crate::error::FieldError;
use crate::phases::Plugin;

/// An instance, or everything that is wrong with its configuration.
pub type Compiled = Result<Arc<dyn Plugin>, Vec<FieldError>>;

/// What the engine needs to know of a kind of plugin before it has a configuration.
#[derive(Debug, Clone, Copy)]
pub struct Registration {
    /// The name in the configuration, kebab-case.
    pub name: &'static str,
    /// Higher runs earlier.
    pub priority: i32,
    /// Compiles a complete `config` (defaults filled in by the control plane) into an instance.
    pub compile: fn(Value) -> Compiled,
}

/// Every plugin, one line each.
pub const REGISTRY: &[Registration] = &[request_transformer::REGISTRATION];

/// The registration of a plugin name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Registration> {
    REGISTRY.iter().find(|known| known.name == name)
}
