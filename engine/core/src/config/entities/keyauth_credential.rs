//! Keys of consumers. A gateway knows keyed hashes of them only.

use serde::{Deserialize, Deserializer};

use super::{Entity, Kind};
use crate::base64;
use crate::router::Reference;

/// A key that a consumer presents.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyauthCredentialSpec {
    /// Id.
    pub id: String,
    /// Whose key it is.
    pub consumer: Reference,
    /// HMAC-SHA256 of the key under the control plane's credential key; base64 on the wire.
    #[serde(deserialize_with = "hash")]
    pub key_hash: [u8; 32],
    /// Seconds since the Unix epoch at which the key ends; `None` never.
    pub expires_at: Option<u64>,
}

fn hash<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
    let text = String::deserialize(deserializer)?;
    let bytes = base64::decode(text.as_bytes()).and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| serde::de::Error::custom("key_hash: expected 32 bytes in base64"))
}

impl Entity for KeyauthCredentialSpec {
    fn id(&self) -> &str {
        &self.id
    }

    fn name(&self) -> Option<&str> {
        None
    }

    fn references(&self, visit: &mut dyn FnMut(&str, Kind, &str)) {
        visit("consumer.id", Kind::Consumer, &self.consumer.id);
    }
}
