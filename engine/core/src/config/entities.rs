//! Entities as they come from the control plane: complete, with defaults filled in. Routes live with the router.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::router::Reference;

/// A backend of a tenant.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceSpec {
    /// Id.
    pub id: String,
    /// Unique name.
    pub name: Option<String>,
    /// What it speaks; requests to services of unknown protocols are answered with 503.
    pub protocol: String,
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Prefix of all upstream paths.
    pub path: Option<String>,
    /// Tries after the first one.
    pub retries: u32,
    /// Milliseconds.
    pub connect_timeout: u64,
    /// Milliseconds between two writes.
    pub write_timeout: u64,
    /// Milliseconds between two reads.
    pub read_timeout: u64,
    /// Certificate shown to the upstream.
    pub client_certificate: Option<Reference>,
    /// Whether the upstream's certificate is verified; `None` means yes.
    pub tls_verify: Option<bool>,
    /// Longest accepted chain.
    pub tls_verify_depth: Option<u32>,
    /// Roots other than the platform's.
    pub ca_certificates: Option<Vec<String>>,
    /// `false` takes the service's routes out of the router.
    pub enabled: bool,
    #[serde(rename = "tls_sans", default)]
    _tls_sans: Option<IgnoredAny>,
    #[serde(rename = "tags", default)]
    _tags: Option<IgnoredAny>,
    #[serde(rename = "created_at", default)]
    _created_at: Option<IgnoredAny>,
    #[serde(rename = "updated_at", default)]
    _updated_at: Option<IgnoredAny>,
}

/// An instance of a plugin.
#[derive(Debug, Clone, Deserialize)]
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
    #[serde(rename = "ordering", default)]
    _ordering: Option<IgnoredAny>,
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

/// A consumer.
#[derive(Debug, Clone, Deserialize)]
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
