//! key-auth: callers present a key in a header, in the query or in the body.
//!
//! Source: the behaviour of Kong Gateway's plugin of the same name.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::request_transformer::fields::{self, Field};
use super::{Compiled, Place, authentication, read};
use crate::error::FieldError;
use crate::message::{Request, RequestHead, Response, Version};
use crate::phases::exchange::Credential;
use crate::phases::{Exchange, Flow, Phases, Plugin};
use crate::query;

/// The configuration as the control plane sends it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(clippy::struct_excessive_bools, reason = "the user's own switches")]
struct Config {
    key_names: Vec<String>,
    key_in_header: bool,
    key_in_query: bool,
    key_in_body: bool,
    hide_credentials: bool,
    run_on_preflight: bool,
    anonymous: Option<String>,
    realm: Option<String>,
    #[serde(rename = "identity_realms", default)]
    _identity_realms: IgnoredAny,
    #[serde(rename = "principals", default)]
    _principals: IgnoredAny,
}

#[allow(clippy::struct_excessive_bools, reason = "the user's own switches")]
struct KeyAuth {
    names: Box<[Name]>,
    in_header: bool,
    in_query: bool,
    in_body: bool,
    hide: bool,
    on_preflight: bool,
    anonymous: Option<Box<str>>,
    challenge: Box<str>,
}

/// A name that keys may have.
struct Name {
    text: Box<str>,
    field: Field,
}

/// What a request presents.
enum Presented<'r> {
    Nothing,
    Several,
    /// The key, and under which name it was.
    Key(Cow<'r, [u8]>, usize),
}

/// Compiles an instance.
pub(super) fn compile(config: Value, _: &Place) -> Compiled {
    let config: Config = read(config)?;
    if config.key_names.is_empty() {
        return Err(vec![FieldError::new("key_names", "length must be at least 1")]);
    }
    let challenge = match config.realm.filter(|realm| !realm.is_empty()) {
        Some(realm) => format!("Key realm=\"{}\"", realm.replace('\\', "\\\\").replace('"', "\\\"")),
        None => "Key".to_owned(),
    };
    let names = config.key_names.into_iter().map(|name| Name { field: Field::new(&name), text: name.into() });
    Ok(Arc::new(KeyAuth {
        names: names.collect(),
        in_header: config.key_in_header,
        in_query: config.key_in_query,
        in_body: config.key_in_body,
        hide: config.hide_credentials,
        on_preflight: config.run_on_preflight,
        anonymous: authentication::anonymous(config.anonymous),
        challenge: challenge.into(),
    }))
}

impl KeyAuth {
    fn presented<'r>(&'r self, request: &'r Request) -> Presented<'r> {
        for (index, name) in self.names.iter().enumerate() {
            let in_header = || only(request.head.headers.get_all(&name.text).map(Cow::Borrowed));
            let in_query = || only(query::values(request.head.query().unwrap_or_default(), name.text.as_bytes()));
            // The second place counts only if there is nothing in the first.
            let found = if self.in_header { in_header() } else { Found::None };
            let found = if matches!(found, Found::None) && self.in_query { in_query() } else { found };
            match found {
                Found::None => {}
                Found::Several => return Presented::Several,
                Found::One(key) => return Presented::Key(key, index),
            }
            if self.in_body {
                match fields::values(request, &name.text).as_mut_slice() {
                    [] => {}
                    [key] if key.is_empty() => {}
                    [key] => return Presented::Key(Cow::Owned(std::mem::take(key)), index),
                    _ => return Presented::Several,
                }
            }
        }
        Presented::Nothing
    }

    fn hide(&self, request: &mut Request, name: &Name) {
        request.head.headers.remove(&name.text);
        if let Some(query) =
            request.upstream.query.as_deref().and_then(|query| query::without(query, name.text.as_bytes()))
        {
            request.upstream.query = Some(query).filter(|query| !query.is_empty());
        }
        if self.in_body {
            name.field.remove(request);
        }
    }

    fn authenticate(&self, request: &mut Request, exchange: &mut Exchange<'_>) -> Result<(), &'static str> {
        let (key, name) = match self.presented(request) {
            Presented::Nothing => return Err("No API key found in request"),
            Presented::Several => return Err("Duplicate API key found"),
            Presented::Key(key, name) => (key, name),
        };
        let now = || exchange.clock.since_epoch().as_secs();
        let directory = &exchange.tenant.directory;
        // A stream of HTTP/2 ends with its request: there is nothing to remember for.
        let found = if request.head.version == Version::Http2 {
            directory.key(&key, now)
        } else {
            directory.key_again(&key, &mut exchange.facts.last_key, now)
        };
        if self.hide {
            self.hide(request, &self.names[name]);
        }
        let (id, consumer) = found.ok_or("Unauthorized")?;
        let credential = Credential { id: id.clone(), identifier: id };
        authentication::accept(request, exchange, consumer, credential);
        Ok(())
    }
}

/// The values of one place.
enum Found<'r> {
    None,
    One(Cow<'r, [u8]>),
    Several,
}

fn only<'r>(mut values: impl Iterator<Item = Cow<'r, [u8]>>) -> Found<'r> {
    match (values.next(), values.next()) {
        (Some(one), None) if !one.is_empty() => Found::One(one),
        (Some(_), Some(_)) => Found::Several,
        _ => Found::None,
    }
}

impl Plugin for KeyAuth {
    fn phases(&self) -> Phases {
        if self.in_body { Phases::ACCESS.and(Phases::REQUEST_BODY) } else { Phases::ACCESS }
    }

    fn needs_request_body(&self, head: &RequestHead) -> bool {
        fields::may_be_in(head)
    }

    fn access(&self, request: &mut Request, exchange: &mut Exchange<'_>) -> Flow {
        if !self.on_preflight && request.head.method() == b"OPTIONS" {
            return Flow::Continue;
        }
        let anonymous = self.anonymous.as_deref();
        if authentication::is_settled(anonymous, exchange) {
            return Flow::Continue;
        }
        let Err(message) = self.authenticate(request, exchange) else { return Flow::Continue };
        let refusal = Response::message(401, message).with_header("WWW-Authenticate", self.challenge.as_bytes());
        authentication::flow(authentication::reject(anonymous, request, exchange, refusal))
    }
}
