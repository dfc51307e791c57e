//! JSON bodies: the members of a top-level object.
//!
//! The body is scanned once. Members that no edit names are copied as they are, so numbers keep their digits and
//! values their layout; memory grows with the edits, not with the number of members. What is no JSON object is left
//! alone.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, Visitor};

use super::operations::{Edits, Parameters, Rendered};

/// Deeper nested bodies count as no JSON.
const MAX_DEPTH: usize = 1000;

/// The edited body, or None where there is nothing to do.
pub(super) fn edit(body: &[u8], edits: &Edits, values: &Rendered<'_>) -> Option<Vec<u8>> {
    edit_with(body, edits, values, quote)
}

/// The same, with values that `as_json` makes JSON of.
pub(super) fn edit_with(
    body: &[u8],
    edits: &Edits,
    values: &Rendered<'_>,
    as_json: fn(&[u8]) -> Vec<u8>,
) -> Option<Vec<u8>> {
    let mut members = Members { named: BTreeMap::new(), changed: false, as_json };
    for name in named(edits, values) {
        members.named.insert(name, None);
    }
    let mut out = vec![b'{'];
    if body.is_empty() {
        // An empty body has nothing to take out or move, but it can be given something.
        if edits.add.is_empty() && edits.append.is_empty() {
            return None;
        }
    } else {
        Scanner::new(body).object(|key, member, value| match members.named.get_mut(&*key) {
            // Of members with the same name the last one counts.
            Some(slot) => *slot = Some(Cow::Borrowed(&body[value])),
            None => push(&mut out, &body[member]),
        })?;
    }
    edits.apply(values, &mut members);
    if !members.changed {
        return None;
    }
    for (name, value) in &members.named {
        if let Some(value) = value {
            let mut member = quote(name);
            member.push(b':');
            member.extend_from_slice(value);
            push(&mut out, &member);
        }
    }
    out.push(b'}');
    Some(out)
}

fn push(out: &mut Vec<u8>, member: &[u8]) {
    if out.len() > 1 {
        out.push(b',');
    }
    out.extend_from_slice(member);
}

/// All names that edits read or write, the new names of renames included.
fn named<'n>(edits: &'n Edits, values: &'n Rendered<'_>) -> impl Iterator<Item = &'n [u8]> {
    let items = [&edits.rename, &edits.replace, &edits.add, &edits.append].into_iter().flatten();
    let new_names = values.iter().take(edits.rename.len());
    edits.remove.iter().map(|name| &**name).chain(items.map(|item| &*item.name)).chain(new_names.map(|name| &**name))
}

/// The members that edits name, as JSON text.
struct Members<'n, 'b> {
    named: BTreeMap<&'n [u8], Option<Cow<'b, [u8]>>>,
    changed: bool,
    as_json: fn(&[u8]) -> Vec<u8>,
}

impl Members<'_, '_> {
    fn set(&mut self, name: &[u8], value: Vec<u8>) {
        if let Some(slot) = self.named.get_mut(name) {
            *slot = Some(Cow::Owned(value));
            self.changed = true;
        }
    }

    /// Whether the member counts as present: `false` does not, `null` does.
    fn is_present(&self, name: &[u8]) -> bool {
        matches!(self.named.get(name), Some(Some(value)) if **value != *b"false")
    }
}

impl Parameters for Members<'_, '_> {
    fn remove(&mut self, name: &[u8]) {
        self.changed |= self.named.get_mut(name).is_some_and(|slot| slot.take().is_some());
    }

    fn rename(&mut self, name: &[u8], new_name: &[u8]) {
        if let Some(value) = self.named.get_mut(name).and_then(Option::take) {
            self.set(new_name, value.into_owned());
        }
    }

    fn replace(&mut self, name: &[u8], value: &[u8]) {
        if self.is_present(name) {
            self.set(name, (self.as_json)(value));
        }
    }

    fn add(&mut self, name: &[u8], value: &[u8]) {
        if !self.is_present(name) {
            self.set(name, (self.as_json)(value));
        }
    }

    /// A list gets one more item, a string or object becomes a list of two, and anything else gives way to a list.
    fn append(&mut self, name: &[u8], value: &[u8]) {
        let Some(slot) = self.named.get_mut(name) else { return };
        let value = (self.as_json)(value);
        let list = match slot.take().map(Cow::into_owned) {
            Some(mut list) if list.first() == Some(&b'[') => {
                list.pop();
                if list[1..].iter().all(|byte| is_blank(*byte)) {
                    list.truncate(1);
                } else {
                    list.push(b',');
                }
                list.extend_from_slice(&value);
                list.push(b']');
                list
            }
            Some(scalar) if matches!(scalar.first(), Some(b'"' | b'{')) => {
                [b"[", &*scalar, b",", &value, b"]"].concat()
            }
            _ => [b"[", &*value, b"]"].concat(),
        };
        *slot = Some(Cow::Owned(list));
        self.changed = true;
    }
}

/// A JSON string. Bytes that are no UTF-8 pass as they are.
pub(super) fn quote(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 2);
    out.push(b'"');
    for byte in text {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..0x20 | 0x7f => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(*byte),
        }
    }
    out.push(b'"');
    out
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Reads JSON without building it. Bytes inside strings are not checked to be UTF-8: a body that some lenient upstream
/// would read must not pass by the edits.
pub(super) struct Scanner<'t> {
    text: &'t [u8],
    at: usize,
}

impl<'t> Scanner<'t> {
    pub(super) fn new(text: &'t [u8]) -> Self {
        Self { text, at: 0 }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn skip_blanks(&mut self) {
        while self.peek().is_some_and(is_blank) {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.peek() == Some(byte)).then(|| self.at += 1)
    }

    /// Visits the members of an object that is all of the text: decoded key, place of the member, place of its value.
    pub(super) fn object(&mut self, mut visit: impl FnMut(Cow<'t, [u8]>, Range<usize>, Range<usize>)) -> Option<()> {
        self.skip_blanks();
        self.expect(b'{')?;
        self.skip_blanks();
        if self.expect(b'}').is_none() {
            loop {
                self.skip_blanks();
                let start = self.at;
                self.string()?;
                let key = decode(&self.text[start..self.at])?;
                self.skip_blanks();
                self.expect(b':')?;
                self.skip_blanks();
                let value = self.at;
                self.value()?;
                visit(key, start..self.at, value..self.at);
                self.skip_blanks();
                if self.expect(b',').is_none() {
                    self.expect(b'}')?;
                    break;
                }
            }
        }
        self.end()
    }

    /// Visits the items of a list that is all of the text.
    pub(super) fn list(&mut self, mut visit: impl FnMut(Range<usize>)) -> Option<()> {
        self.skip_blanks();
        self.expect(b'[')?;
        self.skip_blanks();
        if self.expect(b']').is_none() {
            loop {
                self.skip_blanks();
                let start = self.at;
                self.value()?;
                visit(start..self.at);
                self.skip_blanks();
                if self.expect(b',').is_none() {
                    self.expect(b']')?;
                    break;
                }
            }
        }
        self.end()
    }

    /// Passes a value of any kind that is all of the text.
    pub(super) fn only_value(&mut self) -> Option<()> {
        self.value()?;
        self.end()
    }

    fn end(&mut self) -> Option<()> {
        self.skip_blanks();
        (self.at == self.text.len()).then_some(())
    }

    /// Passes one value of any kind. Iterative, so that nesting costs no stack.
    fn value(&mut self) -> Option<()> {
        let mut open = Vec::new();
        loop {
            self.skip_blanks();
            match self.peek()? {
                b'{' | b'[' => {
                    let closer = if self.peek() == Some(b'{') { b'}' } else { b']' };
                    self.at += 1;
                    self.skip_blanks();
                    if self.expect(closer).is_none() {
                        if open.len() == MAX_DEPTH {
                            return None;
                        }
                        open.push(closer);
                        self.key_of(closer)?;
                        continue;
                    }
                }
                b'"' => self.string()?,
                b't' => self.word(b"true")?,
                b'f' => self.word(b"false")?,
                b'n' => self.word(b"null")?,
                _ => self.number()?,
            }
            // After a value: close what ends here, then go on with the next member or item.
            loop {
                let Some(closer) = open.last().copied() else { return Some(()) };
                self.skip_blanks();
                if self.expect(b',').is_some() {
                    self.key_of(closer)?;
                    break;
                }
                self.expect(closer)?;
                open.pop();
            }
        }
    }

    /// Passes the key and colon before a value of an object; lists have none.
    fn key_of(&mut self, closer: u8) -> Option<()> {
        if closer == b'}' {
            self.skip_blanks();
            self.string()?;
            self.skip_blanks();
            self.expect(b':')?;
        }
        Some(())
    }

    fn string(&mut self) -> Option<()> {
        self.expect(b'"')?;
        loop {
            let offset = memchr::memchr2(b'"', b'\\', self.text.get(self.at..)?)?;
            self.at += offset + 1;
            if self.text[self.at - 1] == b'"' {
                return Some(());
            }
            match self.peek()? {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 1,
                b'u' if self.text.get(self.at + 1..self.at + 5)?.iter().all(u8::is_ascii_hexdigit) => self.at += 5,
                _ => return None,
            }
        }
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.text[self.at..].starts_with(word).then(|| self.at += word.len())
    }

    fn number(&mut self) -> Option<()> {
        let _ = self.expect(b'-');
        self.digits()?;
        if self.expect(b'.').is_some() {
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(())
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }
}

/// The text of a string, given with its quotes.
fn decode(quoted: &[u8]) -> Option<Cow<'_, [u8]>> {
    let inside = &quoted[1..quoted.len() - 1];
    if memchr::memchr(b'\\', inside).is_none() {
        return Some(Cow::Borrowed(inside));
    }
    serde_json::from_slice::<Bytes>(quoted).ok().map(|Bytes(text)| Cow::Owned(text))
}

/// A string of any bytes, escapes resolved.
struct Bytes(Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Bytes;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a string")
            }

            fn visit_bytes<E>(self, text: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(text.to_vec()))
            }
        }
        deserializer.deserialize_bytes(Text)
    }
}
