//! request-transformer-advanced: the same with typed JSON values, names that lead into documents and an allow list.
//!
//! What an allow list cannot be applied to does not pass: JSON that is compressed, or that is none.
//!
//! Source: the behaviour of Kong Gateway's plugin of the same name.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::allow::Allow;
use super::body::BodyKind;
use super::config::{self, Replacements, Section};
use super::document::Document;
use super::operations::{Edits, Rendered};
use super::typed::JsonType;
use super::{Failure, RequestTransformer};
use crate::message::{Headers, Response};
use crate::plugins::{Compiled, Place, read};

/// The configuration as the control plane sends it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    http_method: Option<String>,
    remove: Names,
    rename: Names,
    replace: Values,
    add: Values,
    append: Values,
    allow: Allowed,
    dots_in_keys: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Names {
    headers: Vec<String>,
    querystring: Vec<String>,
    body: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Values {
    headers: Vec<String>,
    querystring: Vec<String>,
    body: Vec<String>,
    json_types: Vec<JsonType>,
    #[serde(default)]
    uri: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Allowed {
    body: Option<Vec<String>>,
}

impl From<Names> for Section {
    fn from(Names { headers, querystring, body }: Names) -> Self {
        Self { headers: Some(headers), querystring: Some(querystring), body: Some(body) }
    }
}

impl From<Values> for Section {
    fn from(Values { headers, querystring, body, .. }: Values) -> Self {
        Self { headers: Some(headers), querystring: Some(querystring), body: Some(body) }
    }
}

/// How JSON is edited.
pub(super) struct Shaping {
    /// Names are paths.
    nested: bool,
    allow: Option<Allow>,
    /// What the values of `replace`, `add` and `append` become.
    types: [Vec<JsonType>; 3],
}

/// Compiles an instance.
pub(in crate::plugins) fn compile(config: Value, _: &Place) -> Compiled {
    let Config { http_method, remove, rename, mut replace, mut add, mut append, allow, dots_in_keys } = read(config)?;
    let nested = !dots_in_keys;
    let shaping = Shaping {
        nested,
        allow: allow.body.map(|names| Allow::new(names.iter().map(String::as_str), nested)),
        types: [&mut replace, &mut add, &mut append].map(|values| std::mem::take(&mut values.json_types)),
    };
    let uri = replace.uri.take();
    let config = config::Config {
        http_method,
        remove: Some(remove.into()),
        rename: Some(rename.into()),
        replace: Some(Replacements::new(replace.into(), uri)),
        add: Some(add.into()),
        append: Some(append.into()),
    };
    Ok(Arc::new(RequestTransformer::new(config, Some(shaping))?))
}

impl Shaping {
    pub(super) fn has_allow(&self) -> bool {
        self.allow.is_some()
    }

    /// Refuses JSON that cannot be read where it has to be.
    pub(super) fn check(&self, headers: &Headers) -> Result<(), Failure> {
        let is_hidden = BodyKind::told(headers) == Some(BodyKind::Json) && BodyKind::of(headers).is_none();
        if self.allow.is_some() && is_hidden {
            return Err(Failure::Refused(Response::message(415, "Unsupported media type")));
        }
        Ok(())
    }

    /// The edited body, or None where there is nothing to do.
    pub(super) fn edit(&self, body: &[u8], edits: &Edits, values: &Rendered<'_>) -> Result<Option<Vec<u8>>, Failure> {
        // An empty body has nothing to take out or move, but it can be given something.
        if body.is_empty() && edits.add.is_empty() && edits.append.is_empty() {
            return Ok(None);
        }
        let Some(mut document) = Document::read(body, self.nested) else {
            let is_refused = self.allow.is_some();
            return if is_refused { Err(Failure::Refused(Response::message(400, "Bad request"))) } else { Ok(None) };
        };
        edits.apply(&self.typed(edits, values), &mut document);
        if let Some(allow) = &self.allow {
            document.keep(allow);
        }
        Ok(document.finish()?)
    }

    /// The values as JSON; new names stay what they are. An empty text stands for what does not become one.
    fn typed<'v>(&self, edits: &Edits, values: &'v Rendered<'_>) -> Vec<Cow<'v, [u8]>> {
        let untyped = edits.rename.iter().map(|_| None);
        let sections = [&edits.replace, &edits.add, &edits.append].into_iter().zip(&self.types);
        let typed = sections.flat_map(|(items, types)| {
            (0..items.len()).map(|index| Some(types.get(index).copied().unwrap_or(JsonType::String)))
        });
        let text = |(value, json_type): (&'v Cow<'_, [u8]>, Option<JsonType>)| match json_type {
            None => Cow::Borrowed(&**value),
            Some(json_type) => Cow::Owned(json_type.text(value).unwrap_or_default()),
        };
        values.iter().zip(untyped.chain(typed)).map(text).collect()
    }
}
