//! Groups of consumers for the plugin `acl`; other than consumer groups they have nothing but a name.

use serde::Deserialize;

use super::{Entity, Kind};
use crate::router::Reference;

/// A group that a consumer belongs to.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AclSpec {
    /// Id.
    pub id: String,
    /// The member.
    pub consumer: Reference,
    /// Name of the group; once per consumer.
    pub group: String,
}

impl Entity for AclSpec {
    fn id(&self) -> &str {
        &self.id
    }

    fn name(&self) -> Option<&str> {
        Some(&self.group)
    }

    fn references(&self, visit: &mut dyn FnMut(&str, Kind, &str)) {
        visit("consumer.id", Kind::Consumer, &self.consumer.id);
    }
}
