//! Edits of the header list.

use std::borrow::Cow;

use super::Failure;
use super::operations::{Item, Lists, OPERATIONS, render, split, template};
use crate::error::FieldError;
use crate::expr::{Budget, Fault, Variables};
use crate::message::Request;

/// Everything one configuration does to headers. Names in lower case where the plugin sends them so.
#[derive(Default)]
pub(super) struct HeaderEdits {
    remove: Vec<Box<str>>,
    rename: Vec<(Box<str>, Box<str>)>,
    replace: Vec<Item<Box<str>>>,
    add: Vec<Item<Box<str>>>,
    append: Vec<Item<Box<str>>>,
    /// Whether any value has to be rendered per request.
    dynamic: bool,
}

/// The header that names the upstream's host: set by replacing it or renaming another to it, else left alone.
const HOST: &str = "host";
/// What frames a message is decided where it is written, from the body that is sent.
const FRAMING: [&str; 2] = ["content-length", "transfer-encoding"];

impl HeaderEdits {
    /// Compiles the five lists; refusals are added to `errors`. Also says whether a template does not compile: that is
    /// no reason to refuse the configuration, but no request can be served with it.
    pub(super) fn compile(lists: Lists<'_>, errors: &mut Vec<FieldError>) -> (Self, bool) {
        let mut edits = Self::default();
        let mut broken = false;
        for (operation, items) in OPERATIONS.into_iter().zip(lists) {
            for item in items.iter().flatten() {
                let result = match operation {
                    "remove" => edits.compile_remove(item),
                    "rename" => edits.compile_rename(item),
                    _ => edits.compile_value(operation, item, &mut broken),
                };
                if let Err(why) = result {
                    errors.push(FieldError::new(format!("{operation}.headers"), why));
                }
            }
        }
        let values = edits.replace.iter().chain(&edits.add).chain(&edits.append);
        edits.dynamic = values.into_iter().any(|item| item.value.as_static().is_none());
        (edits, broken)
    }

    fn compile_remove(&mut self, item: &str) -> Result<(), String> {
        let name = lower_name(split(item).0)?;
        if *name != *HOST && !is_framing(&name) {
            self.remove.push(name);
        }
        Ok(())
    }

    fn compile_rename(&mut self, item: &str) -> Result<(), String> {
        let (name, new_name) = match split(item) {
            (name, Some(new_name)) if !new_name.is_empty() => (lower_name(name)?, lower_name(new_name)?),
            (name, _) => return Err(format!("key '{name}' has no value")),
        };
        if *name != *HOST && !is_framing(&name) && !is_framing(&new_name) {
            self.rename.push((name, new_name));
        }
        Ok(())
    }

    fn compile_value(&mut self, operation: &str, item: &str, broken: &mut bool) -> Result<(), String> {
        let (given, Some(value)) = split(item) else { return Err(format!("invalid value: {item}")) };
        let name = lower_name(given)?;
        if value.bytes().any(|byte| (byte < 0x20 && byte != b'\t') || byte == 0x7f) {
            return Err(format!("the value of header '{given}' must not contain control characters"));
        }
        // `name:` is accepted and does nothing.
        if value.is_empty() || is_framing(&name) {
            return Ok(());
        }
        let Ok(value) = template(value) else {
            *broken = true;
            return Ok(());
        };
        match operation {
            "replace" => self.replace.push(Item { name, value }),
            _ if *name == *HOST => {}
            "add" => self.add.push(Item { name: given.into(), value }),
            _ => self.append.push(Item { name: given.into(), value }),
        }
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.rename.is_empty() && self.values().next().is_none()
    }

    /// Whether any edit names this header.
    pub(super) fn touch(&self, name: &str) -> bool {
        let is = |own: &str| own.eq_ignore_ascii_case(name);
        self.remove.iter().any(|own| is(own))
            || self.rename.iter().any(|(own, new)| is(own) || is(new))
            || self.values().any(|item| is(&item.name))
    }

    fn values(&self) -> impl Iterator<Item = &Item<Box<str>>> {
        self.replace.iter().chain(&self.add).chain(&self.append)
    }

    /// The values for one request; none at all if all are constant.
    pub(super) fn render(&self, view: &dyn Variables, budget: &mut Budget) -> Result<Vec<Cow<'_, [u8]>>, Fault> {
        if !self.dynamic {
            return Ok(Vec::new());
        }
        self.values().map(|item| render(&item.value, view, budget)).collect()
    }

    /// Works all operations in order, with what [`HeaderEdits::render`] gave.
    pub(super) fn apply(&self, rendered: &[Cow<'_, [u8]>], request: &mut Request) -> Result<(), Failure> {
        let mut rendered = rendered.iter();
        let headers = &mut request.head.headers;
        for name in &self.remove {
            headers.remove(name);
        }
        for (name, new_name) in &self.rename {
            if **new_name != *HOST {
                headers.rename(name, new_name)?;
            } else if let Some(value) = headers.get(name) {
                request.upstream.host = Some(checked_host(value)?);
                headers.remove(name);
            }
        }
        for item in &self.replace {
            let value = text(item, rendered.next());
            if *item.name == *HOST {
                request.upstream.host = Some(checked_host(value)?);
            } else if headers.contains(&item.name) {
                headers.set(&item.name, value)?;
            }
        }
        for item in &self.add {
            headers.insert_if_absent(&item.name, text(item, rendered.next()))?;
        }
        for item in &self.append {
            headers.append(&item.name, text(item, rendered.next()))?;
        }
        Ok(())
    }
}

fn text<'v>(item: &'v Item<Box<str>>, rendered: Option<&'v Cow<'_, [u8]>>) -> &'v [u8] {
    match rendered {
        Some(text) => text,
        None => item.value.as_static().unwrap_or_default(),
    }
}

/// A value that can stand in `Host`: a name or address with an optional port (RFC 3986 section 3.2).
fn checked_host(value: &[u8]) -> Result<Vec<u8>, Failure> {
    let fine = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=:[]".contains(byte);
    if value.is_empty() || !value.iter().all(fine) { Err(Failure::Internal) } else { Ok(value.to_vec()) }
}

fn is_framing(name: &str) -> bool {
    FRAMING.contains(&name)
}

/// A header name as Kong takes it, in lower case.
fn lower_name(name: &str) -> Result<Box<str>, String> {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if name.is_empty() || !name.bytes().all(fine) {
        return Err(format!("'{name}' is not a valid header"));
    }
    Ok(name.to_ascii_lowercase().into())
}
