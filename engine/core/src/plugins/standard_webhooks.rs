//! standard-webhooks: lets signed webhooks pass.
//!
//! Source: the Standard Webhooks specification, sections on verifying and on signature schemes; the behaviour of Kong
//! Gateway's plugin of the same name.

use std::sync::Arc;

use ring::hmac;
use serde::Deserialize;
use serde_json::Value;

use super::{Compiled, Place, read};
use crate::base64;
use crate::error::FieldError;
use crate::message::{Headers, Request, RequestHead, Response};
use crate::phases::{Exchange, Flow, Phases, Plugin};

const ID: &str = "webhook-id";
const TIMESTAMP: &str = "webhook-timestamp";
const SIGNATURE: &str = "webhook-signature";
/// What a secret begins with whose key is base64.
const ENCODED: &str = "whsec_";

/// The configuration as the control plane sends it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    secret_v1: String,
    tolerance_second: u64,
}

struct StandardWebhooks {
    key: hmac::Key,
    /// Seconds.
    tolerance: u64,
}

/// Compiles an instance.
pub(super) fn compile(config: Value, _: &Place) -> Compiled {
    let Config { secret_v1, tolerance_second: tolerance } = read(config)?;
    let secret = match secret_v1.strip_prefix(ENCODED) {
        Some(encoded) => base64::decode(encoded.as_bytes())
            .filter(|key| !key.is_empty())
            .ok_or_else(|| vec![FieldError::new("secret_v1", "what follows 'whsec_' must be base64")])?,
        None => secret_v1.into_bytes(),
    };
    Ok(Arc::new(StandardWebhooks { key: hmac::Key::new(hmac::HMAC_SHA256, &secret), tolerance }))
}

impl StandardWebhooks {
    /// Whether a request is a webhook that the secret's owner has sent. What is signed is all of its body, with its id and its
    /// time; one of the signatures has to be right.
    fn is_signed(&self, request: &Request, now: u64) -> bool {
        let headers = &request.head.headers;
        let (Some(id), Some(timestamp)) = (only(headers, ID), only(headers, TIMESTAMP)) else { return false };
        let Some(body) = request.body().filter(|body| !body.is_empty()) else { return false };
        if seconds(timestamp).is_none_or(|then| now.saturating_sub(then) > self.tolerance) {
            return false;
        }
        let mut context = hmac::Context::with_key(&self.key);
        for part in [id, b".", timestamp, b".", body] {
            context.update(part);
        }
        let expected = context.sign();
        // The time of a comparison of what two signatures are signed with tells nothing about either.
        let witness = hmac::sign(&self.key, expected.as_ref());
        signatures(headers).any(|signature| {
            base64::decode(signature).is_some_and(|given| hmac::verify(&self.key, &given, witness.as_ref()).is_ok())
        })
    }
}

/// The value of a header that has to be there once.
fn only<'h>(headers: &'h Headers, name: &'h str) -> Option<&'h [u8]> {
    let mut values = headers.get_all(name);
    values.next().filter(|value| !value.is_empty() && values.next().is_none())
}

/// Whole seconds since 1970.
fn seconds(text: &[u8]) -> Option<u64> {
    let is_number = text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| is_number)?.parse().ok()
}

/// Signatures of version 1, in base64. There may be others, with blanks between them.
fn signatures(headers: &Headers) -> impl Iterator<Item = &[u8]> {
    headers
        .get_all(SIGNATURE)
        .flat_map(|line| line.split(|byte| *byte == b' '))
        .filter_map(|one| one.strip_prefix(b"v1,"))
}

impl Plugin for StandardWebhooks {
    fn phases(&self) -> Phases {
        Phases::ACCESS.and(Phases::REQUEST_BODY)
    }

    fn needs_request_body(&self, head: &RequestHead) -> bool {
        [ID, TIMESTAMP, SIGNATURE].iter().all(|name| head.headers.contains(name))
    }

    fn access(&self, request: &mut Request, exchange: &mut Exchange<'_>) -> Flow {
        if self.is_signed(request, exchange.clock.since_epoch().as_secs()) {
            return Flow::Continue;
        }
        Flow::Respond(Response::message(400, "Bad request"))
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use bytes::Bytes;
    use serde_json::json;

    use super::*;
    use crate::message::{Scheme, Version};

    /// Made by Python's `hmac` and `base64`.
    const SIGNED: [(&str, &str); 2] = [
        ("plain secret", "gke7k785FD6W2FuaDcrvG3sQcmFE9YVaaAmarK4oi68="),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
    ];
    const BODY: &str = r#"{"test": 2432232314}"#;
    const NOW: u64 = 1_614_265_330;

    fn plugin(secret: &str) -> StandardWebhooks {
        let secret = match secret.strip_prefix(ENCODED) {
            Some(encoded) => base64::decode(encoded.as_bytes()).unwrap(),
            None => secret.as_bytes().to_vec(),
        };
        StandardWebhooks { key: hmac::Key::new(hmac::HMAC_SHA256, &secret), tolerance: 300 }
    }

    fn request(headers: &[(&str, &str)], body: &str) -> Request {
        let head = RequestHead::new(b"POST", b"/", None, Version::Http11);
        let mut request = Request::new(head, IpAddr::V4(Ipv4Addr::LOCALHOST), Scheme::Http, String::new());
        request.buffer_body(Bytes::copy_from_slice(body.as_bytes()));
        for (name, value) in headers {
            request.head.headers.append(name, value).unwrap();
        }
        request
    }

    #[test]
    fn signatures_of_another_implementation_are_right() {
        for (secret, signature) in SIGNED {
            let signature = format!("v1,{signature}");
            let headers = [(ID, "msg_p5jXN8AQM9LWM0D4loKWxJek"), (TIMESTAMP, "1614265330"), (SIGNATURE, &signature)];
            let plugin = plugin(secret);
            assert!(plugin.is_signed(&request(&headers, BODY), NOW), "{secret}");
            assert!(!plugin.is_signed(&request(&headers, &format!("{BODY} ")), NOW), "{secret}");
            assert!(!plugin.is_signed(&request(&headers, ""), NOW), "{secret}");
        }
    }

    #[test]
    fn what_is_not_quite_a_signature_is_none() {
        let (secret, right) = SIGNED[0];
        let right = format!("v1,{right}");
        let signed = |id: &str, time: &str, signature: &str| {
            plugin(secret).is_signed(&request(&[(ID, id), (TIMESTAMP, time), (SIGNATURE, signature)], BODY), NOW)
        };
        let (id, time) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330");
        assert!(signed(id, time, &right));
        assert!(signed(id, time, &format!("v1a,xyz v1,AAAA {right}")));
        for wrong in ["", "v1,", "v1,AAAA", "v1", &right[3..], &right.replace("v1", "v2"), &right[..right.len() - 2]] {
            assert!(!signed(id, time, wrong), "{wrong}");
        }
        for other in ["", "msg_p5jXN8AQM9LWM0D4loKWxJel"] {
            assert!(!signed(other, time, &right), "{other}");
        }
        for other in ["", "1614265331", "+1614265330", "1614265330.0", "-1", "99999999999999999999999"] {
            assert!(!signed(id, other, &right), "{other}");
        }
        let twice = [(ID, id), (ID, id), (TIMESTAMP, time), (SIGNATURE, &*right)];
        assert!(!plugin(secret).is_signed(&request(&twice, BODY), NOW));
    }

    #[test]
    fn webhooks_grow_old() {
        let (secret, right) = SIGNED[0];
        let right = format!("v1,{right}");
        let headers = [(ID, "msg_p5jXN8AQM9LWM0D4loKWxJek"), (TIMESTAMP, "1614265330"), (SIGNATURE, &*right)];
        let at = |now: u64| plugin(secret).is_signed(&request(&headers, BODY), now);
        assert_eq!([at(NOW + 300), at(NOW + 301), at(NOW - 10_000)], [true, false, true]);
    }

    #[test]
    fn a_key_has_to_be_one() {
        for broken in ["whsec_", "whsec_?", "whsec_A"] {
            assert!(
                compile(json!({"secret_v1": broken, "tolerance_second": 1}), &Place::default()).is_err(),
                "{broken}"
            );
        }
    }
}
