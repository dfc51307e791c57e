//! Edits of JSON objects whose values are known when they are compiled, for other plugins.

use std::borrow::Cow;

use super::allow::Allow;
use super::document::Document;
use super::json;
use super::operations::{Edits, Item, Rendered, SANDBOX};
use crate::expr::Template;

/// The operations in the order in which they are worked, as pairs of name and JSON text; `rename` has new names.
#[derive(Default)]
pub(in crate::plugins) struct JsonItems {
    pub(in crate::plugins) remove: Vec<String>,
    pub(in crate::plugins) rename: Vec<(String, String)>,
    pub(in crate::plugins) replace: Vec<(String, String)>,
    pub(in crate::plugins) add: Vec<(String, String)>,
    pub(in crate::plugins) append: Vec<(String, String)>,
}

/// The same, compiled.
pub(in crate::plugins) struct JsonEdits {
    edits: Edits,
    values: Rendered<'static>,
}

impl JsonEdits {
    /// `None` if there is nothing to do.
    pub(in crate::plugins) fn compile(items: JsonItems) -> Option<Self> {
        let JsonItems { remove, rename, replace, add, append } = items;
        let mut values = Vec::new();
        let mut named = |pairs: Vec<(String, String)>| {
            let item = |(name, value): (String, String)| {
                values.push(Cow::Owned(value.into_bytes()));
                let value = Template::compile("", SANDBOX).ok()?;
                Some(Item { name: name.into_bytes().into(), value })
            };
            pairs.into_iter().filter_map(item).collect()
        };
        let (rename, replace, add, append) = (named(rename), named(replace), named(add), named(append));
        let remove = remove.into_iter().map(|name| name.into_bytes().into()).collect();
        let edits = Edits { remove, rename, replace, add, append };
        (!edits.is_empty()).then_some(Self { edits, values })
    }

    /// The edited body; `None` where there is nothing to do or the body is no JSON object.
    pub(in crate::plugins) fn apply(&self, body: &[u8]) -> Option<Vec<u8>> {
        if body.is_empty() { None } else { json::edit_with(body, &self.edits, &self.values, <[u8]>::to_vec) }
    }
}

/// Edits of a whole document, which are worked in groups.
pub(in crate::plugins) struct Shapes {
    /// Names are paths.
    nested: bool,
    allow: Option<Allow>,
}

/// A document that cannot be edited as it has to be.
pub(in crate::plugins) struct Unreadable;

impl Shapes {
    pub(in crate::plugins) fn new(nested: bool, allow: Option<&[String]>) -> Self {
        let allow = allow.map(|names| Allow::new(names.iter().map(String::as_str), nested));
        Self { nested, allow }
    }

    /// Whether JSON may only pass if it was read.
    pub(in crate::plugins) fn has_allow(&self) -> bool {
        self.allow.is_some()
    }

    /// The body after edits, one group after the other; `None` where there is nothing to do or the body is no JSON.
    pub(in crate::plugins) fn apply<'e>(
        &self,
        body: &[u8],
        edits: impl Iterator<Item = &'e JsonEdits>,
    ) -> Result<Option<Vec<u8>>, Unreadable> {
        let document = if body.is_empty() { None } else { Document::read(body, self.nested) };
        let Some(mut document) = document else {
            return if self.allow.is_some() && !body.is_empty() { Err(Unreadable) } else { Ok(None) };
        };
        for JsonEdits { edits, values } in edits {
            edits.apply(values, &mut document);
        }
        if let Some(allow) = &self.allow {
            document.keep(allow);
        }
        document.finish().map_err(|_| Unreadable)
    }
}
