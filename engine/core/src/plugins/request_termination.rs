//! request-termination: answers instead of the upstream.
//!
//! Source: the behaviour of Kong Gateway's plugin of the same name.

use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Compiled, Place, read};
use crate::error::FieldError;
use crate::message::{Captures, Headers, Request, Response, ResponseBody};
use crate::phases::{Exchange, Flow, Phases, Plugin};
use crate::query;

/// The configuration as the control plane sends it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    status_code: u16,
    message: Option<String>,
    body: Option<String>,
    content_type: Option<String>,
    echo: bool,
    trigger: Option<String>,
}

struct RequestTermination {
    response: Response,
    /// The request is told to the client instead of a body.
    echo: bool,
    message: Option<String>,
    trigger: Option<Box<str>>,
}

/// Compiles an instance.
pub(super) fn compile(config: Value, _: &Place) -> Compiled {
    let Config { status_code: status, message, body, content_type, echo, trigger } = read(config)?;
    if !(100..600).contains(&status) {
        return Err(vec![FieldError::new("status_code", "value should be between 100 and 599")]);
    }
    if message.is_some() && (body.is_some() || content_type.is_some()) {
        return Err(vec![FieldError::new("message", "cannot be used with body or content_type")]);
    }
    let content_type = content_type.unwrap_or_else(|| "application/json; charset=utf-8".into());
    if Headers::new().append("Content-Type", &content_type).is_err() {
        return Err(vec![FieldError::new("content_type", "invalid value")]);
    }
    let message = message.or_else(|| usual_message(status).map(str::to_owned));
    let body = match (body, &message) {
        (Some(body), _) => ResponseBody::Bytes { content_type: content_type.into(), body: body.into() },
        (None, Some(message)) => ResponseBody::PlainMessage(message.clone().into()),
        (None, None) => ResponseBody::Empty,
    };
    let response = Response { status, headers: Vec::new(), body };
    Ok(Arc::new(RequestTermination { response, echo, message, trigger: trigger.map(Into::into) }))
}

/// What is said where the user says nothing.
fn usual_message(status: u16) -> Option<&'static str> {
    match status {
        401 => Some("Unauthorized"),
        404 => Some("Not found"),
        405 => Some("Method not allowed"),
        500 => Some("An unexpected error occurred"),
        502 => Some("Bad Gateway"),
        503 => Some("Service unavailable"),
        _ => None,
    }
}

impl RequestTermination {
    fn is_triggered(&self, request: &Request) -> bool {
        self.trigger.as_deref().is_none_or(|trigger| {
            request.head.headers.contains(trigger)
                || query::values(request.head.query().unwrap_or_default(), trigger.as_bytes()).next().is_some()
        })
    }

    fn echo(&self, request: &Request, exchange: &Exchange<'_>) -> Response {
        let body = request.body().map(|body| text(body));
        let query = request.head.query().unwrap_or_default();
        let named = |id: Option<&str>| id.map_or(Value::Null, |id| json!({ "id": id }));
        let document = json!({
            "message": self.message,
            "kong": {"worker_pid": std::process::id()},
            "request": {
                "scheme": request.scheme.as_str(),
                "host": request.host,
                "port": request.arrival.local.port(),
                "method": text(request.head.method()),
                "path": text(request.head.path()),
                "headers": grouped(request.head.headers.iter().map(|(name, value)| (text(name).to_lowercase(), value))),
                "query": grouped(query::pairs(query).map(|(name, value)| (text(&name), value.unwrap_or_default()))),
                "raw_body": body,
                "body": request.body().map_or(Value::Null, |body| parsed(&request.head.headers, body)),
                "uri_captures": captures(&request.captures),
            },
            "matched_route": named(exchange.route.map(|route| &*route.id)),
            "matched_service": named(exchange.route.and_then(|route| route.service_id.as_deref())),
        });
        let body = Bytes::from(document.to_string());
        let content_type = "application/json; charset=utf-8".into();
        Response { body: ResponseBody::Bytes { content_type, body }, ..self.response.clone() }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// One value as text, several as a list.
fn grouped<V: AsRef<[u8]>>(pairs: impl Iterator<Item = (String, V)>) -> Value {
    let mut map = Map::new();
    for (name, value) in pairs {
        let value = Value::from(text(value.as_ref()));
        match map.get_mut(&name) {
            None => drop(map.insert(name, value)),
            Some(Value::Array(list)) => list.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    Value::Object(map)
}

/// A body of JSON or a form as what it says.
fn parsed(headers: &Headers, body: &[u8]) -> Value {
    let media_type = headers.get("content-type").and_then(|value| value.split(|byte| *byte == b';').next());
    match media_type.unwrap_or_default().trim_ascii().to_ascii_lowercase().as_slice() {
        b"application/json" => serde_json::from_slice(body).unwrap_or_default(),
        b"application/x-www-form-urlencoded" => {
            grouped(query::pairs(body).map(|(name, value)| (text(&name), value.unwrap_or_default())))
        }
        _ => Value::Null,
    }
}

fn captures(captures: &Captures) -> Value {
    let groups = (0..).map_while(|index| captures.get(index));
    Value::Array(groups.map(|group| Value::from(text(group))).collect())
}

impl Plugin for RequestTermination {
    fn phases(&self) -> Phases {
        if self.echo { Phases::ACCESS.and(Phases::REQUEST_BODY) } else { Phases::ACCESS }
    }

    fn needs_request_body(&self, _: &crate::message::RequestHead) -> bool {
        true
    }

    fn access(&self, request: &mut Request, exchange: &mut Exchange<'_>) -> Flow {
        if !self.is_triggered(request) {
            return Flow::Continue;
        }
        Flow::Respond(if self.echo { self.echo(request, exchange) } else { self.response.clone() })
    }
}
