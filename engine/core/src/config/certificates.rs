//! The certificates of a tenant by the server names that they are shown for.

use std::collections::BTreeSet;
use std::sync::Arc;

use imbl::OrdMap;

use super::compile::Input;
use super::entities::{Kind, SniSpec};
use crate::error::{ConfigError, FieldError};
use crate::tls::certificate::Certificate;

/// Server name → certificate, for one tenant. Persistent: a copy costs nothing.
#[derive(Debug, Clone, Default)]
pub struct Certificates(OrdMap<Box<str>, Arc<Certificate>>);

impl Certificates {
    /// Reads the certificates that changed and connects the names that changed, or whose certificates did.
    pub(super) fn update(&mut self, input: &Input<'_>, errors: &mut Vec<ConfigError>) {
        let (entities, changes) = (input.entities, input.changes);
        let mut refuse = |kind: Kind, id: &str, found: &FieldError| {
            errors.push(ConfigError {
                entity: kind.singular().into(),
                id: id.into(),
                name: None,
                field: found.field.clone(),
                message: found.message.clone(),
            });
        };
        let mut stale: BTreeSet<_> = changes.snis.keys().cloned().collect();
        for (id, change) in &changes.certificates {
            stale.extend(entities.referrers.of(Kind::Certificate, id, Kind::Sni).cloned());
            for found in change.after.iter().flat_map(|spec| spec.certificate().err().unwrap_or_default()) {
                refuse(Kind::Certificate, id, found);
            }
        }
        for (id, change) in &changes.ca_certificates {
            if let Some(Err(found)) = change.after.as_ref().map(|spec| spec.certificate()) {
                refuse(Kind::CaCertificate, id, found);
            }
        }
        // All names that go, go first: one may have been handed on.
        for spec in changes.snis.values().filter_map(|change| change.before.as_ref()) {
            self.0.remove(name_of(spec).as_str());
        }
        for spec in stale.iter().filter_map(|id| entities.snis.get(id)) {
            let certificate = entities.certificates.get(spec.certificate.id.as_str());
            if let Some(Ok(certificate)) = certificate.map(|found| found.certificate()) {
                self.0.insert(name_of(spec).into(), certificate.clone());
            }
        }
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

fn name_of(spec: &SniSpec) -> String {
    spec.name.trim_end_matches('.').to_ascii_lowercase()
}
