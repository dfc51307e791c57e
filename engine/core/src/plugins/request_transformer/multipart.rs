//! `multipart/form-data` bodies (RFC 7578).
//!
//! Here the order is rename, remove, replace, add; nothing can be appended. Parts that no edit names are copied as they
//! are, values that are set become parts without a type of their own.

use std::borrow::Cow;
use std::ops::Range;

use super::Failure;
use super::body::TooMany;
use super::operations::{Edits, Rendered};

/// More parts than this are not worked on.
const MAX_PARTS: usize = 1000;

/// The edited body, or None where there is nothing to do or the body is not what its type says.
pub(super) fn edit(
    body: &[u8],
    content_type: &[u8],
    edits: &Edits,
    values: &Rendered<'_>,
) -> Result<Option<Vec<u8>>, Failure> {
    let Some(boundary) = parameter(content_type, b"boundary").filter(|boundary| is_boundary(boundary)) else {
        return Ok(None);
    };
    let delimiter = [b"--", &*boundary].concat();
    let mut form = Form { parts: Vec::new(), changed: false };
    if !body.is_empty() {
        form.parts = parts(body, &delimiter)?;
        if form.parts.is_empty() {
            return Ok(None);
        }
    }
    form.apply(edits, values);
    if !form.changed {
        return Ok(None);
    }
    form.encode(&delimiter).map(Some)
}

/// The values of a name.
pub(super) fn values(body: &[u8], content_type: &[u8], name: &[u8]) -> Vec<Vec<u8>> {
    let Some(boundary) = parameter(content_type, b"boundary").filter(|boundary| is_boundary(boundary)) else {
        return Vec::new();
    };
    let parts = parts(body, &[b"--", &*boundary].concat()).unwrap_or_default();
    parts.iter().filter(|part| part.is_named(name)).map(|part| part.value().into_owned()).collect()
}

/// All names with their values.
pub(super) fn named(body: &[u8], content_type: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let Some(boundary) = parameter(content_type, b"boundary").filter(|boundary| is_boundary(boundary)) else {
        return Vec::new();
    };
    let parts = parts(body, &[b"--", &*boundary].concat()).unwrap_or_default();
    let pair = |part: &Part<'_>| match part {
        Part::Received { name: Some(name), value, .. } => Some((name.to_vec(), value.to_vec())),
        Part::Received { .. } | Part::Simple { .. } => None,
    };
    parts.iter().filter_map(pair).collect()
}

/// Boundaries are up to 70 characters without line breaks (RFC 2046 section 5.1.1).
fn is_boundary(boundary: &[u8]) -> bool {
    (1..=70).contains(&boundary.len()) && boundary.iter().all(|byte| (0x20..0x7f).contains(byte))
}

enum Part<'b> {
    /// As received: name, everything between the delimiters, and the value in it.
    Received { name: Option<Cow<'b, [u8]>>, text: &'b [u8], value: &'b [u8] },
    /// A name and a value.
    Simple { name: Cow<'b, [u8]>, value: Cow<'b, [u8]> },
}

impl<'b> Part<'b> {
    fn is_named(&self, name: &[u8]) -> bool {
        match self {
            Self::Received { name: own, .. } => own.as_deref() == Some(name),
            Self::Simple { name: own, .. } => **own == *name,
        }
    }

    fn value(&self) -> Cow<'b, [u8]> {
        match self {
            Self::Received { value, .. } => Cow::Borrowed(value),
            Self::Simple { value, .. } => value.clone(),
        }
    }
}

struct Form<'b> {
    parts: Vec<Part<'b>>,
    changed: bool,
}

impl<'b> Form<'b> {
    fn apply(&mut self, edits: &'b Edits, values: &'b Rendered<'_>) {
        let mut values = values.iter();
        for (item, new_name) in edits.rename.iter().zip(values.by_ref()) {
            if *item.name != **new_name && self.has(&item.name) {
                self.remove(new_name);
                for part in &mut self.parts {
                    if part.is_named(&item.name) {
                        *part = Part::Simple { name: Cow::Borrowed(new_name), value: part.value() };
                    }
                }
                self.changed = true;
            }
        }
        for name in &edits.remove {
            self.remove(name);
        }
        for (item, value) in edits.replace.iter().zip(values.by_ref()) {
            if let Some(first) = self.parts.iter().position(|part| part.is_named(&item.name)) {
                self.parts[first] = simple(&item.name, value);
                let mut index = 0;
                self.parts.retain(|part| {
                    index += 1;
                    index <= first + 1 || !part.is_named(&item.name)
                });
                self.changed = true;
            }
        }
        for (item, value) in edits.add.iter().zip(values.by_ref()) {
            if !self.has(&item.name) {
                self.parts.push(simple(&item.name, value));
                self.changed = true;
            }
        }
    }

    fn has(&self, name: &[u8]) -> bool {
        self.parts.iter().any(|part| part.is_named(name))
    }

    fn remove(&mut self, name: &[u8]) {
        let before = self.parts.len();
        self.parts.retain(|part| !part.is_named(name));
        self.changed |= self.parts.len() != before;
    }

    /// The body again. A value that would end its own part cannot be sent.
    fn encode(&self, delimiter: &[u8]) -> Result<Vec<u8>, Failure> {
        let mut out = Vec::new();
        for part in &self.parts {
            out.extend_from_slice(delimiter);
            out.extend_from_slice(b"\r\n");
            match part {
                Part::Received { text, .. } => out.extend_from_slice(text),
                Part::Simple { name, value } => {
                    if memchr::memmem::find(value, delimiter).is_some() {
                        return Err(Failure::Internal);
                    }
                    out.extend_from_slice(b"Content-Disposition: form-data; name=\"");
                    push_name(name, &mut out);
                    out.extend_from_slice(b"\"\r\n\r\n");
                    out.extend_from_slice(value);
                }
            }
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(delimiter);
        out.extend_from_slice(b"--\r\n");
        Ok(out)
    }
}

fn simple<'b>(name: &'b [u8], value: &'b [u8]) -> Part<'b> {
    Part::Simple { name: Cow::Borrowed(name), value: Cow::Borrowed(value) }
}

/// A name within quotes, escaped as browsers do (HTML standard, multipart form data).
fn push_name(name: &[u8], out: &mut Vec<u8>) {
    for byte in name {
        match byte {
            b'"' => out.extend_from_slice(b"%22"),
            b'\r' => out.extend_from_slice(b"%0D"),
            b'\n' => out.extend_from_slice(b"%0A"),
            _ => out.push(*byte),
        }
    }
}

/// The parts between delimiter lines. Bare line feeds pass for line ends, and a missing last delimiter ends the last
/// part with the body: an upstream may be as lenient, and no part should get past the edits.
fn parts<'b>(body: &'b [u8], delimiter: &[u8]) -> Result<Vec<Part<'b>>, TooMany> {
    let mut parts = Vec::new();
    let mut delimiters = Delimiters { body, delimiter, at: 0 };
    let mut open = delimiters.next().filter(|found| !found.last);
    while let Some(previous) = open {
        let next = delimiters.next();
        let end = next.as_ref().map_or(body.len(), |found| found.line.start.max(previous.line.end));
        if parts.len() == MAX_PARTS {
            return Err(TooMany);
        }
        parts.push(part(without_line_end(&body[previous.line.end..end], next.is_some())));
        open = next.filter(|found| !found.last);
    }
    Ok(parts)
}

/// The line end before a delimiter belongs to the delimiter.
fn without_line_end(text: &[u8], before_delimiter: bool) -> &[u8] {
    if !before_delimiter {
        return text;
    }
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    text.strip_suffix(b"\r").unwrap_or(text)
}

/// A delimiter line, its line end included.
struct Delimiter {
    line: Range<usize>,
    last: bool,
}

struct Delimiters<'b, 'd> {
    body: &'b [u8],
    delimiter: &'d [u8],
    at: usize,
}

impl Iterator for Delimiters<'_, '_> {
    type Item = Delimiter;

    fn next(&mut self) -> Option<Delimiter> {
        loop {
            let offset = memchr::memmem::find(self.body.get(self.at..)?, self.delimiter)?;
            let start = self.at + offset;
            self.at = start + self.delimiter.len();
            let begins_line = start == 0 || self.body[start - 1] == b'\n';
            let rest = &self.body[self.at..];
            let (rest, last) = rest.strip_prefix(b"--").map_or((rest, false), |rest| (rest, true));
            let blanks = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r')).count();
            let ends_line = matches!(rest.get(blanks), None | Some(b'\n'));
            if begins_line && ends_line {
                let end = (self.body.len() - rest.len() + blanks + 1).min(self.body.len());
                self.at = end;
                return Some(Delimiter { line: start..end, last });
            }
        }
    }
}

/// One part: header lines, an empty line, the value.
fn part(text: &[u8]) -> Part<'_> {
    let mut at = 0;
    let mut name = None;
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let length = memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
        let line = rest[..length].strip_suffix(b"\n").unwrap_or(&rest[..length]);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        at += length;
        if line.is_empty() || length == 0 {
            return Part::Received { name, text, value: text.get(at..).unwrap_or_default() };
        }
        let field = b"content-disposition:";
        if line.get(..field.len()).is_some_and(|start| start.eq_ignore_ascii_case(field)) && name.is_none() {
            name = parameter(&line[field.len()..], b"name");
        }
    }
}

/// A parameter of `value; name=token; name="quoted"`.
fn parameter<'v>(value: &'v [u8], wanted: &[u8]) -> Option<Cow<'v, [u8]>> {
    let mut rest = &value[memchr::memchr(b';', value)?..];
    while let [b';', tail @ ..] = rest {
        let tail = tail.trim_ascii_start();
        let length = tail.iter().position(|byte| matches!(byte, b'=' | b';')).unwrap_or(tail.len());
        let name = tail[..length].trim_ascii_end();
        let (found, tail) = match &tail[length..] {
            [b'=', tail @ ..] => parameter_value(tail.trim_ascii_start()),
            tail => (Cow::Borrowed(&b""[..]), tail),
        };
        if name.eq_ignore_ascii_case(wanted) {
            return Some(found);
        }
        rest = &tail[memchr::memchr(b';', tail).unwrap_or(tail.len())..];
    }
    None
}

/// A quoted string or a token, and what follows it.
fn parameter_value(text: &[u8]) -> (Cow<'_, [u8]>, &[u8]) {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let end = memchr::memchr(b';', text).unwrap_or(text.len());
        return (Cow::Borrowed(text[..end].trim_ascii_end()), &text[end..]);
    };
    let mut value = Vec::new();
    let mut at = 0;
    while let Some(byte) = quoted.get(at) {
        match (byte, quoted.get(at + 1)) {
            (b'"', _) => return (Cow::Owned(value), &quoted[at + 1..]),
            (b'\\', Some(escaped @ (b'"' | b'\\'))) => {
                value.push(*escaped);
                at += 2;
            }
            _ => {
                value.push(*byte);
                at += 1;
            }
        }
    }
    (Cow::Owned(value), b"")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::config;
    use super::*;
    use crate::expr::{Budget, Key, Scope, Value, Variables};

    struct Nothing;

    impl Variables for Nothing {
        fn get<'a>(&'a self, _: Scope, _: Key<'_>) -> Value<'a> {
            Value::Nil
        }
    }

    const FORM: &str = "multipart/form-data; charset=utf-8; boundary=\"b1\"";

    fn edited_as(content_type: &str, body: &str, config: serde_json::Value) -> Result<Option<String>, ()> {
        let config = config::read(config).unwrap();
        let [remove, rename, add, append] =
            [config.remove, config.rename, config.add, config.append].map(|section| section.unwrap_or_default().body);
        let replace = config.replace.unwrap_or_default().split().0.body;
        let edits = Edits::compile("body", [&remove, &rename, &replace, &add, &append], &mut Vec::new());
        let values = edits.render(&Nothing, &mut Budget::new()).unwrap();
        edit(body.as_bytes(), content_type.as_bytes(), &edits, &values)
            .map(|edited| edited.map(|body| String::from_utf8(body).unwrap()))
            .map_err(|_| ())
    }

    fn edited(body: &str, config: serde_json::Value) -> Option<String> {
        edited_as(FORM, body, config).unwrap()
    }

    fn field(name: &str, value: &str) -> String {
        format!("--b1\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    }

    #[test]
    fn works_rename_remove_replace_add() {
        let file = "--b1\r\ncontent-disposition: form-data; filename=\"name=\\\"x\\\"\"; name=f\r\n\
                    Content-Type: image/png\r\n\r\nli\r\nne\n\r\n";
        let body =
            [&*field("a", "1"), file, &field("a", "2"), &field("b", "3"), &field("c", "4"), "--b1--\r\n"].concat();
        let config = json!({
            "rename": {"body": ["a:d", "gone:x"]}, "remove": {"body": ["b", "a"]}, "replace": {"body": ["d:new", "gone:no"]},
            "add": {"body": ["c:no", "e\":5"]}, "append": {"body": ["c:no"]},
        });
        let wanted = [&*field("d", "new"), file, &field("c", "4"), &field("e%22", "5"), "--b1--\r\n"].concat();
        assert_eq!(edited(&body, config), Some(wanted));
        let rest = [&*field("a", "2"), &field("b", "3"), &field("c", "4"), "--b1--\r\n"].concat();
        let wanted = [&*field("a", "1"), &field("g", "li\r\nne\n"), &rest].concat();
        assert_eq!(edited(&body, json!({"rename": {"body": ["f:g"]}})), Some(wanted));
        assert_eq!(edited(&body, json!({"remove": {"body": ["x"]}})), None);
    }

    #[test]
    fn an_empty_body_can_be_given_parts() {
        let wanted = format!("{}--b1--\r\n", field("a", "1"));
        assert_eq!(edited("", json!({"add": {"body": ["a:1"]}})), Some(wanted));
        assert_eq!(edited("", json!({"remove": {"body": ["a"]}})), None);
    }

    #[test]
    fn lenient_framing_hides_no_part() {
        let remove = json!({"remove": {"body": ["a"]}});
        for body in [
            field("a", "1").replace("\r\n", "\n") + "--b1--",
            field("a", "1"),
            "preamble\r\n".to_owned()
                + &field("x", "1").replace("--b1", "--b1 \t")
                + &field("a", "1")
                + "--b1--\r\nepilogue",
        ] {
            let edited = edited(&body, remove.clone()).unwrap();
            assert!(!edited.contains("\"a\"") && edited.ends_with("--b1--\r\n"), "{edited}");
        }
    }

    #[test]
    fn delimiters_are_whole_lines() {
        let body = field("x", "--b1 is not\r\na--b1\r\n--b1x") + &field("a", "1") + "--b1--\r\n";
        let wanted = field("x", "--b1 is not\r\na--b1\r\n--b1x") + "--b1--\r\n";
        assert_eq!(edited(&body, json!({"remove": {"body": ["a"]}})), Some(wanted));
    }

    #[test]
    fn what_is_no_form_is_left_alone() {
        let config = json!({"add": {"body": ["a:1"]}});
        for content_type in
            ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; xboundary=b1"]
        {
            assert_eq!(edited_as(content_type, &field("x", "1"), config.clone()), Ok(None));
        }
        assert_eq!(edited("no parts", config.clone()), None);
        assert_eq!(edited("--b1--\r\n", config), None);
    }

    #[test]
    fn hostile_forms_are_refused() {
        assert!(edited_as(FORM, &field("a", "1"), json!({"replace": {"body": ["a:x\r\n--b1--"]}})).is_err());
        assert!(edited_as(FORM, &field("a", "1").repeat(1001), json!({"remove": {"body": ["a"]}})).is_err());
        assert_eq!(edited(&"--b1 ".repeat(200_000), json!({"remove": {"body": ["a"]}})), None);
    }
}
