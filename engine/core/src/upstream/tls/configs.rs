//! The configurations that connections are made with.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::ring;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, SignatureScheme};

use super::policy::TlsPolicy;
use super::verifier::Verifier;
use crate::tls::certificate::Certificate;

/// Configurations in each of two generations.
const MOST: usize = 512;
/// Sessions kept for resumption per configuration.
const SESSIONS: usize = 64;

type Key = (u64, [u8; 32]);

/// One configuration per tenant and policy. It holds the sessions that can be resumed, so it is shared by everything
/// that may resume them, and by nothing else: a session of one tenant is no other's, and none outlives the policy by
/// which its upstream was verified. Asked for once per new connection; what is not asked for any more makes room.
#[derive(Debug, Default)]
pub struct ClientConfigs {
    generations: Mutex<[HashMap<Key, Arc<ClientConfig>>; 2]>,
}

impl ClientConfigs {
    /// The configuration of a tenant for a policy.
    ///
    /// # Errors
    /// None that the configuration of an upstream could cause.
    pub fn get(&self, tenant: u64, policy: &Arc<TlsPolicy>) -> Result<Arc<ClientConfig>, rustls::Error> {
        let key = (tenant, *policy.fingerprint());
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        let [young, old] = &mut *generations;
        if let Some(config) = young.get(&key) {
            return Ok(config.clone());
        }
        let config = match old.remove(&key) {
            Some(config) => config,
            None => Arc::new(make(policy)?),
        };
        if young.len() >= MOST {
            *old = std::mem::take(young);
        }
        young.insert(key, config.clone());
        Ok(config)
    }

    /// Drops those of a tenant that is gone.
    pub fn forget(&self, tenant: u64) {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        generations.iter_mut().for_each(|generation| generation.retain(|(owner, _), _| *owner != tenant));
    }
}

fn make(policy: &Arc<TlsPolicy>) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Verifier { provider, policy: policy.clone() }));
    let mut config = match &policy.certificate {
        Some(certificate) => builder.with_client_cert_resolver(Arc::new(Shown(certificate.clone()))),
        None => builder.with_no_client_auth(),
    };
    config.resumption = Resumption::in_memory_sessions(SESSIONS);
    Ok(config)
}

/// The gateway's certificate towards an upstream that asks for one.
#[derive(Debug)]
struct Shown(Arc<Certificate>);

impl ResolvesClientCert for Shown {
    fn resolve(&self, _authorities: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.fitting(schemes, None).cloned()
    }

    fn has_certs(&self) -> bool {
        true
    }
}
