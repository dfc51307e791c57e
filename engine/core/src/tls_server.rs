//! TLS towards clients.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::Deserialize;
use tokio_rustls::TlsAcceptor;

/// A certificate with its key, both PEM.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateOptions {
    /// The chain, own certificate first.
    pub cert: String,
    /// The private key.
    pub key: String,
}

impl std::fmt::Debug for CertificateOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CertificateOptions").finish_non_exhaustive()
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// An acceptor that shows the given certificate, or one made and signed by itself.
pub fn acceptor(certificate: Option<&CertificateOptions>) -> Result<TlsAcceptor, Failure> {
    let (chain, key) = match certificate {
        Some(given) => {
            let chain = CertificateDer::pem_slice_iter(given.cert.as_bytes()).collect::<Result<Vec<_>, _>>()?;
            (chain, PrivateKeyDer::from_pem_slice(given.key.as_bytes())?)
        }
        None => self_signed()?,
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn self_signed() -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Failure> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    Ok((vec![made.cert.der().clone()], key.into()))
}
