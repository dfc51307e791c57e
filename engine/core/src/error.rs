//! Why a configuration was refused.

use std::fmt;

use serde::Serialize;

/// One reason why an entity of a configuration update was refused.
///
/// A refused update changes nothing: the tenant keeps the configuration that it had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConfigError {
    /// Kind of the entity, singular: `service`, `route`, `plugin`, `consumer`, or `control_plane` for the update itself.
    pub entity: String,
    /// The entity's id; empty if it has none that could be read.
    pub id: String,
    /// The entity's name, if it has one.
    pub name: Option<String>,
    /// Dotted path of the field within the entity, such as `config.add.headers`; `None` for the entity as a whole.
    pub field: Option<String>,
    /// What is wrong, for the user.
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.entity, self.name.as_deref().unwrap_or(&self.id))?;
        if let Some(field) = &self.field {
            write!(f, ": {field}")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for ConfigError {}

/// A refusal by a plugin's own compiler, which does not know which entity it compiles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// Dotted path below the plugin's `config`, such as `add.headers`; `None` for the configuration as a whole.
    pub field: Option<String>,
    /// What is wrong, for the user.
    pub message: String,
}

impl FieldError {
    /// An error of one field below `config`.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: Some(field.into()), message: message.into() }
    }

    /// An error of the configuration as a whole.
    pub fn whole(message: impl Into<String>) -> Self {
        Self { field: None, message: message.into() }
    }
}
