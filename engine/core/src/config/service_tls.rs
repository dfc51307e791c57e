//! How TLS is spoken with a service.

use std::sync::Arc;

use super::entities::{EntitySet, ServiceSpec};
use crate::router::Reference;
use crate::upstream::tls::{Roots, TlsPolicy, Verification, server_name};

/// The policy of a service; `fallback` is the client certificate of its upstream, for a service that has none itself.
/// Entities that cannot be read are left out: they are reported themselves, and nothing is installed then.
pub fn policy(spec: &ServiceSpec, entities: &EntitySet, fallback: Option<&Reference>) -> Arc<TlsPolicy> {
    let certificate = spec.client_certificate.as_ref().or(fallback);
    let certificate = certificate.and_then(|reference| entities.certificates.get(reference.id.as_str()));
    let certificate = certificate.and_then(|spec| spec.certificate().ok().cloned());
    if spec.tls_verify == Some(false) {
        return Arc::new(TlsPolicy::new(Verification::Off, certificate));
    }
    let authorities = spec.ca_certificates.as_deref().filter(|ids| !ids.is_empty()).map(|ids| {
        let known = ids.iter().filter_map(|id| entities.ca_certificates.get(id.as_str()));
        known.filter_map(|spec| spec.certificate().ok().cloned()).collect()
    });
    let sans = spec.tls_sans.clone().unwrap_or_default();
    let roots = Roots {
        own: authorities,
        depth: spec.tls_verify_depth,
        // What is no name is in no certificate.
        names: sans.dnsnames.iter().flatten().filter_map(|name| server_name(name.as_bytes())).collect(),
        uris: sans.uris.unwrap_or_default(),
    };
    Arc::new(TlsPolicy::new(Verification::On(roots), certificate))
}
