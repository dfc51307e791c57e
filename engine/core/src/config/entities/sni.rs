//! Server names of certificates.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Entity, Kind};
use crate::router::Reference;

/// A server name that a certificate is shown for.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SniSpec {
    /// Id.
    pub id: String,
    /// A name, `*.rest`, `first.*`, or `*` for all others.
    pub name: String,
    /// The certificate.
    pub certificate: Reference,
    #[serde(rename = "tags", default)]
    _tags: Option<IgnoredAny>,
    #[serde(rename = "created_at", default)]
    _created_at: Option<IgnoredAny>,
    #[serde(rename = "updated_at", default)]
    _updated_at: Option<IgnoredAny>,
}

impl Entity for SniSpec {
    fn id(&self) -> &str {
        &self.id
    }

    fn name(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn references(&self, visit: &mut dyn FnMut(&str, Kind, &str)) {
        visit("certificate.id", Kind::Certificate, &self.certificate.id);
    }
}
