//! Which consumer is in which group.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Entity, Kind};
use crate::router::Reference;

/// One consumer in one group.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsumerGroupMemberSpec {
    /// Id.
    pub id: String,
    /// The member.
    pub consumer: Reference,
    /// The group.
    pub consumer_group: Reference,
    #[serde(rename = "tags", default)]
    _tags: Option<IgnoredAny>,
    #[serde(rename = "created_at", default)]
    _created_at: Option<IgnoredAny>,
    #[serde(rename = "updated_at", default)]
    _updated_at: Option<IgnoredAny>,
}

impl Entity for ConsumerGroupMemberSpec {
    fn id(&self) -> &str {
        &self.id
    }

    fn name(&self) -> Option<&str> {
        None
    }

    fn references(&self, visit: &mut dyn FnMut(&str, Kind, &str)) {
        visit("consumer.id", Kind::Consumer, &self.consumer.id);
        visit("consumer_group.id", Kind::ConsumerGroup, &self.consumer_group.id);
    }
}
