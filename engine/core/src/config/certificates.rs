//! The certificates of a tenant by the server names that they are shown for.

use std::collections::HashMap;
use std::sync::Arc;

use super::entities::{EntitySet, Kind};
use crate::error::{ConfigError, FieldError};
use crate::tls::certificate::Certificate;

/// Server name → certificate, for one tenant.
#[derive(Debug, Default)]
pub struct Certificates(HashMap<Box<str>, Arc<Certificate>>);

impl Certificates {
    /// Reads all certificates and connects the names with them.
    pub(crate) fn compile(entities: &EntitySet, errors: &mut Vec<ConfigError>) -> Self {
        let mut refuse = |kind: Kind, id: &str, found: &FieldError| {
            errors.push(ConfigError {
                entity: kind.singular().into(),
                id: id.into(),
                name: None,
                field: found.field.clone(),
                message: found.message.clone(),
            });
        };
        for spec in entities.certificates.values() {
            for found in spec.certificate().err().unwrap_or_default() {
                refuse(Kind::Certificate, &spec.id, found);
            }
        }
        for spec in entities.ca_certificates.values() {
            if let Err(found) = spec.certificate() {
                refuse(Kind::CaCertificate, &spec.id, found);
            }
        }
        let mut names = HashMap::new();
        for spec in entities.snis.values() {
            if let Some(Ok(certificate)) =
                entities.certificates.get(spec.certificate.id.as_str()).map(|found| found.certificate())
            {
                names.insert(spec.name.trim_end_matches('.').to_ascii_lowercase().into(), certificate.clone());
            }
        }
        Self(names)
    }

    /// The certificate for a server name (lower case): that of the name itself, else of the name with `*` for its first
    /// label, else of the first label with `*` for the rest, else of `*`, which is also for clients that name no server.
    #[must_use]
    pub fn find(&self, name: Option<&str>) -> Option<&Arc<Certificate>> {
        if self.0.is_empty() {
            return None;
        }
        let named = name.and_then(|name| {
            self.0.get(name).or_else(|| {
                let (first, rest) = name.split_once('.')?;
                self.0.get(format!("*.{rest}").as_str()).or_else(|| self.0.get(format!("{first}.*").as_str()))
            })
        });
        named.or_else(|| self.0.get("*"))
    }
}
