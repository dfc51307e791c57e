//! Which bodies are edited, and form bodies.

use super::arguments::Arguments;
use super::operations::{Edits, Rendered};
use crate::message::Headers;

/// A message has more parts than are worked on. Working on some of them would let the rest past the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooMany;

/// The kinds of bodies that can be edited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyKind {
    Json,
    Multipart,
    Form,
}

impl BodyKind {
    /// By `Content-Type`. A compressed body is none of them: its bytes are not what the type says.
    pub(super) fn of(headers: &Headers) -> Option<Self> {
        let plain = headers.get_all("content-encoding").all(|coding| coding.eq_ignore_ascii_case(b"identity"));
        Self::told(headers).filter(|_| plain)
    }

    /// The same of a body that may be compressed.
    pub(super) fn told(headers: &Headers) -> Option<Self> {
        let content_type = headers.get("content-type")?;
        [
            ("application/json", Self::Json),
            ("multipart/form-data", Self::Multipart),
            ("application/x-www-form-urlencoded", Self::Form),
        ]
        .into_iter()
        .find_map(|(name, kind)| mentions(content_type, name.as_bytes()).then_some(kind))
    }
}

fn mentions(content_type: &[u8], name: &[u8]) -> bool {
    content_type.windows(name.len()).any(|window| window.eq_ignore_ascii_case(name))
}

/// The edited form, or None where there is nothing to do.
pub(super) fn edit_form(body: &[u8], edits: &Edits, values: &Rendered<'_>) -> Result<Option<Vec<u8>>, TooMany> {
    // An empty body has nothing to take out or move, but it can be given something.
    if body.is_empty() && edits.add.is_empty() && edits.append.is_empty() {
        return Ok(None);
    }
    let mut arguments = Arguments::decode(body)?;
    edits.apply(values, &mut arguments);
    Ok(Some(arguments.encode()))
}
