//! Services.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Entity, Kind};
use crate::router::Reference;

/// A backend of a tenant.
#[derive(Debug, Clone, PartialEq, Deserialize)]
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

impl Entity for ServiceSpec {
    fn id(&self) -> &str {
        &self.id
    }

    fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    fn references(&self, _: &mut dyn FnMut(&str, Kind, &str)) {}
}
