//! basic-auth: callers present a user name and a password (RFC 7617).
//!
//! A password is checked against a slow hash once; afterwards a keyed hash of it is compared. The first check of each
//! credential is made aside, because it takes milliseconds.
//!
//! Source: the behaviour of Kong Gateway's plugin of the same name.

use std::sync::Arc;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::{Compiled, Place, authentication, read};
use crate::base64;
use crate::config::directory::{Check, Consumer, Password};
use crate::message::{Headers, Request, Response};
use crate::phases::exchange::Credential;
use crate::phases::outside::Outside;
use crate::phases::{Exchange, Flow, Phases, Plugin, Waiting};

/// The headers that credentials may be in; the first one that has them counts.
const HEADERS: [&str; 2] = ["proxy-authorization", "authorization"];
/// Longest credentials that are looked at, as they are sent.
const LONGEST: usize = 16 * 1024;

/// The configuration as the control plane sends it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    anonymous: Option<String>,
    hide_credentials: bool,
    realm: Option<String>,
    #[serde(rename = "brute_force_protection", default)]
    _brute_force_protection: IgnoredAny,
    #[serde(rename = "principals", default)]
    _principals: IgnoredAny,
}

struct BasicAuth {
    anonymous: Option<Box<str>>,
    hide: bool,
    challenge: Box<str>,
}

/// A known user name with the password that came with it.
struct Candidate {
    password: Arc<Password>,
    consumer: Arc<Consumer>,
    presented: Vec<u8>,
}

/// Compiles an instance.
pub(super) fn compile(config: Value, _: &Place) -> Compiled {
    let Config { anonymous, hide_credentials: hide, realm, .. } = read(config)?;
    let challenge = match realm.filter(|realm| !realm.is_empty()) {
        Some(realm) => format!("Basic realm=\"{}\"", realm.replace('\\', "\\\\").replace('"', "\\\"")),
        None => "Basic".to_owned(),
    };
    Ok(Arc::new(BasicAuth { anonymous: authentication::anonymous(anonymous), hide, challenge: challenge.into() }))
}

/// User name and password of a request.
fn presented(headers: &Headers) -> Option<(String, Vec<u8>)> {
    HEADERS.iter().find_map(|name| {
        let value = headers.get(name).filter(|value| value.len() <= LONGEST)?;
        let (scheme, rest) = value.split_at_checked(6)?;
        if !scheme.eq_ignore_ascii_case(b"basic ") {
            return None;
        }
        let decoded = base64::decode(rest.trim_ascii())?;
        let colon = memchr::memchr(b':', &decoded)?;
        let username = String::from_utf8(decoded[..colon].to_vec()).ok()?;
        Some((username, decoded[colon + 1..].to_vec()))
    })
}

impl BasicAuth {
    fn accept(&self, request: &mut Request, exchange: &mut Exchange<'_>, found: Candidate) {
        if self.hide {
            for name in HEADERS {
                request.head.headers.remove(name);
            }
        }
        let credential = Credential { id: found.password.id.clone(), identifier: found.password.username.clone() };
        authentication::accept(request, exchange, found.consumer, credential);
    }

    fn reject(&self, request: &mut Request, exchange: &mut Exchange<'_>) -> Option<Response> {
        let refusal = Response::message(401, "Unauthorized").with_header("WWW-Authenticate", self.challenge.as_bytes());
        authentication::reject(self.anonymous.as_deref(), request, exchange, refusal)
    }
}

/// The candidate of a request, if its user name is known.
fn candidate(request: &Request, exchange: &Exchange<'_>) -> Option<Candidate> {
    let (username, presented) = presented(&request.head.headers)?;
    let (password, consumer) = exchange.tenant.directory.password(&username)?;
    Some(Candidate { password: password.clone(), consumer: consumer.clone(), presented })
}

impl Plugin for BasicAuth {
    fn phases(&self) -> Phases {
        Phases::ACCESS
    }

    fn access(&self, request: &mut Request, exchange: &mut Exchange<'_>) -> Flow {
        if authentication::is_settled(self.anonymous.as_deref(), exchange) {
            return Flow::Continue;
        }
        let Some(candidate) = candidate(request, exchange) else {
            return authentication::flow(self.reject(request, exchange));
        };
        match candidate.password.check(exchange.tenant.directory.credential_key(), &candidate.presented) {
            Check::Unknown => Flow::Later,
            Check::Wrong => authentication::flow(self.reject(request, exchange)),
            Check::Right => {
                self.accept(request, exchange, candidate);
                Flow::Continue
            }
        }
    }

    fn access_later<'a>(
        &'a self,
        request: &'a mut Request,
        exchange: &'a mut Exchange<'_>,
        outside: Outside<'a>,
    ) -> Waiting<'a> {
        Box::pin(async move {
            let Some(candidate) = candidate(request, exchange) else { return self.reject(request, exchange) };
            let (password, presented) = (candidate.password.clone(), candidate.presented.clone());
            let key = exchange.tenant.directory.credential_key().clone();
            // Of those that come while the first one is checked, the next may find it done when its turn comes.
            let is_right = move || match password.check(&key, &presented) {
                Check::Unknown => password.verify(&key, &presented),
                known => known == Check::Right,
            };
            match outside.aside(is_right).await {
                Some(true) => {
                    self.accept(request, exchange, candidate);
                    None
                }
                Some(false) => self.reject(request, exchange),
                None => Some(Response::message(503, "Service unavailable")),
            }
        })
    }
}
