//! Certificate chains with their private keys, read once and shared by all who show them.

use std::fmt;
use std::sync::Arc;

use ring::digest;
use rustls::crypto::ring::{default_provider, sign::any_supported_type};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{CipherSuite, SignatureAlgorithm, SignatureScheme, SupportedCipherSuite};

use super::secret::Secret;
use crate::error::FieldError;

/// A certificate, and the same for another kind of key where there is one.
pub struct Certificate {
    /// The cheaper one to sign with comes first.
    pairs: Vec<Arc<CertifiedKey>>,
    fingerprint: [u8; 32],
}

impl Certificate {
    /// Reads a chain with its key, and an alternative of another kind of key; all are PEM.
    ///
    /// # Errors
    /// What is wrong, by field: `cert`, `key`, `cert_alt`, `key_alt`.
    pub fn new(cert: &str, key: &Secret, alternative: Option<(&str, &Secret)>) -> Result<Self, Vec<FieldError>> {
        let mut errors = Vec::new();
        let mut read = |cert: &str, key: &Secret, fields: [&str; 2]| match pair(cert, key, fields) {
            Ok(pair) => Some(pair),
            Err(error) => {
                errors.push(error);
                None
            }
        };
        let mut pairs = Vec::from_iter(read(cert, key, ["cert", "key"]));
        if let Some((cert, key)) = alternative {
            pairs.extend(read(cert, key, ["cert_alt", "key_alt"]));
        }
        if let [one, other] = pairs.as_slice()
            && one.key.algorithm() == other.key.algorithm()
        {
            errors.push(FieldError::new("key_alt", "must be of another type than key"));
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        pairs.sort_by_key(|pair| pair.key.algorithm() == SignatureAlgorithm::RSA);
        let mut hash = digest::Context::new(&digest::SHA256);
        for der in pairs.iter().flat_map(|pair| &pair.cert) {
            hash.update(&(der.len() as u64).to_be_bytes());
            hash.update(der);
        }
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(hash.finish().as_ref());
        Ok(Self { pairs, fingerprint })
    }

    /// A digest of all certificates.
    #[must_use]
    pub fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }

    /// What to show to a peer that takes these signatures; of cipher suites those before TLS 1.3 matter. Without
    /// anything that fits it is the first pair: the handshake then fails in the way that the protocol has for that.
    #[must_use]
    pub fn fitting(&self, schemes: &[SignatureScheme], suites: Option<&[CipherSuite]>) -> Option<&Arc<CertifiedKey>> {
        let fits = |pair: &&Arc<CertifiedKey>| {
            pair.key.choose_scheme(schemes).is_some()
                && suites.is_none_or(|suites| is_usable(pair.key.as_ref(), suites))
        };
        if let [only] = self.pairs.as_slice() {
            return Some(only);
        }
        self.pairs.iter().find(fits).or_else(|| self.pairs.first())
    }
}

/// Whether one of the offered suites works with such a key.
fn is_usable(key: &dyn SigningKey, offered: &[CipherSuite]) -> bool {
    default_provider().cipher_suites.iter().any(|suite| {
        offered.contains(&suite.suite())
            && match suite {
                SupportedCipherSuite::Tls13(_) => true,
                SupportedCipherSuite::Tls12(suite) => key.choose_scheme(suite.sign).is_some(),
            }
    })
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").finish_non_exhaustive()
    }
}

/// The certificates of a PEM text.
///
/// # Errors
/// What is wrong, for the user.
pub fn chain(pem: &str) -> Result<Vec<CertificateDer<'static>>, &'static str> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    chain.ok().filter(|chain| !chain.is_empty()).ok_or("invalid certificate")
}

fn pair(cert: &str, key: &Secret, [cert_field, key_field]: [&str; 2]) -> Result<Arc<CertifiedKey>, FieldError> {
    let chain = chain(cert).map_err(|message| FieldError::new(cert_field, message))?;
    for der in &chain {
        rustls::server::ParsedCertificate::try_from(der)
            .map_err(|_| FieldError::new(cert_field, "invalid certificate"))?;
    }
    // Why a key cannot be read is not said in more detail: the reasons quote it.
    let key = PrivateKeyDer::from_pem_slice(key.expose().as_bytes())
        .ok()
        .and_then(|key| any_supported_type(&key).ok())
        .ok_or_else(|| FieldError::new(key_field, "invalid key"))?;
    let pair = CertifiedKey::new(chain, key);
    match pair.keys_match() {
        Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => {
            Err(FieldError::new(key_field, "certificate does not match key"))
        }
        _ => Ok(Arc::new(pair)),
    }
}
