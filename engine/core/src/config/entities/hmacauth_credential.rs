//! User names of consumers, and the secrets that they sign requests with.

use serde::Deserialize;

use super::{Entity, Kind};
use crate::router::Reference;
use crate::tls::secret::Secret;

/// A credential for the plugin `hmac-auth`.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HmacauthCredentialSpec {
    /// Id.
    pub id: String,
    /// Whose secret it is.
    pub consumer: Reference,
    /// Unique user name.
    pub username: String,
    /// The secret.
    pub secret: Secret,
}

impl Entity for HmacauthCredentialSpec {
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
