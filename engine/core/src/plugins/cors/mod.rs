//! cors: tells browsers which pages may call (the Fetch standard).
//!
//! Source: the behaviour of Kong Gateway's plugin of the same name.

mod origins;

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use self::origins::{Allowed, Origins};
use super::{Compiled, Place, read};
use crate::error::FieldError;
use crate::message::{Headers, Known, Request, Response, ResponseBody, ResponseHead};
use crate::phases::{Exchange, Flow, Phases, Plugin};

const ALLOW_ORIGIN: Known = Known::new("Access-Control-Allow-Origin");
const ALLOW_CREDENTIALS: Known = Known::new("Access-Control-Allow-Credentials");
const ALLOW_HEADERS: Known = Known::new("Access-Control-Allow-Headers");
const ALLOW_METHODS: Known = Known::new("Access-Control-Allow-Methods");
const ALLOW_PRIVATE_NETWORK: Known = Known::new("Access-Control-Allow-Private-Network");
const EXPOSE_HEADERS: Known = Known::new("Access-Control-Expose-Headers");
const MAX_AGE: Known = Known::new("Access-Control-Max-Age");
const VARY: Known = Known::new("Vary");

/// The configuration as the control plane sends it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(clippy::struct_excessive_bools, reason = "the user's own switches")]
struct Config {
    origins: Option<Vec<String>>,
    headers: Option<Vec<String>>,
    exposed_headers: Option<Vec<String>>,
    methods: Option<Vec<String>>,
    max_age: Option<serde_json::Number>,
    credentials: bool,
    private_network: bool,
    preflight_continue: bool,
    allow_origin_absent: bool,
}

#[allow(clippy::struct_excessive_bools, reason = "the user's own switches")]
struct Cors {
    origins: Origins,
    /// `None` allows what is asked for.
    headers: Option<Box<str>>,
    exposed: Option<Box<str>>,
    methods: Box<str>,
    max_age: Option<Box<str>>,
    credentials: bool,
    private_network: bool,
    preflight_continue: bool,
    allow_origin_absent: bool,
}

/// Compiles an instance.
pub(super) fn compile(config: Value, _: &Place) -> Compiled {
    let config: Config = read(config)?;
    let mut errors = Vec::new();
    let mut list = |field: &str, names: Option<Vec<String>>| {
        let joined = names.filter(|names| !names.is_empty())?.join(",");
        if Headers::new().append("x", &joined).is_err() {
            errors.push(FieldError::new(field, "must not contain control characters"));
        }
        Some(joined.into())
    };
    let (headers, exposed) = (list("headers", config.headers), list("exposed_headers", config.exposed_headers));
    let methods = list("methods", config.methods)
        .unwrap_or_else(|| "GET,HEAD,PUT,PATCH,POST,DELETE,OPTIONS,TRACE,CONNECT".into());
    let origins = Origins::new(&config.origins.unwrap_or_default()).map_err(|found| errors.extend(found));
    let Ok(origins) = origins else { return Err(errors) };
    if !errors.is_empty() {
        return Err(errors);
    }
    Ok(Arc::new(Cors {
        origins,
        headers,
        exposed,
        methods,
        max_age: config.max_age.map(|seconds| seconds.to_string().into()),
        credentials: config.credentials,
        private_network: config.private_network,
        preflight_continue: config.preflight_continue,
        allow_origin_absent: config.allow_origin_absent,
    }))
}

/// The origin that a request names.
fn origin_of(request: &Request) -> Option<&[u8]> {
    request.head.headers.get("origin").filter(|origin| !origin.is_empty())
}

/// Whether a browser asks what it may do.
fn is_preflight(request: &Request) -> bool {
    request.head.method() == b"OPTIONS"
        && origin_of(request).is_some()
        && request.head.headers.contains("access-control-request-method")
}

impl Cors {
    /// Marks a response for an origin.
    fn mark(&self, origin: Option<&[u8]>, headers: &mut Headers) {
        headers.remove_all(&[ALLOW_ORIGIN]);
        let allowed = self.origins.allowed(origin);
        if self.origins.depend_on_origin() {
            let _ = headers.append_known(VARY, "Origin");
        }
        let is_any = matches!(allowed, Allowed::Any);
        let mut value = match &allowed {
            Allowed::Any => Some(&b"*"[..]),
            Allowed::Origin(origin) => Some(*origin),
            Allowed::None => None,
        };
        if self.credentials {
            // `*` is no answer to calls with credentials.
            if is_any && let Some(origin) = origin {
                value = Some(origin);
                if !self.origins.depend_on_origin() {
                    let _ = headers.append_known(VARY, "Origin");
                }
            }
            if !is_any || origin.is_some() {
                headers.remove_all(&[ALLOW_CREDENTIALS]);
                let _ = headers.append_known(ALLOW_CREDENTIALS, "true");
            }
        }
        if let Some(value) = value {
            let _ = headers.append_known(ALLOW_ORIGIN, value);
        }
    }

    fn answer_preflight(&self, request: &Request, headers: &mut Headers) {
        self.mark(origin_of(request), headers);
        let asked = |name: &str| request.head.headers.get(name);
        let allowed = self.headers.as_deref().map(str::as_bytes).or_else(|| asked("access-control-request-headers"));
        if let Some(allowed) = allowed {
            let _ = headers.append_known(ALLOW_HEADERS, allowed);
        }
        let _ = headers.append_known(ALLOW_METHODS, self.methods.as_bytes());
        if let Some(max_age) = &self.max_age {
            let _ = headers.append_known(MAX_AGE, max_age.as_bytes());
        }
        if self.private_network && asked("access-control-request-private-network") == Some(b"true") {
            let _ = headers.append_known(ALLOW_PRIVATE_NETWORK, "true");
        }
    }
}

impl Plugin for Cors {
    fn phases(&self) -> Phases {
        Phases::ACCESS.and(Phases::RESPONSE)
    }

    fn access(&self, request: &mut Request, exchange: &mut Exchange<'_>) -> Flow {
        if self.preflight_continue || !is_preflight(request) {
            return Flow::Continue;
        }
        self.answer_preflight(request, &mut exchange.facts.response_headers);
        Flow::Respond(Response { status: 200, headers: Vec::new(), body: ResponseBody::Empty })
    }

    fn response(&self, request: &Request, response: &mut ResponseHead, _: &mut Exchange<'_>) {
        let origin = origin_of(request);
        if is_preflight(request) || (origin.is_none() && !self.allow_origin_absent) {
            return;
        }
        self.mark(origin, &mut response.headers);
        if let Some(exposed) = &self.exposed {
            response.headers.remove_all(&[EXPOSE_HEADERS]);
            let _ = response.headers.append_known(EXPOSE_HEADERS, exposed.as_bytes());
        }
    }
}
