//! What tokens of consumers are verified with.

use serde::{Deserialize, Deserializer};

use super::{Entity, Kind};
use crate::base64;
use crate::router::Reference;
use crate::tls::secret::Secret;

/// A credential for the plugin `jwt`.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JwtSecretSpec {
    /// Id.
    pub id: String,
    /// Whose tokens they are.
    pub consumer: Reference,
    /// Unique name that tokens give.
    pub key: String,
    /// The only algorithm that its tokens may be signed with.
    pub algorithm: String,
    /// Secret, if the algorithm is one of HMAC.
    pub secret: Option<Secret>,
    /// Public key, if it is another one; base64 on the wire: for RSA `RSAPublicKey` (RFC 8017 appendix A.1.1), for the curves of
    /// NIST an uncompressed point (SEC 1 section 2.3.3), for Ed25519 its 32 bytes. `None` for a key that no gateway can use.
    #[serde(deserialize_with = "bytes")]
    pub public_key: Option<Box<[u8]>>,
}

fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<[u8]>>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    let bytes = base64::decode(text.as_bytes()).map(Into::into);
    bytes.map(Some).ok_or_else(|| serde::de::Error::custom("public_key: expected base64"))
}

impl Entity for JwtSecretSpec {
    fn id(&self) -> &str {
        &self.id
    }

    fn name(&self) -> Option<&str> {
        Some(&self.key)
    }

    fn references(&self, visit: &mut dyn FnMut(&str, Kind, &str)) {
        visit("consumer.id", Kind::Consumer, &self.consumer.id);
    }
}
