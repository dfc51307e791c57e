//! How upstreams are verified, and what they are shown.

use std::sync::{Arc, LazyLock};

use ring::digest;
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, ServerName};

use super::finish;
use crate::tls::certificate::Certificate;

/// The roots of the machine. Reading them takes tens of milliseconds: it happens when the first policy that needs them
/// is made, which is never on a request's way.
static PLATFORM: LazyLock<Arc<RootCertStore>> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    // Without any root every verification fails, as it should.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    Arc::new(roots)
});

/// Whether and how an upstream's certificate is verified.
#[derive(Debug)]
pub enum Verification {
    /// Any certificate will do.
    Off,
    /// It has to lead to one of the roots and to carry an accepted name.
    On(Roots),
}

/// What a certificate is verified against.
#[derive(Debug, Default)]
pub struct Roots {
    /// Authorities in place of the machine's.
    pub own: Option<Vec<CertificateDer<'static>>>,
    /// Authorities that may stand between the certificate and the root.
    pub depth: Option<u32>,
    /// Names that are accepted besides the one that was asked for.
    pub names: Vec<ServerName<'static>>,
    /// URIs that are accepted in place of a name.
    pub uris: Vec<String>,
}

/// How TLS is spoken with an upstream. Compiled once; services that say the same make equal ones.
#[derive(Debug)]
pub struct TlsPolicy {
    pub(super) verification: Verification,
    pub(super) roots: Arc<RootCertStore>,
    pub(super) certificate: Option<Arc<Certificate>>,
    fingerprint: [u8; 32],
}

impl TlsPolicy {
    /// A policy; with the certificate that the upstream is shown if it asks for one.
    #[must_use]
    pub fn new(verification: Verification, certificate: Option<Arc<Certificate>>) -> Self {
        let roots = match &verification {
            Verification::Off => Arc::new(RootCertStore::empty()),
            Verification::On(Roots { own: None, .. }) => PLATFORM.clone(),
            Verification::On(Roots { own: Some(own), .. }) => {
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(own.iter().cloned());
                Arc::new(roots)
            }
        };
        let fingerprint = fingerprint(&verification, certificate.as_deref());
        Self { verification, roots, certificate, fingerprint }
    }

    /// A digest of everything in the policy.
    #[must_use]
    pub fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }
}

fn fingerprint(verification: &Verification, certificate: Option<&Certificate>) -> [u8; 32] {
    let mut hash = digest::Context::new(&digest::SHA256);
    // Every part is told apart from its neighbours by its length.
    let mut part = |bytes: &[u8]| {
        hash.update(&(bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    part(certificate.map_or(&[], |certificate| certificate.fingerprint()));
    if let Verification::On(Roots { own, depth, names, uris }) = verification {
        part(&depth.map_or([0; 5], |depth| {
            let [a, b, c, d] = depth.to_be_bytes();
            [1, a, b, c, d]
        }));
        for list in [
            own.iter().flatten().map(AsRef::as_ref).collect::<Vec<&[u8]>>(),
            uris.iter().map(String::as_bytes).collect(),
        ] {
            part(&(list.len() as u64).to_be_bytes());
            list.into_iter().for_each(&mut part);
        }
        part(&[u8::from(own.is_some())]);
        for name in names {
            part(name.to_str().as_bytes());
        }
    }
    finish(hash)
}
