//! Certificate authorities.

use std::sync::OnceLock;

use rustls::pki_types::CertificateDer;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Entity, Kind};
use crate::error::FieldError;
use crate::tls::certificate::chain;

/// An authority that upstreams' certificates may lead to.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaCertificateSpec {
    /// Id.
    pub id: String,
    /// Its own certificate as PEM.
    cert: String,
    #[serde(rename = "cert_digest", default)]
    _cert_digest: Option<IgnoredAny>,
    #[serde(rename = "tags", default)]
    _tags: Option<IgnoredAny>,
    #[serde(rename = "created_at", default)]
    _created_at: Option<IgnoredAny>,
    #[serde(rename = "updated_at", default)]
    _updated_at: Option<IgnoredAny>,
    #[serde(skip)]
    read: OnceLock<Result<CertificateDer<'static>, FieldError>>,
}

impl CaCertificateSpec {
    /// What the text says; read once.
    ///
    /// # Errors
    /// What is wrong with the field `cert`.
    pub fn certificate(&self) -> Result<&CertificateDer<'static>, &FieldError> {
        let read = || match chain(&self.cert).as_deref() {
            Ok([only]) if webpki::anchor_from_trusted_cert(only).is_ok() => Ok(only.clone()),
            Ok([_, _, ..]) => Err(FieldError::new("cert", "must be one certificate")),
            _ => Err(FieldError::new("cert", "invalid certificate")),
        };
        self.read.get_or_init(read).as_ref()
    }
}

impl PartialEq for CaCertificateSpec {
    fn eq(&self, other: &Self) -> bool {
        (&self.id, &self.cert) == (&other.id, &other.cert)
    }
}

impl Entity for CaCertificateSpec {
    fn id(&self) -> &str {
        &self.id
    }

    fn name(&self) -> Option<&str> {
        None
    }

    fn references(&self, _: &mut dyn FnMut(&str, Kind, &str)) {}
}
