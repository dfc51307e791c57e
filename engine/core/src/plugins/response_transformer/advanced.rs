//! response-transformer-advanced: the same by status, with names that lead into documents, an allow list, whole bodies and
//! bodies that are compressed.
//!
//! What an allow list cannot be applied to does not pass. A body that takes the place of the upstream's is not edited.
//!
//! Source: the behaviour of Kong Gateway's plugin of the same name.

use std::ops::RangeInclusive;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::gzip::{Coding, deflate, inflate};
use super::headers::{HeaderEdits, Removal, pairs, present};
use super::{is_json, split, typed};
use crate::error::FieldError;
use crate::message::{Request, ResponseHead};
use crate::phases::passage::Unfit;
use crate::phases::{Exchange, Phases, Plugin};
use crate::plugins::request_transformer::constant::{JsonEdits, JsonItems, Shapes, Unreadable};
use crate::plugins::request_transformer::typed::JsonType;
use crate::plugins::{Compiled, Place, read};

/// The configuration as the control plane sends it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    remove: Section,
    rename: Section,
    replace: Section,
    add: Section,
    append: Section,
    allow: Allowed,
    transform: Transform,
    dots_in_keys: bool,
}

/// One operation; not all of them have all fields.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    headers: Vec<String>,
    if_status: Vec<String>,
    #[serde(default)]
    json: Vec<String>,
    #[serde(default)]
    json_types: Vec<JsonType>,
    #[serde(default)]
    body: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Allowed {
    json: Option<Vec<String>>,
}

/// Functions in Lua. There are none here: the control plane refuses them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Transform {
    functions: Vec<String>,
    #[serde(rename = "if_status")]
    _if_status: Vec<String>,
    #[serde(rename = "json")]
    _json: Vec<String>,
}

/// Statuses that a section is for; none: all.
struct Statuses(Box<[RangeInclusive<u16>]>);

struct ResponseTransformerAdvanced {
    headers: HeaderEdits,
    /// In the order of the operations, as are the edits.
    statuses: [Statuses; 5],
    json: [Option<JsonEdits>; 5],
    body: Option<Box<str>>,
    shapes: Shapes,
}

const REMOVE: usize = 0;
const RENAME: usize = 1;
const REPLACE: usize = 2;
const ADD: usize = 3;
const APPEND: usize = 4;

/// Compiles an instance.
pub(in crate::plugins) fn compile(config: Value, _: &Place) -> Compiled {
    let Config { remove, rename, replace, add, append, allow, transform, dots_in_keys } = read(config)?;
    let mut errors = Vec::new();
    if !transform.functions.is_empty() {
        errors.push(FieldError::new("transform.functions", "this gateway runs no Lua"));
    }
    let mut headers = HeaderEdits::default();
    for item in &remove.headers {
        match Removal::compile(item) {
            Ok(removal) => headers.remove.push(removal),
            Err(error) => errors.push(error),
        }
    }
    headers.rename = pairs("rename", &rename.headers, &mut errors);
    headers.replace = pairs("replace", &replace.headers, &mut errors);
    headers.add = pairs("add", &add.headers, &mut errors);
    headers.append = pairs("append", &append.headers, &mut errors);
    let names = remove.json.iter().map(|item| split(item).0.to_owned()).collect();
    let json = [
        JsonItems { remove: names, ..JsonItems::default() },
        JsonItems::default(),
        JsonItems { replace: typed(&replace.json, &replace.json_types), ..JsonItems::default() },
        JsonItems { add: typed(&add.json, &add.json_types), ..JsonItems::default() },
        JsonItems { append: typed(&append.json, &append.json_types), ..JsonItems::default() },
    ];
    let sections =
        [("remove", &remove), ("rename", &rename), ("replace", &replace), ("add", &add), ("append", &append)];
    let statuses = sections.map(|(name, section)| Statuses::new(name, &section.if_status, &mut errors));
    let plugin = ResponseTransformerAdvanced {
        headers,
        statuses,
        json: json.map(JsonEdits::compile),
        shapes: Shapes::new(!dots_in_keys, allow.json.as_deref()),
        body: replace.body.map(Into::into),
    };
    if errors.is_empty() { Ok(Arc::new(plugin)) } else { Err(errors) }
}

impl Statuses {
    /// `200` and `200-299`.
    fn new(section: &str, items: &[String], errors: &mut Vec<FieldError>) -> Self {
        let range = |item: &String| {
            let (from, to) = item.split_once('-').unwrap_or((item, item));
            Some(from.parse().ok()?..=to.parse().ok()?)
        };
        let ranges: Option<_> = items.iter().map(range).collect();
        Self(ranges.unwrap_or_else(|| {
            errors.push(FieldError::new(format!("{section}.if_status"), "invalid value"));
            Box::default()
        }))
    }

    fn include(&self, status: u16) -> bool {
        self.0.is_empty() || self.0.iter().any(|range| range.contains(&status))
    }
}

impl ResponseTransformerAdvanced {
    fn is_for(&self, operation: usize, status: u16) -> bool {
        self.statuses[operation].include(status)
    }

    /// The body that takes the place of the upstream's.
    fn body(&self, status: u16) -> Option<&str> {
        self.body.as_deref().filter(|_| self.is_for(REPLACE, status))
    }

    /// The edits of a JSON body.
    fn edits(&self, status: u16) -> impl Iterator<Item = &JsonEdits> {
        let meant = self.json.iter().zip(&self.statuses).filter(move |(_, statuses)| statuses.include(status));
        meant.filter_map(|(edits, _)| edits.as_ref())
    }
}

impl Plugin for ResponseTransformerAdvanced {
    fn phases(&self) -> Phases {
        let edits_body = self.body.is_some() || self.shapes.has_allow() || self.json.iter().any(Option::is_some);
        if edits_body { Phases::RESPONSE.and(Phases::RESPONSE_BODY) } else { Phases::RESPONSE }
    }

    fn response(&self, _: &Request, response: &mut ResponseHead, _: &mut Exchange<'_>) {
        let (status, headers) = (response.status, &mut response.headers);
        // Decided before anything is changed.
        let (replaced, added) = (present(&self.headers.replace, headers), present(&self.headers.add, headers));
        if self.is_for(REMOVE, status) {
            self.headers.remove(headers);
        }
        if self.is_for(RENAME, status) {
            self.headers.rename(headers);
        }
        if self.is_for(REPLACE, status) {
            self.headers.replace(headers, &replaced);
        }
        if self.is_for(ADD, status) {
            self.headers.add(headers, &added);
        }
        if self.is_for(APPEND, status) {
            self.headers.append(headers);
        }
        if self.body(status).is_some() {
            headers.remove("content-encoding");
        }
    }

    fn needs_response_body(&self, response: &ResponseHead) -> bool {
        let ResponseHead { status, headers, .. } = response;
        if self.body(*status).is_some() {
            return true;
        }
        let is_readable = Coding::of(headers) != Coding::Other;
        is_json(headers) && (self.shapes.has_allow() || (is_readable && self.edits(*status).next().is_some()))
    }

    fn response_body(
        &self,
        response: &ResponseHead,
        body: &[u8],
        _: &mut Exchange<'_>,
    ) -> Result<Option<Vec<u8>>, Unfit> {
        if let Some(body) = self.body(response.status) {
            return Ok(Some(body.as_bytes().to_vec()));
        }
        let edit = |body: &[u8]| self.shapes.apply(body, self.edits(response.status)).map_err(|Unreadable| Unfit);
        match Coding::of(&response.headers) {
            _ if body.is_empty() => Ok(None),
            Coding::Plain => edit(body),
            Coding::Gzip => edit(&inflate(body)?)?.map(|body| deflate(&body)).transpose(),
            Coding::Other => Err(Unfit),
        }
    }
}
