//! What a function is told of a request.
//!
//! Source: the behaviour of Kong Gateway's plugin; AWS documentation, payload formats 1.0 and 2.0 of API Gateway.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use super::Config;
use crate::base64;
use crate::clock::{Clock, MONTHS, civil, time_of_day};
use crate::message::{Request, Version};
use crate::phases::Exchange;
use crate::plugins::request_transformer::fields;
use crate::query::pairs;
use crate::unique::uuid;

/// Media types whose bodies are text.
const TEXTS: [&str; 5] = ["text/plain", "text/html", "application/xml", "text/xml", "application/soap+xml"];

/// The payload that a configuration asks for.
pub(super) fn payload(config: &Config, request: &Request, exchange: &Exchange<'_>) -> Vec<u8> {
    let event = if config.awsgateway_compatible {
        match &*config.awsgateway_compatible_payload_version {
            "2.0" => gateway_2(config, request, exchange),
            _ => gateway_1(config, request, exchange),
        }
    } else if config.forwards() {
        forwarded(config, request)
    } else {
        let mut arguments = arguments(query(request));
        if let Some(Value::Object(more)) = body_arguments(request) {
            arguments.extend(more);
        }
        Value::Object(arguments)
    };
    event.to_string().into_bytes()
}

/// The parts of a request that the configuration names.
fn forwarded(config: &Config, request: &Request) -> Value {
    let mut event = Map::new();
    if config.forward_request_method {
        event.insert("request_method".into(), text(request.method()).into());
    }
    if config.forward_request_headers {
        let mut headers = Map::new();
        for (name, value) in request.head.headers.iter() {
            add(&mut headers, text(name).to_ascii_lowercase(), text(value).into());
        }
        event.insert("request_headers".into(), headers.into());
    }
    if config.forward_request_uri {
        let mut uri = text(request.head.path()).into_owned();
        if let Some(query) = request.head.query() {
            uri.push('?');
            uri.push_str(&text(query));
        }
        event.insert("request_uri".into(), uri.into());
        event.insert("request_uri_args".into(), arguments(query(request)).into());
    }
    if config.forward_request_body {
        let read = body_arguments(request);
        let is_text = read.is_some() || TEXTS.contains(&&*media_type(request));
        let (body, is_encoded) = written(body(request), config.base64_encode_body && !is_text);
        event.insert("request_body".into(), body);
        event.insert("request_body_args".into(), read.unwrap_or_else(|| json!({})));
        if is_encoded {
            event.insert("request_body_base64".into(), true.into());
        }
    }
    event.into()
}

/// A request as API Gateway tells it, in its first form.
fn gateway_1(config: &Config, request: &Request, exchange: &Exchange<'_>) -> Value {
    let (mut headers, mut all_headers) = (Map::new(), Map::new());
    for (name, value) in request.head.headers.iter() {
        both(&mut headers, &mut all_headers, text(name).to_ascii_lowercase(), text(value).into_owned());
    }
    let (mut parameters, mut all_parameters) = (Map::new(), Map::new());
    for (name, value) in pairs(query(request)) {
        let value = value.map_or_else(String::new, |value| text(&value).into_owned());
        both(&mut parameters, &mut all_parameters, text(&name).into_owned(), value);
    }
    let (body, is_encoded) = written(body(request), config.base64_encode_body);
    let (path, method) = (text(request.head.path()), text(request.method()));
    let resource = resource(request, exchange);
    json!({
        "version": "1.0", "resource": resource, "path": path, "httpMethod": method, "headers": headers,
        "multiValueHeaders": all_headers, "pathParameters": captures(request), "queryStringParameters": parameters,
        "multiValueQueryStringParameters": all_parameters, "body": body, "isBase64Encoded": is_encoded,
        "requestContext": {
            "path": path, "protocol": protocol(request), "httpMethod": method, "domainName": request.host,
            "domainPrefix": prefix(request), "requestId": uuid().as_str(), "resourcePath": resource,
            "requestTime": time(exchange.clock), "requestTimeEpoch": millis(exchange.clock),
            "identity": {"sourceIp": request.client_ip, "userAgent": agent(request)},
        },
    })
}

/// The same in the second form.
fn gateway_2(config: &Config, request: &Request, exchange: &Exchange<'_>) -> Value {
    let (mut headers, mut cookies) = (Map::new(), Vec::new());
    for (name, value) in request.head.headers.iter() {
        let (name, value) = (text(name).to_ascii_lowercase(), text(value));
        if name == "cookie" {
            cookies.extend(value.split(';').map(|cookie| Value::from(cookie.trim())));
        } else {
            join(&mut headers, name, &value);
        }
    }
    let mut parameters = Map::new();
    for (name, value) in pairs(query(request)) {
        join(
            &mut parameters,
            text(&name).into_owned(),
            &value.map_or(Cow::Borrowed(""), |value| text(&value).into_owned().into()),
        );
    }
    let (body, is_encoded) = written(body(request), config.base64_encode_body);
    let (path, method) = (text(request.head.path()), text(request.method()));
    let route = format!("{method} {}", resource(request, exchange));
    json!({
        "version": "2.0", "routeKey": route, "rawPath": path, "rawQueryString": text(query(request)), "cookies": cookies,
        "headers": headers, "queryStringParameters": parameters, "pathParameters": captures(request), "body": body,
        "isBase64Encoded": is_encoded,
        "requestContext": {
            "domainName": request.host, "domainPrefix": prefix(request), "requestId": uuid().as_str(), "routeKey": route,
            "stage": "$default", "time": time(exchange.clock), "timeEpoch": millis(exchange.clock),
            "http": {
                "method": method, "path": path, "protocol": protocol(request), "sourceIp": request.client_ip,
                "userAgent": agent(request),
            },
        },
    })
}

/// Bytes as text; what is no UTF-8 is marked.
fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

fn query(request: &Request) -> &[u8] {
    request.upstream.query.as_deref().unwrap_or_default()
}

fn body(request: &Request) -> &[u8] {
    request.body().map_or(&[], |body| body)
}

fn media_type(request: &Request) -> String {
    let value = request.head.headers.get("content-type").unwrap_or_default();
    text(value).split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The arguments of a query or a form: several of a name are a list, one without a value is true.
fn arguments(encoded: &[u8]) -> Map<String, Value> {
    let mut all = Map::new();
    for (name, value) in pairs(encoded).filter(|(name, _)| !name.is_empty()) {
        add(&mut all, text(&name).into_owned(), value.map_or(Value::Bool(true), |value| text(&value).into()));
    }
    all
}

/// What can be read of a body; `None` if its type says that nothing can.
fn body_arguments(request: &Request) -> Option<Value> {
    match &*media_type(request) {
        "application/x-www-form-urlencoded" => Some(arguments(body(request)).into()),
        "application/json" => Some(serde_json::from_slice(body(request)).unwrap_or_else(|_| json!({}))),
        "multipart/form-data" => {
            let mut all = Map::new();
            for (name, value) in fields::parts(request) {
                add(&mut all, text(&name).into_owned(), text(&value).into());
            }
            Some(all.into())
        }
        _ => None,
    }
}

/// A body as a JSON value, and whether it was encoded.
fn written(body: &[u8], is_encoded: bool) -> (Value, bool) {
    match (body.is_empty(), is_encoded) {
        (true, _) => ("".into(), false),
        (false, true) => (base64::encode(body).into(), true),
        (false, false) => (text(body).into(), false),
    }
}

/// Adds a value; a second one makes a list.
fn add(all: &mut Map<String, Value>, name: String, value: Value) {
    match all.get_mut(&name) {
        Some(Value::Array(values)) => values.push(value),
        Some(first) => *first = json!([first.take(), value]),
        None => {
            all.insert(name, value);
        }
    }
}

/// Adds the first value of a name, and all of them.
fn both(first: &mut Map<String, Value>, all: &mut Map<String, Value>, name: String, value: String) {
    if let Some(Value::Array(values)) = all.get_mut(&name) {
        values.push(value.into());
    } else {
        first.insert(name.clone(), value.clone().into());
        all.insert(name, json!([value]));
    }
}

/// Adds a value behind others, with a comma.
fn join(all: &mut Map<String, Value>, name: String, value: &str) {
    match all.get_mut(&name) {
        Some(Value::String(known)) => {
            known.push(',');
            known.push_str(value);
        }
        _ => {
            all.insert(name, value.into());
        }
    }
}

/// The path that the route is for; the request's where there are several.
fn resource<'r>(request: &'r Request, exchange: &'r Exchange<'_>) -> Cow<'r, str> {
    let paths = exchange.route.and_then(|route| route.logged.spec()).and_then(|spec| spec.paths.as_deref());
    match paths {
        Some([only]) => only.strip_prefix('~').unwrap_or(only).into(),
        _ => text(request.head.path()),
    }
}

fn captures(request: &Request) -> Map<String, Value> {
    request.captures.named().map(|(name, value)| (name.to_owned(), text(value).into())).collect()
}

fn agent(request: &Request) -> Value {
    request.head.headers.get("user-agent").map_or(Value::Null, |agent| text(agent).into())
}

fn prefix(request: &Request) -> &str {
    request.host.split('.').next().unwrap_or_default()
}

fn protocol(request: &Request) -> &'static str {
    match request.head.version {
        Version::Http10 => "HTTP/1.0",
        Version::Http11 => "HTTP/1.1",
        Version::Http2 => "HTTP/2.0",
    }
}

/// `09/Apr/2015:12:34:56 +0000`.
fn time(clock: &Clock) -> String {
    let seconds = clock.since_epoch().as_secs();
    let (year, month, day) = civil(seconds / 86_400);
    let month = usize::try_from(month).ok().and_then(|month| MONTHS.get(month.wrapping_sub(1))).unwrap_or(&"");
    format!("{day:02}/{month}/{year:04}:{} +0000", time_of_day(seconds))
}

fn millis(clock: &Clock) -> u64 {
    u64::try_from(clock.since_epoch().as_millis()).unwrap_or(u64::MAX)
}
