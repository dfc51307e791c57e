//! User names and passwords of consumers. A gateway knows salted hashes of the passwords only.

use std::num::NonZeroU32;

use ring::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use serde::{Deserialize, Deserializer};

use super::{Entity, Kind};
use crate::base64;
use crate::router::Reference;

/// Most iterations that a hash may ask for: a configuration does not choose how much work a check is.
const MOST_ITERATIONS: u32 = 100_000;

/// A user name and password that a consumer presents.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BasicauthCredentialSpec {
    /// Id.
    pub id: String,
    /// Whose password it is.
    pub consumer: Reference,
    /// Unique user name.
    pub username: String,
    /// On the wire `$pbkdf2-sha256$i=<iterations>$<salt>$<hash>`, both in base64 without padding; `sha1+` or `sha256+`
    /// before the name: what was hashed is a digest of the password.
    pub password_hash: PasswordHash,
}

/// PBKDF2-HMAC-SHA256 of a password (RFC 8018), or of its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordHash {
    /// The digest, in hex, of the password followed by the consumer's id that was hashed in the password's place.
    pub digest: Option<&'static Algorithm>,
    /// Iterations.
    pub iterations: NonZeroU32,
    /// Salt.
    pub salt: Box<[u8]>,
    /// The derived key.
    pub hash: [u8; 32],
}

impl PasswordHash {
    fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix('$')?;
        let (digest, text) = match text.split_once('+') {
            Some(("sha1", rest)) => (Some(&SHA1_FOR_LEGACY_USE_ONLY), rest),
            Some(("sha256", rest)) => (Some(&SHA256), rest),
            _ => (None, text),
        };
        let mut parts = text.strip_prefix("pbkdf2-sha256$i=")?.split('$');
        let (iterations, salt, hash) = (parts.next()?, parts.next()?, parts.next()?);
        let iterations: NonZeroU32 = iterations.parse().ok()?;
        let (salt, hash) = (base64::decode(salt.as_bytes())?, base64::decode(hash.as_bytes())?);
        let complete = parts.next().is_none() && salt.len() >= 16 && iterations.get() <= MOST_ITERATIONS;
        complete.then_some(Self { digest, iterations, salt: salt.into(), hash: hash.try_into().ok()? })
    }
}

impl<'de> Deserialize<'de> for PasswordHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?)
            .ok_or_else(|| serde::de::Error::custom("password_hash: not a hash that this engine can check"))
    }
}

impl Entity for BasicauthCredentialSpec {
    fn id(&self) -> &str {
        &self.id
    }

    fn name(&self) -> Option<&str> {
        Some(&self.username)
    }

    fn references(&self, visit: &mut dyn FnMut(&str, Kind, &str)) {
        visit("consumer.id", Kind::Consumer, &self.consumer.id);
    }
}
