//! Session tickets that are good for one tenant and one certificate only.

use std::sync::Arc;

use ring::digest;
use rustls::server::ProducesTickets;

/// Bytes of a ticket that say what it is good for.
const CONTEXT: usize = 16;

/// Writes into every ticket whom it was given out for, and takes back no other. rustls itself resumes a session only
/// under the server name that it began with; but a name may pass from one tenant to another, and a certificate may be
/// replaced because its key has become known.
#[derive(Debug)]
pub(super) struct BoundTickets {
    inner: Arc<dyn ProducesTickets>,
    context: [u8; CONTEXT],
}

impl BoundTickets {
    /// Tickets of a tenant, if one was found, for sessions under a certificate.
    pub(super) fn new(inner: Arc<dyn ProducesTickets>, tenant: Option<u64>, certificate: &[u8]) -> Self {
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(&[u8::from(tenant.is_some())]);
        hash.update(&tenant.unwrap_or(0).to_be_bytes());
        hash.update(certificate);
        let mut context = [0; CONTEXT];
        context.copy_from_slice(&hash.finish().as_ref()[..CONTEXT]);
        Self { inner, context }
    }
}

impl ProducesTickets for BoundTickets {
    fn enabled(&self) -> bool {
        self.inner.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.inner.lifetime()
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.inner.encrypt(&[&self.context[..], plain].concat())
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.inner.decrypt(cipher)?.strip_prefix(&self.context[..]).map(<[u8]>::to_vec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::crypto::ring::Ticketer;

    #[test]
    fn tickets_are_good_for_their_tenant_and_certificate_only() {
        let inner = Ticketer::new().unwrap();
        let tickets = |tenant, certificate: &[u8]| BoundTickets::new(inner.clone(), tenant, certificate);
        let ticket = tickets(Some(1), b"a").encrypt(b"session").unwrap();
        assert_eq!(tickets(Some(1), b"a").decrypt(&ticket).as_deref(), Some(&b"session"[..]));
        for (tenant, certificate) in [(Some(2), b"a"), (Some(1), b"b"), (None, b"a"), (Some(0), b"a")] {
            assert_eq!(tickets(tenant, certificate).decrypt(&ticket), None);
        }
    }
}
