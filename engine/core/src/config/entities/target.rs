//! Targets.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Entity, Kind};
use crate::router::Reference;

/// A backend of an upstream.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetSpec {
    /// Id.
    pub id: String,
    /// The upstream.
    pub upstream: Reference,
    /// `host:port`; without a port 8000 is meant.
    pub target: String,
    /// Share of the requests; 0 keeps it out of rotation.
    pub weight: Option<u32>,
    /// Whether it is used only when no other target is healthy.
    pub failover: Option<bool>,
    #[serde(rename = "tags", default)]
    _tags: Option<IgnoredAny>,
    #[serde(rename = "created_at", default)]
    _created_at: Option<IgnoredAny>,
    #[serde(rename = "updated_at", default)]
    _updated_at: Option<IgnoredAny>,
}

impl Entity for TargetSpec {
    fn id(&self) -> &str {
        &self.id
    }

    fn name(&self) -> Option<&str> {
        Some(&self.target)
    }

    fn references(&self, visit: &mut dyn FnMut(&str, Kind, &str)) {
        visit("upstream.id", Kind::Upstream, &self.upstream.id);
    }
}
