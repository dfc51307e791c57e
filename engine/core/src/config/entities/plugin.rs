//! Instances of plugins.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::{Entity, Kind};
use crate::phases::order::Ordering;
use crate::router::Reference;

/// An instance of a plugin.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PluginSpec {
    /// Id.
    pub id: String,
    /// The kind of plugin.
    pub name: String,
    /// The user's name for the instance.
    pub instance_name: Option<String>,
    /// Complete configuration of the kind.
    pub config: Value,
    /// `false` behaves as if the instance did not exist.
    pub enabled: bool,
    /// Request protocols that it applies to.
    pub protocols: Vec<String>,
    /// Only for requests of this service.
    pub service: Option<Reference>,
    /// Only for requests of this route.
    pub route: Option<Reference>,
    /// Only for requests of this consumer.
    pub consumer: Option<Reference>,
    /// Only for requests of consumers in this group.
    pub consumer_group: Option<Reference>,
    /// Its place in the access phase, where that is not the kind's.
    #[serde(default)]
    pub ordering: Option<Ordering>,
    #[serde(rename = "partials", default)]
    _partials: Option<IgnoredAny>,
    #[serde(rename = "condition", default)]
    _condition: Option<IgnoredAny>,
    #[serde(rename = "tags", default)]
    _tags: Option<IgnoredAny>,
    #[serde(rename = "created_at", default)]
    _created_at: Option<IgnoredAny>,
    #[serde(rename = "updated_at", default)]
    _updated_at: Option<IgnoredAny>,
}

impl Entity for PluginSpec {
    fn id(&self) -> &str {
        &self.id
    }

    fn name(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn references(&self, visit: &mut dyn FnMut(&str, Kind, &str)) {
        let scopes = [
            ("service.id", Kind::Service, &self.service),
            ("route.id", Kind::Route, &self.route),
            ("consumer.id", Kind::Consumer, &self.consumer),
            ("consumer_group.id", Kind::ConsumerGroup, &self.consumer_group),
        ];
        for (field, kind, scope) in scopes {
            if let Some(reference) = scope {
                visit(field, kind, &reference.id);
            }
        }
    }
}
