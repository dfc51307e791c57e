//! jwt: callers present a signed token (RFC 7519).
//!
//! A token names its credential, and the credential says which algorithm and which key are right: what the token says of
//! its algorithm only has to agree.
//!
//! Source: the behaviour of Kong Gateway's plugin of the same name.

mod sources;
mod token;

use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value};

use self::sources::{Presented, Sources};
use self::token::Token;
use super::{Compiled, Place, authentication, read};
use crate::clock::Clock;
use crate::message::{Request, Response, ResponseBody};
use crate::phases::exchange::Credential;
use crate::phases::values::Shared;
use crate::phases::{Exchange, Flow, Phases, Plugin};

/// What other plugins find the token by.
const SHARED_AS: &str = "authenticated_jwt_token";

/// The configuration as the control plane sends it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    uri_param_names: Vec<String>,
    cookie_names: Vec<String>,
    header_names: Vec<String>,
    key_claim_name: String,
    secret_is_base64: bool,
    claims_to_verify: Option<Vec<Claim>>,
    maximum_expiration: f64,
    anonymous: Option<String>,
    run_on_preflight: bool,
    realm: Option<String>,
}

/// A claim of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Claim {
    Exp,
    Nbf,
}

#[allow(clippy::struct_excessive_bools, reason = "the user's own switches")]
struct Jwt {
    sources: Sources,
    key_claim: Box<str>,
    decodes_secret: bool,
    verifies_expiry: bool,
    verifies_beginning: bool,
    /// Seconds; 0 for no bound.
    longest: f64,
    anonymous: Option<Box<str>>,
    on_preflight: bool,
    /// The challenge to who presents nothing, and to who presents something wrong.
    challenges: [Box<str>; 2],
}

/// Compiles an instance.
pub(super) fn compile(config: Value, _: &Place) -> Compiled {
    let config: Config = read(config)?;
    let verified = config.claims_to_verify.unwrap_or_default();
    let challenges = match config.realm.filter(|realm| !realm.is_empty()) {
        Some(realm) => {
            let challenge = format!("Bearer realm=\"{}\"", realm.replace('\\', "\\\\").replace('"', "\\\""));
            [challenge.clone(), format!("{challenge}, error=\"invalid_token\"")]
        }
        None => ["Bearer".to_owned(), "Bearer error=\"invalid_token\"".to_owned()],
    };
    Ok(Arc::new(Jwt {
        sources: Sources::new(config.uri_param_names, config.cookie_names, config.header_names),
        key_claim: config.key_claim_name.into(),
        decodes_secret: config.secret_is_base64,
        verifies_expiry: verified.contains(&Claim::Exp),
        verifies_beginning: verified.contains(&Claim::Nbf),
        longest: config.maximum_expiration,
        anonymous: authentication::anonymous(config.anonymous),
        on_preflight: config.run_on_preflight,
        challenges: challenges.map(Into::into),
    }))
}

/// Why a request does not pass.
enum Refusal {
    Missing,
    Wrong(String),
    /// What is wrong with claims, by name.
    Claims(Map<String, Value>),
}

impl Refusal {
    fn wrong(message: impl Into<String>) -> Self {
        Self::Wrong(message.into())
    }

    fn claim(name: &str, message: &str) -> Self {
        Self::Claims([(name.to_owned(), message.into())].into_iter().collect())
    }
}

impl Jwt {
    fn authenticate(&self, request: &mut Request, exchange: &mut Exchange<'_>) -> Result<(), Refusal> {
        let presented = match self.sources.token(&request.head) {
            Presented::Nothing => return Err(Refusal::Missing),
            Presented::Several => return Err(Refusal::wrong("Multiple tokens provided")),
            Presented::Token(token) => token,
        };
        let claim = &self.key_claim;
        let token = Token::parse(&presented, claim).map_err(|why| Refusal::wrong(format!("Bad token; {why}")))?;
        let name = match &token.key {
            None => return Err(Refusal::wrong(format!("No mandatory '{claim}' in claims"))),
            Some(Value::String(name)) if !name.is_empty() => name,
            Some(_) => return Err(Refusal::wrong(format!("Invalid '{claim}' in claims"))),
        };
        let found = exchange.tenant.directory.jwt_key(name);
        let unknown = || Refusal::wrong(format!("No credentials found for given '{claim}'"));
        let (key, consumer) = found.ok_or_else(unknown)?;
        if token.algorithm != key.algorithm() {
            return Err(Refusal::wrong("Invalid algorithm"));
        }
        match key.verify(token.message, &token.signature, self.decodes_secret) {
            None => return Err(Refusal::wrong("Invalid key/secret")),
            Some(false) => return Err(Refusal::wrong("Invalid signature")),
            Some(true) => {}
        }
        self.check_times(&token, exchange.clock)?;
        let credential = Credential { id: key.id.clone(), identifier: key.name.clone() };
        let (consumer, presented) = (consumer.clone(), presented.into_owned());
        authentication::accept(request, exchange, consumer, credential);
        let values = &mut exchange.facts.values;
        if let Some(shared) = values.get_mut::<Shared>() {
            shared.set(SHARED_AS, presented);
        } else {
            let mut shared = Shared::default();
            shared.set(SHARED_AS, presented);
            values.set(shared);
        }
        Ok(())
    }

    fn check_times(&self, token: &Token<'_>, clock: &Clock) -> Result<(), Refusal> {
        if !self.verifies_expiry && !self.verifies_beginning {
            return Ok(());
        }
        #[allow(clippy::cast_precision_loss, reason = "exact for the next hundred million years")]
        let now = clock.since_epoch().as_secs() as f64;
        let mut wrong = Map::new();
        let mut check = |name: &str, value: &Option<Value>, fault: &dyn Fn(f64) -> Option<&'static str>| {
            let number = value.as_ref().and_then(Value::as_f64);
            if let Some(fault) = number.map_or(Some("must be a number"), fault) {
                wrong.insert(name.to_owned(), fault.into());
            }
        };
        if self.verifies_expiry {
            check("exp", &token.expires, &|at| (at <= now).then_some("token expired"));
        }
        if self.verifies_beginning {
            check("nbf", &token.not_before, &|at| (at > now).then_some("token not valid yet"));
        }
        if !wrong.is_empty() {
            return Err(Refusal::Claims(wrong));
        }
        let ends = token.expires.as_ref().and_then(Value::as_f64);
        if self.longest > 0.0 && ends.is_none_or(|ends| ends - now > self.longest) {
            return Err(Refusal::claim("exp", "exceeds maximum allowed expiration"));
        }
        Ok(())
    }

    fn refuse(&self, refusal: Refusal) -> Response {
        let [missing, wrong] = &self.challenges;
        let (body, challenge) = match refusal {
            Refusal::Missing => (ResponseBody::PlainMessage("Unauthorized".into()), missing),
            Refusal::Wrong(message) => (ResponseBody::PlainMessage(message.into()), wrong),
            Refusal::Claims(claims) => {
                let content_type = "application/json; charset=utf-8".into();
                let body = Bytes::from(Value::from(claims).to_string());
                (ResponseBody::Bytes { content_type, body }, wrong)
            }
        };
        let response = Response { status: 401, headers: Vec::new(), body };
        response.with_header("WWW-Authenticate", challenge.as_bytes())
    }
}

impl Plugin for Jwt {
    fn phases(&self) -> Phases {
        Phases::ACCESS
    }

    fn access(&self, request: &mut Request, exchange: &mut Exchange<'_>) -> Flow {
        if !self.on_preflight && request.head.method() == b"OPTIONS" {
            return Flow::Continue;
        }
        let anonymous = self.anonymous.as_deref();
        if authentication::is_settled(anonymous, exchange) {
            return Flow::Continue;
        }
        let Err(refusal) = self.authenticate(request, exchange) else { return Flow::Continue };
        let refusal = self.refuse(refusal);
        authentication::flow(authentication::reject(anonymous, request, exchange, refusal))
    }
}
