//! What a stored response is found by: all that a service could have answered to, as far as anybody can tell.

use std::fmt::Write;

use ring::digest::{Context, SHA256};

use super::ProxyCache;
use crate::message::Request;
use crate::phases::Exchange;
use crate::query;

/// The digest of a request.
pub type Key = [u8; 32];

/// Headers that are always a part of the key, though nobody has configured it: who asks, and what makes services and their
/// frameworks take another request for this one. What is not a part of the key must make no difference to the response,
/// or one client decides what another one gets.
const ALWAYS: [&str; 18] = [
    "authorization",
    "cookie",
    "host",
    "origin",
    "forwarded",
    "x-forwarded-host",
    "x-forwarded-path",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-forwarded-scheme",
    "x-forwarded-server",
    "x-host",
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
];

/// A key that is being made. Every part goes in with its length, so that no two requests say the same in different words.
struct Making(Context);

impl Making {
    fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    fn add(&mut self, part: &[u8]) {
        self.0.update(&(part.len() as u64).to_be_bytes());
        self.0.update(part);
    }

    fn add_case_blind(&mut self, part: &[u8], blind: bool) {
        if blind { self.add(&part.to_ascii_lowercase()) } else { self.add(part) }
    }

    /// The values of a header, in their order; none is not the same as an empty one.
    fn add_header(&mut self, request: &Request, name: &str) {
        let headers = &request.head.headers;
        if headers.contains(name) {
            self.add(name.as_bytes());
            headers.get_all(name).for_each(|value| self.add(value));
        }
        self.add(b"");
    }

    fn done(self) -> Key {
        let mut key = Key::default();
        key.copy_from_slice(self.0.finish().as_ref());
        key
    }
}

/// The key of a request.
pub(super) fn of(plugin: &ProxyCache, request: &Request, exchange: &Exchange<'_>) -> Key {
    let mut key = Making::new();
    let facts = &*exchange.facts;
    key.add(&plugin.place);
    key.add(facts.consumer.as_ref().map_or("", |consumer| &consumer.id).as_bytes());
    key.add(exchange.route.map_or("", |route| &route.id).as_bytes());
    key.add(request.scheme.as_str().as_bytes());
    key.add(request.host.as_bytes());
    // What the client has asked for, and what other plugins have made of it.
    key.add(request.head.method());
    key.add(request.method());
    key.add_case_blind(request.head.path(), plugin.ignores_case);
    key.add_case_blind(&request.upstream.path, plugin.ignores_case);
    key.add(request.upstream.host.as_deref().unwrap_or_default());
    for query in [request.head.query(), request.upstream.query.as_deref()] {
        let mut pieces: Vec<&[u8]> = query.unwrap_or_default().split(|byte| *byte == b'&').collect();
        if let Some(names) = &plugin.vary_query_params {
            pieces.retain(|piece| {
                query::pairs(piece).next().is_some_and(|(name, _)| names.iter().any(|known| known.as_bytes() == &*name))
            });
        }
        // Their order does not matter, but that of several with one name does.
        pieces.sort_by_key(|piece| piece.split(|byte| *byte == b'=').next().unwrap_or_default());
        key.add(&(pieces.len() as u64).to_be_bytes());
        for piece in pieces {
            key.add(piece);
        }
    }
    for name in ALWAYS.into_iter().chain(plugin.vary_headers.iter().map(|name| &**name)) {
        key.add_header(request, name);
    }
    key.add(request.body().map_or(&b""[..], |body| body));
    key.done()
}

/// The key of one of the responses to a request that vary by these headers.
pub(super) fn variant(key: &Key, names: &[Box<str>], request: &Request) -> Key {
    let mut making = Making::new();
    making.add(key);
    for name in names {
        making.add(name.as_bytes());
        making.add_header(request, name);
    }
    making.done()
}

/// As users see it.
pub(super) fn text(key: &Key) -> String {
    key.iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
