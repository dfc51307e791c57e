//! Ranking, conditions and the index as a whole.

mod conditions;
mod equivalence;
mod expressions;
mod oracle;
mod paths;
mod precedence;
mod streams;
mod traditional;
mod updates;
mod work;

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Flavor, Match, MatchInput, RouteSpec, Router, normalise};
use crate::error::ConfigError;
use crate::message::{Headers, Scheme};
pub(super) use equivalence::Random;

/// A route with defaults; `fields` replaces some of them. Ids follow `order`.
pub(super) fn route(order: usize, fields: &Value) -> Arc<RouteSpec> {
    let mut document = json!({
        "id": format!("00000000-0000-4000-8000-{order:012}"), "name": null, "protocols": ["http", "https"],
        "methods": null, "hosts": null, "paths": null, "headers": null, "snis": null, "sources": null,
        "destinations": null, "regex_priority": 0, "strip_path": true, "path_handling": "v0", "preserve_host": false,
        "https_redirect_status_code": 426, "request_buffering": true, "response_buffering": true, "service": null,
        "expression": null, "priority": null, "created_at": null,
    });
    for (key, value) in fields.as_object().unwrap() {
        document[key] = value.clone();
    }
    Arc::new(serde_json::from_value(document).unwrap())
}

pub(super) fn routes(fields: &[Value]) -> Vec<Arc<RouteSpec>> {
    fields.iter().enumerate().map(|(order, fields)| route(order, fields)).collect()
}

pub(super) fn compiled(fields: &[Value]) -> Router {
    Router::compile(Flavor::default(), &routes(fields)).unwrap()
}

/// A request to be matched, as a client would send it.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) method: &'static str,
    pub(super) host: String,
    pub(super) port: u16,
    /// With the query.
    pub(super) path: String,
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    pub(super) headers: Vec<(String, String)>,
    pub(super) tls: bool,
    pub(super) sni: Option<String>,
}

impl Sent {
    pub(super) fn get(host: &str, path: &str) -> Self {
        let (host, path) = (host.to_owned(), path.to_owned());
        let source = SocketAddr::from(([10, 1, 2, 3], 40_000));
        let destination = SocketAddr::from(([127, 0, 0, 1], 8000));
        Self { method: "GET", host, port: 8000, path, source, destination, headers: Vec::new(), tls: false, sni: None }
    }

    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn over_tls(mut self, sni: Option<&str>) -> Self {
        (self.tls, self.sni) = (true, sni.map(str::to_owned));
        self
    }

    /// Calls `ask` with this request's input.
    pub(super) fn ask<T>(&self, ask: impl FnOnce(&MatchInput<'_>) -> T) -> T {
        let mut headers = Headers::new();
        for (name, value) in &self.headers {
            headers.append(name, value).unwrap();
        }
        let (path, query) = match self.path.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (self.path.as_str(), None),
        };
        ask(&MatchInput {
            method: self.method.as_bytes(),
            host: &self.host,
            port: self.port,
            path: &normalise(path.as_bytes()).unwrap(),
            headers: &headers,
            sni: self.sni.as_deref(),
            scheme: if self.tls { Scheme::Https } else { Scheme::Http },
            query: query.as_deref().map(str::as_bytes),
            source: self.source,
            destination: self.destination,
        })
    }

    pub(super) fn find(&self, router: &Router) -> Option<Match> {
        self.ask(|input| router.find(input)).unwrap()
    }

    pub(super) fn winner(&self, router: &Router) -> Option<usize> {
        self.find(router).map(|found| found.route)
    }
}

fn refusals(fields: &[Value]) -> Vec<ConfigError> {
    Router::compile(Flavor::default(), &routes(fields)).unwrap_err()
}

#[test]
fn no_routes_match_nothing() {
    assert_eq!(Sent::get("a.com", "/").find(&compiled(&[])), None);
}

#[test]
fn a_path_that_is_not_utf8_matches_nothing() {
    let router = compiled(&[json!({"hosts": ["a.com"]}), json!({"paths": ["/"]})]);
    assert_eq!(Sent::get("a.com", "/caf%C3%A9").winner(&router), Some(0));
    assert_eq!(Sent::get("a.com", "/caf%E9").winner(&router), None);
}

#[test]
fn says_what_of_the_path_matched() {
    let router = compiled(&[
        json!({"paths": ["/api", "/api/v1"]}),
        json!({"paths": [r"~/users/(?<id>\d+)"]}),
        json!({"hosts": ["a.com"], "methods": ["GET"]}),
    ]);
    let found = Sent::get("b.com", "/api/v1/x").find(&router).unwrap();
    assert_eq!((found.route, found.matched, found.captures.is_empty()), (0, Some(7), true));
    let found = Sent::get("b.com", "/users/42/x").find(&router).unwrap();
    assert_eq!((found.route, found.matched), (1, Some(9)));
    assert_eq!(found.captures.name("id"), Some(&b"42"[..]));
    let found = Sent::get("a.com", "/x").find(&router).unwrap();
    assert_eq!((found.route, found.matched, found.captures.is_empty()), (2, None, true));
}

#[test]
fn the_first_matching_regex_of_a_route_captures() {
    let router = compiled(&[json!({"paths": ["~/(?<a>x+)", "~/(?<b>x)"]})]);
    let found = Sent::get("h", "/xx").find(&router).unwrap();
    assert_eq!((found.matched, found.captures.name("a"), found.captures.name("b")), (Some(3), Some(&b"xx"[..]), None));
}

#[test]
fn stream_routes_match_no_request() {
    let router = compiled(&[
        json!({"protocols": ["tcp", "tls"], "snis": ["a.com"]}),
        json!({"protocols": ["grpcs"], "paths": ["/"]}),
    ]);
    assert_eq!(Sent::get("h", "/").winner(&router), Some(1));
}

#[test]
fn reports_every_bad_field_of_every_route() {
    let errors = refusals(&[
        json!({"name": "first", "paths": ["/fine", "~/(a", "~/ok", "~/[b-a]"]}),
        json!({"paths": ["~/fine"]}),
        json!({"hosts": ["a.com", "b.com:99999"], "headers": {"x-a": ["1", "~*(("]}}),
    ]);
    let fields: Vec<&str> = errors.iter().filter_map(|error| error.field.as_deref()).collect();
    assert_eq!(fields, ["paths[1]", "paths[3]", "hosts[1]", "headers.x-a[1]"]);
    assert!(errors.iter().all(|error| error.entity == "route"));
    assert_eq!(errors[0].name.as_deref(), Some("first"));
    assert_eq!(errors[0].id, "00000000-0000-4000-8000-000000000000");
    assert_eq!(errors[0].message, "invalid regex: '/(a' (unclosed group)");
}
