//! What cookies hold, readable by nobody but gateways that have the secret, and changeable by nobody else.
//!
//! Each cookie is sealed with AES-256-GCM under a key and a nonce of its own, derived (HKDF-SHA-256) from the secret and a salt of 16
//! random bytes that stands before the rest: however many gateways seal how many cookies, no nonce is used twice under one key.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use crate::base64;

const SALT: usize = 16;
const KEY: usize = 32;
/// What keys are derived for.
const PURPOSE: &[u8] = b"sluice session 1";
/// Longest value of a cookie that is looked at, and that is made: browsers keep no longer ones.
pub(super) const LONGEST: usize = 3800;

/// The length of what is derived: a key and a nonce.
struct KeyAndNonce;

impl KeyType for KeyAndNonce {
    fn len(&self) -> usize {
        KEY + NONCE_LEN
    }
}

fn key(secret: &[u8], salt: &[u8]) -> Option<(LessSafeKey, Nonce)> {
    let derived = Salt::new(HKDF_SHA256, salt).extract(secret);
    let mut bytes = Zeroizing::new([0; KEY + NONCE_LEN]);
    derived.expand(&[PURPOSE], KeyAndNonce).ok()?.fill(&mut bytes[..]).ok()?;
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &bytes[..KEY]).ok()?);
    Some((key, Nonce::try_assume_unique_for_key(&bytes[KEY..]).ok()?))
}

/// Seals a text for one purpose. `None` if there is no randomness, or it becomes too long.
pub(super) fn seal(secret: &[u8], context: &[u8], text: Vec<u8>) -> Option<String> {
    let mut salt = [0; SALT];
    SystemRandom::new().fill(&mut salt).ok()?;
    let (key, nonce) = key(secret, &salt)?;
    let mut sealed = text;
    key.seal_in_place_append_tag(nonce, Aad::from(context), &mut sealed).ok()?;
    Some(base64::encode(&[&salt[..], &sealed].concat())).filter(|value| value.len() <= LONGEST)
}

/// What was sealed with this secret for this purpose.
pub(super) fn open(secret: &[u8], context: &[u8], value: &[u8]) -> Option<Vec<u8>> {
    let bytes = base64::decode(Some(value).filter(|value| value.len() <= LONGEST)?)?;
    let (salt, sealed) = bytes.split_at_checked(SALT)?;
    let (key, nonce) = key(secret, salt)?;
    let mut sealed = sealed.to_vec();
    let text = key.open_in_place(nonce, Aad::from(context), &mut sealed).ok()?.len();
    sealed.truncate(text);
    Some(sealed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_is_opened_by_whoever_has_the_secret_and_for_its_purpose() {
        let sealed = seal(b"secret", b"a", b"text".to_vec()).unwrap();
        assert_ne!(Some(&sealed), seal(b"secret", b"a", b"text".to_vec()).as_ref());
        assert_eq!(open(b"secret", b"a", sealed.as_bytes()).unwrap(), b"text");
        assert_eq!(open(b"other", b"a", sealed.as_bytes()), None);
        assert_eq!(open(b"secret", b"b", sealed.as_bytes()), None);
    }

    #[test]
    fn what_was_changed_is_not_opened() {
        let sealed = seal(b"secret", b"a", b"text".to_vec()).unwrap();
        let bytes = base64::decode(sealed.as_bytes()).unwrap();
        for place in 0..bytes.len() {
            let mut other = bytes.clone();
            other[place] ^= 1;
            assert_eq!(open(b"secret", b"a", base64::encode(&other).as_bytes()), None, "{place}");
        }
        for wrong in [&b""[..], b"x", b"AAAA", &[b'A'; 20], &[b'A'; 8000], b"\xff\xfe"] {
            assert_eq!(open(b"secret", b"a", wrong), None);
        }
    }

    #[test]
    fn what_is_too_long_for_a_cookie_is_not_sealed() {
        assert!(seal(b"secret", b"a", vec![0; LONGEST]).is_none());
    }
}
