//! Services.

use serde::{Deserialize, Serialize};

use super::{Entity, Kind};
use crate::logs::entity::seconds;
use crate::router::Reference;

/// A backend of a tenant.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
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
    /// Authorities that may stand between the upstream's certificate and a root; `None` sets no bound.
    pub tls_verify_depth: Option<u32>,
    /// Roots other than the platform's.
    pub ca_certificates: Option<Vec<String>>,
    /// Names accepted in the upstream's certificate besides its host's.
    pub tls_sans: Option<TlsSansSpec>,
    /// `false` takes the service's routes out of the router.
    pub enabled: bool,
    /// The user's own labels.
    #[serde(default)]
    pub tags: Option<Vec<String>>,
    /// Seconds since the epoch.
    #[serde(default, serialize_with = "seconds")]
    pub created_at: Option<f64>,
    /// Seconds since the epoch.
    #[serde(default, serialize_with = "seconds")]
    pub updated_at: Option<f64>,
}

/// Names in certificates.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsSansSpec {
    /// Host names.
    pub dnsnames: Option<Vec<String>>,
    /// URIs.
    pub uris: Option<Vec<String>>,
}

impl Entity for ServiceSpec {
    fn id(&self) -> &str {
        &self.id
    }

    fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    fn references(&self, visit: &mut dyn FnMut(&str, Kind, &str)) {
        if let Some(certificate) = &self.client_certificate {
            visit("client_certificate.id", Kind::Certificate, &certificate.id);
        }
        for (index, id) in self.ca_certificates.iter().flatten().enumerate() {
            visit(&format!("ca_certificates[{index}]"), Kind::CaCertificate, id);
        }
    }
}
