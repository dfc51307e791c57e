//! response-transformer: edits headers and JSON bodies of responses, those of upstreams and those made by the gateway.
//!
//! Sections are worked in the order remove, rename, replace, add, append. What is replaced and added is decided by the
//! headers as they were before this plugin.
//!
//! Source: the behaviour of Kong Gateway's plugin of the same name.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::request_transformer::constant::{JsonEdits, JsonItems};
use super::{Compiled, Place, read};
use crate::error::FieldError;
use crate::message::{Headers, Request, ResponseHead};
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

/// What a value becomes in JSON.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum JsonType {
    Boolean,
    Number,
    String,
}

/// Name and value of a header.
type Pair = (Box<str>, Box<str>);

struct ResponseTransformer {
    remove: Vec<Box<str>>,
    rename: Vec<Pair>,
    replace: Vec<Pair>,
    add: Vec<Pair>,
    append: Vec<Pair>,
    json: Option<JsonEdits>,
}

/// Compiles an instance.
pub(super) fn compile(config: Value, _: &Place) -> Compiled {
    let Config { remove, rename, replace, add, append } = read(config)?;
    let mut errors = Vec::new();
    let json = JsonItems {
        remove: remove.json.iter().map(|item| split(item).0.to_owned()).collect(),
        rename: rename.json.iter().map(|item| split(item)).map(|(old, new)| (old.into(), new.into())).collect(),
        replace: typed(&replace),
        add: typed(&add),
        append: typed(&append),
    };
    let plugin = ResponseTransformer {
        remove: remove.headers.iter().map(|item| split(item).0.into()).collect(),
        rename: pairs("rename", &rename, &mut errors),
        replace: pairs("replace", &replace, &mut errors),
        add: pairs("add", &add, &mut errors),
        append: pairs("append", &append, &mut errors),
        json: JsonEdits::compile(json),
    };
    if errors.is_empty() { Ok(Arc::new(plugin)) } else { Err(errors) }
}

/// Splits an item at the first colon; further ones belong to the value.
fn split(item: &str) -> (&str, &str) {
    item.split_once(':').unwrap_or((item, ""))
}

fn pairs(operation: &str, section: &Section, errors: &mut Vec<FieldError>) -> Vec<Pair> {
    let mut all = Vec::new();
    for (name, value) in section.headers.iter().map(|item| split(item)).filter(|(_, value)| !value.is_empty()) {
        let name_is_fine = operation != "rename" || Headers::new().append(value, "").is_ok();
        if Headers::new().append(name, value).is_ok() && name_is_fine {
            all.push((name.into(), value.into()));
        } else {
            errors.push(FieldError::new(format!("{operation}.headers"), format!("'{name}' is not a valid header")));
        }
    }
    all
}

/// Names with JSON texts. What is no number where one is asked for is left out.
fn typed(section: &Section) -> Vec<(String, String)> {
    let types = section.json_types.iter().copied().map(Some).chain(std::iter::repeat(None));
    let item = |(item, json_type): (&String, Option<JsonType>)| {
        let (name, value) = split(item);
        let value = match json_type.unwrap_or(JsonType::String) {
            JsonType::String => Value::from(value),
            JsonType::Boolean => Value::from(value == "true"),
            JsonType::Number => Value::Number(value.trim().parse().ok()?),
        };
        Some((name.to_owned(), value.to_string()))
    };
    section.json.iter().zip(types).filter_map(item).collect()
}

/// Whether a body is JSON that can be read as it is.
fn is_json(headers: &Headers) -> bool {
    let plain = headers.get_all("content-encoding").all(|coding| coding.eq_ignore_ascii_case(b"identity"));
    plain
        && headers.get("content-type").is_some_and(|value| {
            let media_type = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
            let suffix = media_type.len().checked_sub(5).and_then(|start| media_type.get(start..));
            media_type.eq_ignore_ascii_case(b"application/json")
                || suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case(b"+json"))
        })
}

impl ResponseTransformer {
    fn edit(&self, headers: &mut Headers) {
        // Decided before anything is changed.
        let present = |pairs: &[Pair]| pairs.iter().map(|(name, _)| headers.contains(name)).collect::<Vec<_>>();
        let (replaced, added) = (present(&self.replace), present(&self.add));
        for name in &self.remove {
            headers.remove(name);
        }
        for (name, new_name) in &self.rename {
            let _ = headers.rename(name, new_name);
        }
        for ((name, value), _) in self.replace.iter().zip(replaced).filter(|(_, present)| *present) {
            let _ = headers.set(name, &**value);
        }
        for ((name, value), _) in self.add.iter().zip(added).filter(|(_, present)| !*present) {
            let _ = headers.set(name, &**value);
        }
        for (name, value) in &self.append {
            let _ = headers.append(name, &**value);
        }
    }
}

impl Plugin for ResponseTransformer {
    fn phases(&self) -> Phases {
        if self.json.is_some() { Phases::RESPONSE.and(Phases::RESPONSE_BODY) } else { Phases::RESPONSE }
    }

    fn response(&self, _: &Request, response: &mut ResponseHead, _: &mut Exchange<'_>) {
        self.edit(&mut response.headers);
    }

    fn needs_response_body(&self, response: &ResponseHead) -> bool {
        is_json(&response.headers)
    }

    fn response_body(&self, _: &ResponseHead, body: &[u8], _: &mut Exchange<'_>) -> Option<Vec<u8>> {
        self.json.as_ref()?.apply(body)
    }
}
