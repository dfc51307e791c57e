//! Certificates.

use std::sync::{Arc, OnceLock};

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Entity, Kind};
use crate::error::FieldError;
use crate::tls::certificate::Certificate;
use crate::tls::secret::Secret;

/// A certificate with its key.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateSpec {
    /// Id.
    pub id: String,
    /// The chain as PEM, own certificate first.
    cert: String,
    /// The private key as PEM.
    key: Secret,
    /// The same for another type of key.
    cert_alt: Option<String>,
    /// The other key.
    key_alt: Option<Secret>,
    #[serde(rename = "snis", default)]
    _snis: Option<IgnoredAny>,
    #[serde(rename = "tags", default)]
    _tags: Option<IgnoredAny>,
    #[serde(rename = "created_at", default)]
    _created_at: Option<IgnoredAny>,
    #[serde(rename = "updated_at", default)]
    _updated_at: Option<IgnoredAny>,
    #[serde(skip)]
    read: OnceLock<Result<Arc<Certificate>, Vec<FieldError>>>,
}

impl CertificateSpec {
    /// What the text says. It is read once, however many versions of the configuration have the certificate.
    ///
    /// # Errors
    /// What is wrong, by field.
    pub fn certificate(&self) -> Result<&Arc<Certificate>, &[FieldError]> {
        let read = || {
            let alternative = match (&self.cert_alt, &self.key_alt) {
                (Some(cert), Some(key)) => Some((cert.as_str(), key)),
                (None, None) => None,
                (Some(_), None) => return Err(vec![FieldError::new("key_alt", "required with cert_alt")]),
                (None, Some(_)) => return Err(vec![FieldError::new("cert_alt", "required with key_alt")]),
            };
            Certificate::new(&self.cert, &self.key, alternative).map(Arc::new)
        };
        self.read.get_or_init(read).as_ref().map_err(Vec::as_slice)
    }
}

impl PartialEq for CertificateSpec {
    fn eq(&self, other: &Self) -> bool {
        (&self.id, &self.cert, &self.key, &self.cert_alt, &self.key_alt)
            == (&other.id, &other.cert, &other.key, &other.cert_alt, &other.key_alt)
    }
}

impl Entity for CertificateSpec {
    fn id(&self) -> &str {
        &self.id
    }

    fn name(&self) -> Option<&str> {
        None
    }

    fn references(&self, _: &mut dyn FnMut(&str, Kind, &str)) {}
}
