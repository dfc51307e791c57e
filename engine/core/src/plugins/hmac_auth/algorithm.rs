//! The algorithms of HMAC (RFC 2104) that signatures may be made with.

use ring::hmac as fast;
use serde::Deserialize;

/// An algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Algorithm {
    HmacSha1,
    HmacSha224,
    HmacSha256,
    HmacSha384,
    HmacSha512,
}

impl Algorithm {
    /// As requests name it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::HmacSha1 => "hmac-sha1",
            Self::HmacSha224 => "hmac-sha224",
            Self::HmacSha256 => "hmac-sha256",
            Self::HmacSha384 => "hmac-sha384",
            Self::HmacSha512 => "hmac-sha512",
        }
    }

    /// Whether a signature is right. The time tells nothing about the right one.
    pub(super) fn verify(self, secret: &[u8], message: &[u8], signature: &[u8]) -> bool {
        let algorithm = match self {
            Self::HmacSha1 => fast::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::HmacSha224 => return verify_sha224(secret, message, signature),
            Self::HmacSha256 => fast::HMAC_SHA256,
            Self::HmacSha384 => fast::HMAC_SHA384,
            Self::HmacSha512 => fast::HMAC_SHA512,
        };
        fast::verify(&fast::Key::new(algorithm, secret), message, signature).is_ok()
    }
}

/// The one that is not in `ring`.
fn verify_sha224(secret: &[u8], message: &[u8], signature: &[u8]) -> bool {
    use hmac::{Hmac, KeyInit, Mac};
    let Ok(mut mac) = Hmac::<sha2::Sha224>::new_from_slice(secret) else { return false };
    mac.update(message);
    mac.verify_slice(signature).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn vectors_of_the_standards() {
        // RFC 2202 section 3 and RFC 4231 section 4.3, test case 2 each.
        for (algorithm, signature) in [
            (Algorithm::HmacSha1, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
            (Algorithm::HmacSha224, "a30e01098bc6dbbf45690f3a7e9e6d0f8bbea2a39e6148008fd05e44"),
            (Algorithm::HmacSha256, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        ] {
            let (message, signature) = (b"what do ya want for nothing?", bytes(signature));
            assert!(algorithm.verify(b"Jefe", message, &signature), "{algorithm:?}");
            assert!(!algorithm.verify(b"Jefe", message, &signature[1..]), "{algorithm:?}");
            assert!(!algorithm.verify(b"jefe", message, &signature), "{algorithm:?}");
            assert!(!algorithm.verify(b"Jefe", message, b""), "{algorithm:?}");
        }
    }
}
