//! `a=1&b=2`: the arguments of a query or a form body.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::body::TooMany;
use super::operations::Parameters;
use crate::query::unescape;

/// More arguments than this are not worked on: each costs far more memory than its bytes.
const MAX_ARGUMENTS: usize = 10_000;

/// One value of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Argument<'a> {
    /// `a`: no `=` at all.
    Flag,
    /// `a=…`, decoded; may be empty.
    Text(Cow<'a, [u8]>),
}

/// Decoded arguments by name. Encoded again they are in the order of their names, values of one name in their own.
#[derive(Debug, Default)]
pub(super) struct Arguments<'a> {
    values: BTreeMap<Cow<'a, [u8]>, Vec<Argument<'a>>>,
}

impl<'a> Arguments<'a> {
    /// Decodes `text`; `+` is a blank, broken escapes stand for themselves, arguments without a name are left out.
    pub(super) fn decode(text: &'a [u8]) -> Result<Self, TooMany> {
        let mut values: BTreeMap<Cow<'a, [u8]>, Vec<Argument<'a>>> = BTreeMap::new();
        let mut count = 0;
        for piece in text.split(|byte| *byte == b'&') {
            let (name, value) = match memchr::memchr(b'=', piece) {
                Some(at) => (&piece[..at], Argument::Text(unescape(&piece[at + 1..]))),
                None => (piece, Argument::Flag),
            };
            if name.is_empty() {
                continue;
            }
            count += 1;
            if count > MAX_ARGUMENTS {
                return Err(TooMany);
            }
            values.entry(unescape(name)).or_default().push(value);
        }
        Ok(Self { values })
    }

    /// The values of a name, in order.
    pub(super) fn get(&self, name: &[u8]) -> &[Argument<'a>] {
        self.values.get(name).map_or(&[], Vec::as_slice)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Puts the values of `others` behind those that are there.
    pub(super) fn extend(&mut self, others: Self) {
        for (name, values) in others.values {
            self.values.entry(name).or_default().extend(values);
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, values) in &self.values {
            for value in values {
                if !out.is_empty() {
                    out.push(b'&');
                }
                escape(name, &mut out);
                if let Argument::Text(text) = value {
                    out.push(b'=');
                    escape(text, &mut out);
                }
            }
        }
        out
    }

    fn set(&mut self, name: &[u8], value: &[u8]) {
        self.values.insert(Cow::Owned(name.to_vec()), vec![text(value)]);
    }
}

fn text(value: &[u8]) -> Argument<'static> {
    Argument::Text(Cow::Owned(value.to_vec()))
}

impl Parameters for Arguments<'_> {
    fn remove(&mut self, name: &[u8]) {
        self.values.remove(name);
    }

    fn rename(&mut self, name: &[u8], new_name: &[u8]) {
        if let Some(values) = self.values.remove(name) {
            self.values.insert(Cow::Owned(new_name.to_vec()), values);
        }
    }

    fn replace(&mut self, name: &[u8], value: &[u8]) {
        if self.values.contains_key(name) {
            self.set(name, value);
        }
    }

    fn add(&mut self, name: &[u8], value: &[u8]) {
        if !self.values.contains_key(name) {
            self.set(name, value);
        }
    }

    fn append(&mut self, name: &[u8], value: &[u8]) {
        match self.values.get_mut(name) {
            // A lone flag has no value that a list could keep.
            Some(values) if values.as_slice() != [Argument::Flag] => values.push(text(value)),
            _ => self.set(name, value),
        }
    }
}

/// Escapes all but letters, digits and `-_.~!*'()`.
fn escape(text: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        if byte.is_ascii_alphanumeric() || b"-_.~!*'()".contains(byte) {
            out.push(*byte);
        } else {
            push_escape(*byte, out);
        }
    }
}

/// Appends `%XX`.
pub(super) fn push_escape(byte: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.extend_from_slice(&[b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(text: &str) -> String {
        String::from_utf8(Arguments::decode(text.as_bytes()).unwrap().encode()).unwrap()
    }

    #[test]
    fn encodes_in_the_order_of_names() {
        assert_eq!(again("b=2&a=1&b=1&c"), "a=1&b=2&b=1&c");
        assert_eq!(again("a=&b&&=x&="), "a=&b");
        assert_eq!(again("a=b=c&d=1+2%20%2B"), "a=b%3Dc&d=1%202%20%2B");
        assert_eq!(again("%61=%zz%4&x%5B1%5D=é"), "a=%25zz%254&x%5B1%5D=%C3%A9");
        assert_eq!(again("a=-_.~!*'()/@"), "a=-_.~!*'()%2F%40");
    }

    #[test]
    fn operations_work_on_all_values_of_a_name() {
        let mut arguments = Arguments::decode(b"q1=v1&q1=v3&flag&x=1&y=2").unwrap();
        arguments.replace(b"q1", b"v2");
        arguments.replace(b"gone", b"v");
        arguments.append(b"flag", b"a");
        arguments.append(b"flag", b"b");
        arguments.append(b"new", b"n");
        arguments.add(b"x", b"no");
        arguments.rename(b"x", b"y");
        arguments.rename(b"absent", b"q1");
        assert_eq!(arguments.encode(), b"flag=a&flag=b&new=n&q1=v2&y=1");
    }

    #[test]
    fn too_many_are_refused() {
        assert!(Arguments::decode("a&".repeat(MAX_ARGUMENTS).as_bytes()).is_ok());
        assert!(Arguments::decode("a&".repeat(MAX_ARGUMENTS + 1).as_bytes()).is_err());
    }
}
