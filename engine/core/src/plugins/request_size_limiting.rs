//! request-size-limiting: refuses requests with too large a body.
//!
//! A body whose length is told is judged by that. Any other is stopped when it has become too long, wherever it is by then.
//!
//! Source: the behaviour of Kong Gateway's plugin of the same name.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::{Compiled, Place, read};
use crate::error::FieldError;
use crate::message::{Headers, Request, Response};
use crate::phases::exchange::BodyLimit;
use crate::phases::{Exchange, Flow, Phases, Plugin};

/// The configuration as the control plane sends it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    allowed_payload_size: f64,
    size_unit: Unit,
    require_content_length: bool,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Unit {
    Megabytes,
    Kilobytes,
    Bytes,
}

struct RequestSizeLimiting {
    most_bytes: u64,
    requires_length: bool,
}

/// Compiles an instance.
pub(super) fn compile(config: Value, _: &Place) -> Compiled {
    let Config { allowed_payload_size: size, size_unit, require_content_length: requires_length } = read(config)?;
    if size < 0.0 {
        return Err(vec![FieldError::new("allowed_payload_size", "value must not be negative")]);
    }
    let unit = match size_unit {
        Unit::Megabytes => 1024.0 * 1024.0,
        Unit::Kilobytes => 1024.0,
        Unit::Bytes => 1.0,
    };
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "what is larger than all bodies is no limit"
    )]
    let most_bytes = (size * unit) as u64;
    Ok(Arc::new(RequestSizeLimiting { most_bytes, requires_length }))
}

/// How long the body is, as the request's head says.
fn told(headers: &Headers) -> Option<u64> {
    std::str::from_utf8(headers.get("content-length")?).ok()?.trim().parse().ok()
}

impl Plugin for RequestSizeLimiting {
    fn phases(&self) -> Phases {
        Phases::ACCESS
    }

    fn access(&self, request: &mut Request, exchange: &mut Exchange<'_>) -> Flow {
        let headers = &request.head.headers;
        let limit = BodyLimit { bytes: self.most_bytes, expects: request.expects_continue };
        let length = match told(headers) {
            None if self.requires_length && !request.in_chunks => {
                return Flow::Respond(Response::message(411, "A valid Content-Length header is required"));
            }
            None => request.body().map(|body| body.len() as u64),
            told => told,
        };
        match length {
            Some(length) if length > self.most_bytes => return Flow::Respond(limit.refusal()),
            Some(_) => {}
            None => exchange.facts.limit_body(limit),
        }
        Flow::Continue
    }
}
