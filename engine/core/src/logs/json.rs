//! Writing JSON without a tree of it.

use crate::gateway::forward::Digits;

/// An object that is being written.
pub(crate) struct Object<'o> {
    out: &'o mut Vec<u8>,
    is_empty: bool,
}

impl Object<'_> {
    /// Writes an object.
    pub(crate) fn write(out: &mut Vec<u8>, members: impl FnOnce(&mut Object<'_>)) {
        out.push(b'{');
        members(&mut Object { out, is_empty: true });
        out.push(b'}');
    }

    /// Begins a member; its value is to be written next.
    pub(crate) fn key(&mut self, name: &[u8]) -> &mut Vec<u8> {
        if !std::mem::take(&mut self.is_empty) {
            self.out.push(b',');
        }
        text(self.out, name);
        self.out.push(b':');
        self.out
    }

    /// A member that is text.
    pub(crate) fn text(&mut self, name: &str, value: impl AsRef<[u8]>) {
        text(self.key(name.as_bytes()), value.as_ref());
    }

    /// A member that is a number.
    pub(crate) fn number(&mut self, name: &str, value: u64) {
        self.key(name.as_bytes()).extend_from_slice(Digits::default().of(value));
    }

    /// A member that is true or false.
    pub(crate) fn truth(&mut self, name: &str, value: bool) {
        self.raw(name, if value { "true" } else { "false" });
    }

    /// A member whose value is JSON already.
    pub(crate) fn raw(&mut self, name: &str, value: &str) {
        self.key(name.as_bytes()).extend_from_slice(value.as_bytes());
    }

    /// A member that is an object.
    pub(crate) fn object(&mut self, name: &str, members: impl FnOnce(&mut Object<'_>)) {
        Object::write(self.key(name.as_bytes()), members);
    }
}

/// Writes a list, each item by a call.
pub(crate) fn list<T>(out: &mut Vec<u8>, items: impl Iterator<Item = T>, mut write: impl FnMut(&mut Vec<u8>, T)) {
    out.push(b'[');
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(b']');
}

/// Writes text. What is no UTF-8 becomes U+FFFD: a document that nobody can read helps nobody.
pub(crate) fn text(out: &mut Vec<u8>, value: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    let valid;
    let value = if value.is_ascii() {
        value
    } else {
        valid = String::from_utf8_lossy(value);
        valid.as_bytes()
    };
    let mut written = 0;
    for (index, byte) in value.iter().enumerate() {
        if *byte >= 0x20 && *byte != b'"' && *byte != b'\\' && *byte != 0x7f {
            continue;
        }
        out.extend_from_slice(&value[written..index]);
        written = index + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                out.extend_from_slice(b"\\u00");
                out.extend([HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
        }
    }
    out.extend_from_slice(&value[written..]);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn texts_of_any_bytes_are_json() {
        for (bytes, expected) in [
            (&b"plain"[..], "plain"),
            (b"", ""),
            (b"\"\\/\n\r\t\x00\x1f\x7f", "\"\\/\n\r\t\0\u{1f}\u{7f}"),
            ("gr\u{fc}n \u{1f600}".as_bytes(), "gr\u{fc}n \u{1f600}"),
            (b"a\xffb", "a\u{fffd}b"),
        ] {
            let mut out = Vec::new();
            text(&mut out, bytes);
            assert_eq!(serde_json::from_slice::<Value>(&out).unwrap(), json!(expected));
            assert!(out.iter().all(|byte| *byte >= 0x20 && *byte != 0x7f));
        }
    }

    #[test]
    fn objects_and_lists_have_commas_between() {
        let mut out = Vec::new();
        Object::write(&mut out, |object| {
            object.text("a", "1");
            object.number("b", 2);
            object.truth("c", true);
            object.object("d", |inner| inner.raw("e", "null"));
            object.object("f", |_| {});
            list(object.key(b"g"), [1, 2].into_iter(), |out, item| out.extend_from_slice(Digits::default().of(item)));
        });
        let expected = json!({"a": "1", "b": 2, "c": true, "d": {"e": null}, "f": {}, "g": [1, 2]});
        assert_eq!(serde_json::from_slice::<Value>(&out).unwrap(), expected);
    }
}
