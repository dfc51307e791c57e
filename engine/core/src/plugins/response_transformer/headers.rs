//! Edits of a response's headers.

use regex::bytes::{Regex, RegexBuilder};

use super::split;
use crate::error::FieldError;
use crate::message::Headers;

/// Bytes that a compiled regex may take. All of an instance together are bounded where it is written.
const MOST_REGEX_BYTES: usize = 4 << 20;

/// Name and value of a header.
pub(super) type Pair = (Box<str>, Box<str>);

/// What is taken out of the lines of a name.
pub(super) enum Removal {
    All(Box<str>),
    /// These values.
    Values(Box<str>, Box<[Box<[u8]>]>),
    /// Values that it fits.
    Matching(Box<str>, Regex),
}

/// Everything one configuration does to headers, or one of its sections.
#[derive(Default)]
pub(super) struct HeaderEdits {
    pub(super) remove: Vec<Removal>,
    pub(super) rename: Vec<Pair>,
    pub(super) replace: Vec<Pair>,
    pub(super) add: Vec<Pair>,
    pub(super) append: Vec<Pair>,
}

/// The pairs of a section; items without a value do nothing.
pub(super) fn pairs(operation: &str, items: &[String], errors: &mut Vec<FieldError>) -> Vec<Pair> {
    let mut all = Vec::new();
    for (name, value) in items.iter().map(|item| split(item)).filter(|(_, value)| !value.is_empty()) {
        let name_is_fine = operation != "rename" || Headers::new().append(value, "").is_ok();
        if Headers::new().append(name, value).is_ok() && name_is_fine {
            all.push((name.into(), value.into()));
        } else {
            errors.push(FieldError::new(format!("{operation}.headers"), format!("'{name}' is not a valid header")));
        }
    }
    all
}

impl Removal {
    /// `name`, `name:value,value` or `name:/regex/`.
    pub(super) fn compile(item: &str) -> Result<Self, FieldError> {
        let (name, value) = split(item);
        if value.is_empty() {
            return Ok(Self::All(name.into()));
        }
        if let Some(pattern) = value.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')) {
            let mut builder = RegexBuilder::new(pattern);
            builder.size_limit(MOST_REGEX_BYTES).dfa_size_limit(MOST_REGEX_BYTES / 4);
            let regex = builder.build().map_err(|error| FieldError::new("remove.headers", error.to_string()))?;
            return Ok(Self::Matching(name.into(), regex));
        }
        let whole = std::iter::once(value);
        let parts = value.split(',').map(str::trim).filter(|part| value.contains(',') && !part.is_empty());
        Ok(Self::Values(name.into(), whole.chain(parts).map(|value| value.as_bytes().into()).collect()))
    }

    fn apply(&self, headers: &mut Headers) {
        match self {
            Self::All(name) => {
                headers.remove(name);
            }
            Self::Values(name, values) => take_out(headers, name, |found| values.iter().any(|value| **value == *found)),
            Self::Matching(name, regex) => take_out(headers, name, |found| regex.is_match(found)),
        }
    }
}

/// Takes values out of the lines of a name. A line is a list (RFC 9110 section 5.6.1), but that of a cookie is one value.
fn take_out(headers: &mut Headers, name: &str, is_meant: impl Fn(&[u8]) -> bool) {
    let is_cookie = name.eq_ignore_ascii_case("set-cookie");
    let mut lines: Vec<Vec<u8>> = Vec::new();
    let mut changed = false;
    for line in headers.get_all(name) {
        if is_cookie {
            let stays = !is_meant(line);
            changed |= !stays;
            lines.extend(stays.then(|| line.to_vec()));
            continue;
        }
        let all = line.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        let rest: Vec<&[u8]> = all.clone().filter(|value| !is_meant(value)).collect();
        if rest.len() == all.count() {
            lines.push(line.to_vec());
        } else {
            changed = true;
            lines.extend((!rest.is_empty()).then(|| rest.join(&b", "[..])));
        }
    }
    if changed {
        headers.remove(name);
        for line in lines {
            // What a list of headers holds is valid, and so are parts of it.
            let _ = headers.append(name, line);
        }
    }
}

impl HeaderEdits {
    pub(super) fn apply(&self, headers: &mut Headers) {
        // Decided before anything is changed.
        let (replaced, added) = (present(&self.replace, headers), present(&self.add, headers));
        self.remove(headers);
        self.rename(headers);
        self.replace(headers, &replaced);
        self.add(headers, &added);
        self.append(headers);
    }

    pub(super) fn remove(&self, headers: &mut Headers) {
        self.remove.iter().for_each(|removal| removal.apply(headers));
    }

    pub(super) fn rename(&self, headers: &mut Headers) {
        for (name, new_name) in &self.rename {
            let _ = headers.rename(name, new_name);
        }
    }

    pub(super) fn replace(&self, headers: &mut Headers, present: &[bool]) {
        for ((name, value), _) in self.replace.iter().zip(present).filter(|(_, present)| **present) {
            let _ = headers.set(name, &**value);
        }
    }

    pub(super) fn add(&self, headers: &mut Headers, present: &[bool]) {
        for ((name, value), _) in self.add.iter().zip(present).filter(|(_, present)| !**present) {
            let _ = headers.set(name, &**value);
        }
    }

    pub(super) fn append(&self, headers: &mut Headers) {
        for (name, value) in &self.append {
            let _ = headers.append(name, &**value);
        }
    }
}

/// Which of the names there are.
pub(super) fn present(pairs: &[Pair], headers: &Headers) -> Vec<bool> {
    pairs.iter().map(|(name, _)| headers.contains(name)).collect()
}
