//! hmac-auth: callers sign their requests with a shared secret.
//!
//! Source: the behaviour of Kong Gateway's plugin of the same name; draft-cavage-http-signatures.

mod algorithm;
mod signed;

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use self::algorithm::Algorithm;
use self::signed::{Signed, message};
use super::{Compiled, Place, authentication, read};
use crate::base64;
use crate::clock::{Clock, parse_http_date};
use crate::config::directory::Consumer;
use crate::message::{Headers, Request, RequestHead, Response};
use crate::phases::exchange::Credential;
use crate::phases::{Exchange, Flow, Phases, Plugin};

/// The headers that signatures may be in; the first one that has one counts.
const HEADERS: [&str; 2] = ["proxy-authorization", "authorization"];
/// The headers that tell when a request was made; one of them has to be about right.
const DATES: [&str; 2] = ["x-date", "date"];

const NO_DATE: &str =
    "HMAC signature cannot be verified, a valid date or x-date header is required for HMAC Authentication";
const NOT_VERIFIABLE: &str = "HMAC signature cannot be verified";
const NO_MATCH: &str = "HMAC signature does not match";

/// The configuration as the control plane sends it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    hide_credentials: bool,
    clock_skew: f64,
    anonymous: Option<String>,
    validate_request_body: bool,
    enforce_headers: Vec<String>,
    algorithms: Vec<Algorithm>,
    realm: Option<String>,
}

struct HmacAuth {
    hide: bool,
    /// Seconds.
    skew: f64,
    anonymous: Option<Box<str>>,
    checks_body: bool,
    enforced: Box<[Box<str>]>,
    algorithms: Box<[Algorithm]>,
    challenge: Box<str>,
}

/// Compiles an instance.
pub(super) fn compile(config: Value, _: &Place) -> Compiled {
    let config: Config = read(config)?;
    let challenge = match config.realm.filter(|realm| !realm.is_empty()) {
        Some(realm) => format!("hmac realm=\"{}\"", realm.replace('\\', "\\\\").replace('"', "\\\"")),
        None => "hmac".to_owned(),
    };
    Ok(Arc::new(HmacAuth {
        hide: config.hide_credentials,
        skew: config.clock_skew,
        anonymous: authentication::anonymous(config.anonymous),
        checks_body: config.validate_request_body,
        enforced: config.enforce_headers.into_iter().map(Into::into).collect(),
        algorithms: config.algorithms.into(),
        challenge: challenge.into(),
    }))
}

impl HmacAuth {
    fn authenticate(&self, request: &mut Request, exchange: &mut Exchange<'_>) -> Result<(), &'static str> {
        let headers = &request.head.headers;
        if !HEADERS.iter().any(|name| headers.contains(name)) {
            return Err("Unauthorized");
        }
        if !DATES.iter().any(|name| self.is_recent(headers.get(name), exchange.clock)) {
            return Err(NO_DATE);
        }
        let found = HEADERS.iter().find_map(|name| Some((*name, Signed::parse(headers.get(name)?)?)));
        let (header, signed) = found.ok_or(NOT_VERIFIABLE)?;
        let verdict = self.verify(&signed, request, exchange);
        if self.hide {
            request.head.headers.remove(header);
        }
        let (consumer, credential) = verdict?;
        authentication::accept(request, exchange, consumer, credential);
        Ok(())
    }

    fn verify(
        &self,
        signed: &Signed,
        request: &Request,
        exchange: &Exchange<'_>,
    ) -> Result<(Arc<Consumer>, Credential), &'static str> {
        let is_covered = |name: &str| signed.names().any(|covered| covered.eq_ignore_ascii_case(name));
        if !self.enforced.iter().all(|name| is_covered(name)) {
            return Err(NOT_VERIFIABLE);
        }
        let algorithm = self.algorithms.iter().find(|known| known.name() == signed.algorithm).ok_or(NOT_VERIFIABLE)?;
        let (user, consumer) = exchange.tenant.directory.hmac_user(&signed.username).ok_or(NOT_VERIFIABLE)?;
        let message = message(signed.names(), &request.head);
        if !algorithm.verify(user.secret(), &message, &signed.signature) {
            return Err(NO_MATCH);
        }
        if self.checks_body && !body_matches(request) {
            return Err(NO_MATCH);
        }
        let credential = Credential { id: user.id.clone(), identifier: user.username.clone() };
        Ok((consumer.clone(), credential))
    }

    fn is_recent(&self, date: Option<&[u8]>, clock: &Clock) -> bool {
        date.and_then(parse_http_date).is_some_and(|date| {
            #[allow(clippy::cast_precision_loss, reason = "exact for the next hundred million years")]
            let distance = clock.since_epoch().as_secs().abs_diff(date) as f64;
            distance <= self.skew
        })
    }
}

/// Whether the body is the one that `Digest` (RFC 3230) tells. Without a body nothing need be told.
fn body_matches(request: &Request) -> bool {
    let body = request.body().map(|body| &**body).unwrap_or_default();
    let Some(told) = request.head.headers.get("digest") else { return body.is_empty() };
    let told = told.strip_prefix(b"SHA-256=").and_then(base64::decode);
    told.is_some_and(|told| *told == *ring::digest::digest(&ring::digest::SHA256, body).as_ref())
}

/// Whether one of the headers has what looks like a signature.
fn may_be_signed(headers: &Headers) -> bool {
    HEADERS.iter().any(|name| headers.get(name).is_some_and(|value| Signed::parse(value).is_some()))
}

impl Plugin for HmacAuth {
    fn phases(&self) -> Phases {
        if self.checks_body { Phases::ACCESS.and(Phases::REQUEST_BODY) } else { Phases::ACCESS }
    }

    fn needs_request_body(&self, head: &RequestHead) -> bool {
        may_be_signed(&head.headers)
    }

    fn access(&self, request: &mut Request, exchange: &mut Exchange<'_>) -> Flow {
        let anonymous = self.anonymous.as_deref();
        if authentication::is_settled(anonymous, exchange) {
            return Flow::Continue;
        }
        let Err(message) = self.authenticate(request, exchange) else { return Flow::Continue };
        let refusal = Response::message(401, message).with_header("WWW-Authenticate", self.challenge.as_bytes());
        authentication::flow(authentication::reject(anonymous, request, exchange, refusal))
    }
}
