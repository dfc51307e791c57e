//! Groups of consumers.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Entity, Kind};

/// A group of consumers.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsumerGroupSpec {
    /// Id.
    pub id: String,
    /// Unique name.
    pub name: String,
    #[serde(rename = "tags", default)]
    _tags: Option<IgnoredAny>,
    #[serde(rename = "created_at", default)]
    _created_at: Option<IgnoredAny>,
    #[serde(rename = "updated_at", default)]
    _updated_at: Option<IgnoredAny>,
}

impl Entity for ConsumerGroupSpec {
    fn id(&self) -> &str {
        &self.id
    }

    fn name(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn references(&self, _: &mut dyn FnMut(&str, Kind, &str)) {}
}
