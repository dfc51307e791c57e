//! Signed tokens (RFC 7515 and 7519), taken apart. Nothing in here is trusted before the signature was looked at.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::base64;

/// Algorithms that a token may name; which one it has to is said by its credential.
const ALGORITHMS: [&str; 14] = [
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512",
    "EdDSA", "Ed25519",
];

/// A token of which only the form was looked at.
pub(super) struct Token<'t> {
    /// What is signed.
    pub(super) message: &'t [u8],
    pub(super) signature: Vec<u8>,
    pub(super) algorithm: String,
    /// The claim that names the credential; in the header if it is not among the claims.
    pub(super) key: Option<Value>,
    pub(super) expires: Option<Value>,
    pub(super) not_before: Option<Value>,
}

impl<'t> Token<'t> {
    /// Takes a token apart, or says what is wrong with it.
    pub(super) fn parse(token: &'t [u8], key_claim: &str) -> Result<Self, &'static str> {
        let first = memchr::memchr(b'.', token).ok_or("invalid JSON")?;
        let second = memchr::memchr(b'.', &token[first + 1..]).ok_or("invalid JSON")? + first + 1;
        let read = |part: &[u8]| base64::decode_url(part).ok_or("invalid JSON");
        let (header, claims) = (read(&token[..first])?, read(&token[first + 1..second])?);
        let [algorithm, critical, key_of_header] =
            members(&header, ["alg", "crit", key_claim])?.ok_or("invalid alg")?;
        let algorithm = match algorithm {
            Some(Value::String(algorithm)) if ALGORITHMS.contains(&&*algorithm) => algorithm,
            _ => return Err("invalid alg"),
        };
        // What has to be understood is not (RFC 7515 section 4.1.11).
        if critical.is_some() {
            return Err("invalid crit");
        }
        let [key, expires, not_before] = members(&claims, [key_claim, "exp", "nbf"])?.ok_or("invalid claims")?;
        let signature = base64::decode_url(&token[second + 1..]).ok_or("invalid signature")?;
        let key = key.or(key_of_header);
        Ok(Self { message: &token[..second], signature, algorithm, key, expires, not_before })
    }
}

/// What a JSON object has under some names, of which nothing else is kept. `None` if it is no object.
fn members<const N: usize>(json: &[u8], names: [&str; N]) -> Result<Option<[Option<Value>; N]>, &'static str> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let found = Members(names).deserialize(&mut reader).map_err(|_| "invalid JSON")?;
    reader.end().map_err(|_| "invalid JSON")?;
    Ok(found)
}

struct Members<'n, const N: usize>([&'n str; N]);

impl<'de, const N: usize> DeserializeSeed<'de> for Members<'_, N> {
    type Value = Option<[Option<Value>; N]>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, const N: usize> Visitor<'de> for Members<'_, N> {
    type Value = Option<[Option<Value>; N]>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = [const { None }; N];
        while let Some(name) = map.next_key::<Cow<'_, str>>()? {
            // `null` is no value.
            match self.0.iter().position(|wanted| *wanted == name) {
                Some(place) => found[place] = map.next_value::<Option<Value>>()?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Some(found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_objects_have_members_and_the_last_of_a_name_counts() {
        let of = |json: &str| members(json.as_bytes(), ["a", "b"]);
        let number = |number: u64| Some(Value::from(number));
        assert_eq!(of(r#" {"a": 1, "c": [{}], "\u0062": 2, "a": 3} "#), Ok(Some([number(3), number(2)])));
        assert_eq!(of(r#"{"a": null}"#), Ok(Some([None, None])));
        for other in ["null", "true", "-1", "1", "1.5", "\"a\"", "[1, {\"a\": 1}]"] {
            assert_eq!(of(other), Ok(None), "{other}");
        }
        for broken in ["", "{", "{}x", "{\"a\"}", "{a:1}", "[1,]", "{\"a\":1}{}", "\u{1}"] {
            assert_eq!(of(broken), Err("invalid JSON"), "{broken}");
        }
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(of(&format!("{{\"a\":{}}}", nested(1000))), Err("invalid JSON"));
        assert_eq!(of(&format!("{{\"c\":{}}}", nested(1000))), Ok(Some([None, None])));
    }
}
