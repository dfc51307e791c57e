//! Consumers.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Entity, Kind};

/// A consumer.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsumerSpec {
    /// Id.
    pub id: String,
    /// Unique name.
    pub username: Option<String>,
    /// The user's own id.
    pub custom_id: Option<String>,
    #[serde(rename = "tags", default)]
    _tags: Option<IgnoredAny>,
    #[serde(rename = "created_at", default)]
    _created_at: Option<IgnoredAny>,
    #[serde(rename = "updated_at", default)]
    _updated_at: Option<IgnoredAny>,
}

impl Entity for ConsumerSpec {
    fn id(&self) -> &str {
        &self.id
    }

    fn name(&self) -> Option<&str> {
        self.username.as_deref()
    }

    fn references(&self, _: &mut dyn FnMut(&str, Kind, &str)) {}
}
