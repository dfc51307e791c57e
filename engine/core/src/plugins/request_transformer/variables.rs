//! What templates see of a request.

use std::cell::OnceCell;

use super::arguments::{Argument, Arguments};
use crate::expr::{Key, Scope, Value, Variables};
use crate::message::{Headers, Request};
use crate::phases::values::Shared;

/// A request as templates see it. The query is decoded at its first use.
pub(super) struct View<'r> {
    request: &'r Request,
    headers: &'r Headers,
    shared: Option<&'r Shared>,
    query: OnceCell<Option<Arguments<'r>>>,
}

impl<'r> View<'r> {
    /// The request as it is now.
    pub(super) fn of(request: &'r Request, shared: Option<&'r Shared>) -> Self {
        Self { request, headers: &request.head.headers, shared, query: OnceCell::new() }
    }

    /// The same with a header list from before, if there is one.
    pub(super) fn with_headers(self, headers: Option<&'r Headers>) -> Self {
        Self { headers: headers.unwrap_or(self.headers), ..self }
    }

    fn header(&self, name: &[u8]) -> Value<'_> {
        let mut values = self.headers.iter().filter(|(own, _)| same_header(own, name)).map(|(_, value)| value);
        match (values.next(), values.next()) {
            (None, _) if same_header(b"host", name) && !self.request.host.is_empty() => {
                Value::text(self.request.host.as_bytes())
            }
            (None, _) => Value::Nil,
            (Some(only), None) => Value::text(only),
            (Some(first), Some(second)) => {
                let all = [first, second].into_iter().chain(values);
                Value::list(all.map(Value::text).collect())
            }
        }
    }

    fn query_argument(&self, name: &[u8]) -> Value<'_> {
        let query = self.request.upstream.query.as_deref().unwrap_or_default();
        // A query with more arguments than are worked on is like one without: nothing of it is visible.
        let arguments = self.query.get_or_init(|| Arguments::decode(query).ok());
        match arguments.as_ref().map_or(&[][..], |arguments| arguments.get(name)) {
            [] => Value::Nil,
            [only] => argument(only),
            all => Value::list(all.iter().map(argument).collect()),
        }
    }
}

fn argument<'a>(argument: &'a Argument<'_>) -> Value<'a> {
    match argument {
        Argument::Flag => Value::Bool(true),
        Argument::Text(text) => Value::text(text),
    }
}

impl Variables for View<'_> {
    fn get<'a>(&'a self, scope: Scope, key: Key<'_>) -> Value<'a> {
        match (scope, key) {
            (Scope::Headers, Key::Name(name)) => self.header(name),
            (Scope::QueryParams, Key::Name(name)) => self.query_argument(name),
            (Scope::UriCaptures, Key::Index(index)) => self.request.captures.get(index).map_or(Value::Nil, Value::text),
            (Scope::UriCaptures, Key::Name(name)) => {
                let captured = std::str::from_utf8(name).ok().and_then(|name| self.request.captures.name(name));
                captured.map_or(Value::Nil, Value::text)
            }
            (Scope::Shared, Key::Name(name)) => {
                self.shared.and_then(|shared| shared.get(name)).map_or(Value::Nil, Value::text)
            }
            (Scope::Headers | Scope::QueryParams | Scope::Shared, Key::Index(_)) => Value::Nil,
        }
    }
}

/// Whether a header line's name is the one that a template means: letter case and `_` for `-` do not matter.
fn same_header(own: &[u8], name: &[u8]) -> bool {
    let plain = |byte: &u8| if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    own.len() == name.len() && own.iter().map(plain).eq(name.iter().map(plain))
}

/// The same lines in a list of their own.
pub(super) fn copy(headers: &Headers) -> Headers {
    let mut copy = Headers::new();
    for (name, value) in headers.iter() {
        if let Ok(name) = std::str::from_utf8(name) {
            // What a received list holds is valid, so nothing is lost here.
            let _ = copy.append(name, value);
        }
    }
    copy
}
