//! What signatures of callers are verified with.

use std::sync::{Arc, OnceLock};

use ring::hmac;
use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use zeroize::Zeroizing;

use super::named::Credential;
use crate::base64;
use crate::config::entities::{Entity, HmacauthCredentialSpec, JwtSecretSpec};

/// A credential for the plugin `jwt`.
#[derive(Debug)]
pub struct JwtKey {
    /// The credential's id.
    pub id: Arc<str>,
    /// What tokens call it.
    pub name: Arc<str>,
    pub(super) consumer: Arc<str>,
    spec: Arc<JwtSecretSpec>,
    verifier: Option<Verifier>,
}

#[derive(Debug)]
enum Verifier {
    Secret(SharedSecret),
    Public(UnparsedPublicKey<Box<[u8]>>),
}

/// A secret as it is, and as the base64 that it may be taken for.
#[derive(Debug)]
struct SharedSecret {
    plain: hmac::Key,
    /// Made when it is asked for: few instances take secrets for base64.
    decoded: OnceLock<Option<Box<hmac::Key>>>,
}

impl JwtKey {
    /// The only algorithm that tokens may be signed with.
    #[must_use]
    pub fn algorithm(&self) -> &str {
        &self.spec.algorithm
    }

    /// Whether a signature of a message is right; `decodes` takes the secret for base64. `None`: there is no usable key.
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &[u8], decodes: bool) -> Option<bool> {
        match self.verifier.as_ref()? {
            Verifier::Public(key) => Some(key.verify(message, signature).is_ok()),
            Verifier::Secret(secret) if !decodes => Some(hmac::verify(&secret.plain, message, signature).is_ok()),
            Verifier::Secret(secret) => {
                let algorithm = secret.plain.algorithm();
                let decode = || self.spec.secret.as_ref().and_then(|text| decoded(algorithm, text.expose()));
                let key = secret.decoded.get_or_init(decode).as_deref()?;
                Some(hmac::verify(key, message, signature).is_ok())
            }
        }
    }
}

/// The key of a secret in base64, in either alphabet. Nothing is no secret: everybody would know it.
fn decoded(algorithm: hmac::Algorithm, text: &str) -> Option<Box<hmac::Key>> {
    let decoded = base64::decode(text.as_bytes()).or_else(|| base64::decode_url(text.as_bytes()));
    let secret = Zeroizing::new(decoded.filter(|secret| !secret.is_empty())?);
    Some(Box::new(hmac::Key::new(algorithm, &secret)))
}

fn public(algorithm: &str) -> Option<&'static dyn VerificationAlgorithm> {
    Some(match algorithm {
        "RS256" => &signature::RSA_PKCS1_2048_8192_SHA256,
        "RS384" => &signature::RSA_PKCS1_2048_8192_SHA384,
        "RS512" => &signature::RSA_PKCS1_2048_8192_SHA512,
        "PS256" => &signature::RSA_PSS_2048_8192_SHA256,
        "PS384" => &signature::RSA_PSS_2048_8192_SHA384,
        "PS512" => &signature::RSA_PSS_2048_8192_SHA512,
        "ES256" => &signature::ECDSA_P256_SHA256_FIXED,
        "ES384" => &signature::ECDSA_P384_SHA384_FIXED,
        "EdDSA" | "Ed25519" => &signature::ED25519,
        _ => return None,
    })
}

fn shared(algorithm: &str) -> Option<hmac::Algorithm> {
    Some(match algorithm {
        "HS256" => hmac::HMAC_SHA256,
        "HS384" => hmac::HMAC_SHA384,
        "HS512" => hmac::HMAC_SHA512,
        _ => return None,
    })
}

impl Verifier {
    /// What the algorithm needs, and nothing else: a public key is never taken for a secret.
    fn of(spec: &JwtSecretSpec) -> Option<Self> {
        if let Some(algorithm) = shared(&spec.algorithm) {
            let secret = spec.secret.as_ref().filter(|secret| !secret.expose().is_empty())?;
            let plain = hmac::Key::new(algorithm, secret.expose().as_bytes());
            return Some(Self::Secret(SharedSecret { plain, decoded: OnceLock::new() }));
        }
        let key = UnparsedPublicKey::new(public(&spec.algorithm)?, spec.public_key.clone()?);
        Some(Self::Public(key))
    }
}

impl Credential for JwtKey {
    type Spec = JwtSecretSpec;

    fn name(spec: &JwtSecretSpec) -> &str {
        &spec.key
    }

    fn new(spec: &Arc<JwtSecretSpec>) -> Self {
        Self {
            id: spec.id().into(),
            name: spec.key.as_str().into(),
            consumer: spec.consumer.id.as_str().into(),
            verifier: Verifier::of(spec),
            spec: spec.clone(),
        }
    }

    fn id(&self) -> &str {
        &self.id
    }
}

/// A credential for the plugin `hmac-auth`.
#[derive(Debug)]
pub struct HmacUser {
    /// The credential's id.
    pub id: Arc<str>,
    /// The user name.
    pub username: Arc<str>,
    pub(super) consumer: Arc<str>,
    spec: Arc<HmacauthCredentialSpec>,
}

impl HmacUser {
    /// What requests are signed with.
    #[must_use]
    pub fn secret(&self) -> &[u8] {
        self.spec.secret.expose().as_bytes()
    }
}

impl Credential for HmacUser {
    type Spec = HmacauthCredentialSpec;

    fn name(spec: &HmacauthCredentialSpec) -> &str {
        &spec.username
    }

    fn new(spec: &Arc<HmacauthCredentialSpec>) -> Self {
        Self {
            id: spec.id().into(),
            username: spec.username.as_str().into(),
            consumer: spec.consumer.id.as_str().into(),
            spec: spec.clone(),
        }
    }

    fn id(&self) -> &str {
        &self.id
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn key(algorithm: &str, secret: &Value) -> JwtKey {
        let spec = json!({
            "id": "1", "consumer": {"id": "c"}, "key": "k", "algorithm": algorithm, "secret": secret, "public_key": "AAAA",
        });
        JwtKey::new(&Arc::new(serde_json::from_value(spec).unwrap()))
    }

    #[test]
    fn a_secret_is_taken_for_base64_only_if_it_is_some() {
        let sign = |secret: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), b"m").as_ref().to_vec();
        let known = key("HS256", &json!("_-8="));
        assert_eq!(known.verify(b"m", &sign(b"_-8="), false), Some(true));
        assert_eq!(known.verify(b"m", &sign(b"_-8="), true), Some(false));
        assert_eq!(known.verify(b"m", &sign(&[0xff, 0xef]), true), Some(true));
        assert_eq!(key("HS256", &json!("/+8=")).verify(b"m", &sign(&[0xff, 0xef]), true), Some(true));
        for secret in ["=", "a", "!!!!", ""] {
            assert_eq!(key("HS256", &json!(secret)).verify(b"m", &sign(b""), true), None, "{secret}");
        }
    }

    #[test]
    fn an_algorithm_takes_its_own_kind_of_key_and_no_other() {
        let empty = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b""), b"m");
        assert_eq!(key("HS256", &json!("")).verify(b"m", empty.as_ref(), false), None);
        assert_eq!(key("HS256", &json!(null)).verify(b"m", empty.as_ref(), false), None);
        for algorithm in ["RS256", "PS512", "ES256", "ES384", "EdDSA", "Ed25519"] {
            assert_eq!(
                key(algorithm, &json!("secret")).verify(b"m", empty.as_ref(), false),
                Some(false),
                "{algorithm}"
            );
        }
        for algorithm in ["none", "", "ES512", "HS1", "hs256"] {
            assert_eq!(key(algorithm, &json!("secret")).verify(b"m", empty.as_ref(), false), None, "{algorithm}");
        }
    }
}
