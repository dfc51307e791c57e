//! Single fields of requests' bodies, for other plugins.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

use super::body::{self, BodyKind};
use super::operations::{Edits, Rendered};
use super::{Arguments, arguments::Argument, json, multipart};
use crate::message::{Request, RequestHead};

/// A field that can be taken out of a body.
pub(in crate::plugins) struct Field(Edits);

impl Field {
    pub(in crate::plugins) fn new(name: &str) -> Self {
        Self(Edits { remove: vec![name.as_bytes().into()], ..Edits::default() })
    }

    /// Takes the field out, if the body has it and can be edited.
    pub(in crate::plugins) fn remove(&self, request: &mut Request) {
        let (Some(kind), Some(body)) = (BodyKind::of(&request.head.headers), request.body().cloned()) else { return };
        let nothing = Rendered::new();
        let edited = match kind {
            BodyKind::Json => json::edit(&body, &self.0, &nothing),
            BodyKind::Form => body::edit_form(&body, &self.0, &nothing).ok().flatten(),
            BodyKind::Multipart => {
                let content_type = request.head.headers.get("content-type").unwrap_or_default();
                multipart::edit(&body, content_type, &self.0, &nothing).ok().flatten()
            }
        };
        if let Some(edited) = edited {
            request.set_body(edited);
        }
    }
}

/// Whether a request's body is of a kind that has fields.
pub(in crate::plugins) fn may_be_in(head: &RequestHead) -> bool {
    BodyKind::of(&head.headers).is_some()
}

/// The parts of a multipart body, by their names. One that cannot be read has none.
pub(in crate::plugins) fn parts(request: &Request) -> Vec<(Vec<u8>, Vec<u8>)> {
    let content_type = request.head.headers.get("content-type").unwrap_or_default();
    request.body().map_or_else(Vec::new, |body| multipart::named(body, content_type))
}

/// The texts that a body has under a name. A body that cannot be read has none.
pub(in crate::plugins) fn values(request: &Request, name: &str) -> Vec<Vec<u8>> {
    let (Some(kind), Some(body)) = (BodyKind::of(&request.head.headers), request.body()) else { return Vec::new() };
    match kind {
        BodyKind::Json => json_values(body, name),
        BodyKind::Form => {
            let text = |argument: &Argument<'_>| match argument {
                Argument::Flag => Vec::new(),
                Argument::Text(text) => text.to_vec(),
            };
            let arguments = Arguments::decode(body).unwrap_or_default();
            arguments.get(name.as_bytes()).iter().map(text).collect()
        }
        BodyKind::Multipart => {
            multipart::values(body, request.head.headers.get("content-type").unwrap_or_default(), name.as_bytes())
        }
    }
}

fn json_values(body: &[u8], name: &str) -> Vec<Vec<u8>> {
    let members: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_slice(body).unwrap_or_default();
    match members.get(name).map(|value| serde_json::from_str(value.get())) {
        Some(Ok(Value::String(text))) => vec![text.into_bytes()],
        Some(Ok(Value::Array(items))) => items.into_iter().map(|item| item.to_string().into_bytes()).collect(),
        _ => Vec::new(),
    }
}
