//! response-transformer: edits headers and JSON bodies of responses, those of upstreams and those made by the gateway.
//!
//! Sections are worked in the order remove, rename, replace, add, append. What is replaced and added is decided by the
//! headers as they were before this plugin.
//!
//! Source: the behaviour of Kong Gateway's plugin of the same name.

pub(super) mod advanced;
mod gzip;
mod headers;

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use self::headers::{HeaderEdits, Removal, pairs};
use super::request_transformer::constant::{JsonEdits, JsonItems};
use super::request_transformer::typed::JsonType;
use super::{Compiled, Place, read};
use crate::message::{Headers, Request, ResponseHead};
use crate::phases::passage::Unfit;
use crate::phases::{Exchange, Phases, Plugin};

/// The configuration as the control plane sends it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    remove: Section,
    rename: Section,
    replace: Section,
    add: Section,
    append: Section,
}

/// The items of one operation.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    headers: Vec<String>,
    json: Vec<String>,
    #[serde(default)]
    json_types: Vec<JsonType>,
}

struct ResponseTransformer {
    headers: HeaderEdits,
    json: Option<JsonEdits>,
}

/// Compiles an instance.
pub(super) fn compile(config: Value, _: &Place) -> Compiled {
    let Config { remove, rename, replace, add, append } = read(config)?;
    let mut errors = Vec::new();
    let json = JsonItems {
        remove: remove.json.iter().map(|item| split(item).0.to_owned()).collect(),
        rename: rename.json.iter().map(|item| split(item)).map(|(old, new)| (old.into(), new.into())).collect(),
        replace: typed(&replace.json, &replace.json_types),
        add: typed(&add.json, &add.json_types),
        append: typed(&append.json, &append.json_types),
    };
    let headers = HeaderEdits {
        remove: remove.headers.iter().map(|item| Removal::All(split(item).0.into())).collect(),
        rename: pairs("rename", &rename.headers, &mut errors),
        replace: pairs("replace", &replace.headers, &mut errors),
        add: pairs("add", &add.headers, &mut errors),
        append: pairs("append", &append.headers, &mut errors),
    };
    let plugin = ResponseTransformer { headers, json: JsonEdits::compile(json) };
    if errors.is_empty() { Ok(Arc::new(plugin)) } else { Err(errors) }
}

/// Splits an item at the first colon; further ones belong to the value.
fn split(item: &str) -> (&str, &str) {
    item.split_once(':').unwrap_or((item, ""))
}

/// Names with JSON texts. What is no number where one is asked for is left out.
fn typed(json: &[String], json_types: &[JsonType]) -> Vec<(String, String)> {
    let types = json_types.iter().copied().chain(std::iter::repeat(JsonType::String));
    let item = |(item, json_type): (&String, JsonType)| {
        let (name, value) = split(item);
        let text = String::from_utf8(json_type.text(value.as_bytes())?).ok()?;
        Some((name.to_owned(), text))
    };
    json.iter().zip(types).filter_map(item).collect()
}

/// Whether a body is not compressed.
fn is_plain(headers: &Headers) -> bool {
    headers.get_all("content-encoding").all(|coding| coding.eq_ignore_ascii_case(b"identity"))
}

/// Whether a body is JSON by its media type.
fn is_json(headers: &Headers) -> bool {
    headers.get("content-type").is_some_and(|value| {
        let media_type = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let suffix = media_type.len().checked_sub(5).and_then(|start| media_type.get(start..));
        media_type.eq_ignore_ascii_case(b"application/json")
            || suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case(b"+json"))
    })
}

impl Plugin for ResponseTransformer {
    fn phases(&self) -> Phases {
        if self.json.is_some() { Phases::RESPONSE.and(Phases::RESPONSE_BODY) } else { Phases::RESPONSE }
    }

    fn response(&self, _: &Request, response: &mut ResponseHead, _: &mut Exchange<'_>) {
        self.headers.apply(&mut response.headers);
    }

    fn needs_response_body(&self, response: &ResponseHead) -> bool {
        is_plain(&response.headers) && is_json(&response.headers)
    }

    fn response_body(&self, _: &ResponseHead, body: &[u8], _: &mut Exchange<'_>) -> Result<Option<Vec<u8>>, Unfit> {
        Ok(self.json.as_ref().and_then(|json| json.apply(body)))
    }
}
