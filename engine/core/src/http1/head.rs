//! Where a message head ends, and what its framing headers say. RFC 9112 sections 2.2, 5 and 6.

use std::mem::MaybeUninit;

use memchr::memchr_iter;

use crate::message::{Headers, Span};

/// Lines parsed without an allocation; more are parsed into a list on the heap.
pub(crate) const FEW_LINES: usize = 64;
/// Lines that a head may have.
pub(crate) const MOST_LINES: usize = 1024;

/// Headers that `Connection` may name; looking for thousands in a head of hundreds would cost milliseconds.
const MOST_NOMINATED: usize = 32;

/// How the length of a body is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Framing {
    /// No body.
    #[default]
    None,
    /// So many bytes.
    Length(u64),
    /// The chunked coding.
    Chunked,
    /// Everything up to the end of the connection (responses only).
    UntilClose,
}

/// A head that breaks the rules so that others might read it differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed(
    /// What is wrong, for logs and tests.
    pub &'static str,
);

/// Finds the end of a request head: the offset after its empty line. `scanned` remembers how far earlier calls got.
/// A line that does not end with CRLF is malformed: what a lenient reader makes of it is anyone's guess.
pub fn find_end(bytes: &[u8], scanned: &mut usize) -> Result<Option<usize>, Malformed> {
    let from = *scanned;
    for position in memchr_iter(b'\n', bytes.get(from..).unwrap_or_default()) {
        let newline = from + position;
        if newline == 0 || bytes[newline - 1] != b'\r' {
            return Err(Malformed("bare LF in the head"));
        }
        if newline >= 3 && bytes[newline - 2] == b'\n' {
            *scanned = newline + 1;
            return Ok(Some(newline + 1));
        }
    }
    *scanned = bytes.len();
    Ok(None)
}

/// Finds the end of a response head; a bare LF ends a line too (RFC 9112 section 2.2), since the head is written anew.
#[must_use]
pub fn find_end_lenient(bytes: &[u8], scanned: &mut usize) -> Option<usize> {
    // An empty line may straddle what was scanned before by up to two bytes.
    let from = scanned.saturating_sub(2);
    for position in memchr_iter(b'\n', bytes.get(from..).unwrap_or_default()) {
        let newline = from + position;
        match bytes.get(newline + 1..) {
            Some([b'\n', ..]) => return Some(newline + 2),
            Some([b'\r', b'\n', ..]) => return Some(newline + 3),
            _ => {}
        }
    }
    *scanned = bytes.len();
    None
}

/// Space for parsed lines that costs nothing to make.
pub(crate) type Lines<'h, const N: usize> = [MaybeUninit<httparse::Header<'h>>; N];

/// The span of a piece within the head that it was parsed from.
pub(crate) fn span_in(head: &[u8], piece: &[u8]) -> Span {
    let start = (piece.as_ptr() as usize).saturating_sub(head.as_ptr() as usize);
    Span::new(start, start + piece.len())
}

/// `Content-Length` and `Transfer-Encoding` as they pass by.
#[derive(Debug, Default)]
pub(crate) struct FramingHeaders {
    length: Option<u64>,
    chunked: bool,
}

impl FramingHeaders {
    /// One `Content-Length`: digits only, and only one of it, be it the same.
    pub(crate) fn content_length(&mut self, value: &[u8]) -> Result<(), Malformed> {
        let digits = !value.is_empty() && value.len() <= 18 && value.iter().all(u8::is_ascii_digit);
        if !digits {
            return Err(Malformed("invalid Content-Length"));
        }
        let length = value.iter().fold(0, |sum: u64, digit| sum * 10 + u64::from(digit - b'0'));
        if self.length.replace(length).is_some() {
            return Err(Malformed("several Content-Length"));
        }
        Ok(())
    }

    /// One `Transfer-Encoding`: `chunked` and nothing else, once.
    pub(crate) fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), Malformed> {
        if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
            return Err(Malformed("unknown or repeated Transfer-Encoding"));
        }
        self.chunked = true;
        Ok(())
    }

    /// What both say together; both at once is what request smuggling is made of.
    pub(crate) fn framing(&self) -> Result<Option<Framing>, Malformed> {
        match (self.length, self.chunked) {
            (Some(_), true) => Err(Malformed("both Content-Length and Transfer-Encoding")),
            (None, true) => Ok(Some(Framing::Chunked)),
            (Some(0), false) => Ok(Some(Framing::None)),
            (Some(length), false) => Ok(Some(Framing::Length(length))),
            (None, false) => Ok(None),
        }
    }
}

/// What a `Connection` header says.
#[derive(Debug, Default)]
pub(crate) struct ConnectionOptions {
    pub close: bool,
    pub keep_alive: bool,
    pub upgrade: bool,
    /// Headers that it names as meant for this hop only.
    pub nominated: Vec<Box<str>>,
}

impl ConnectionOptions {
    pub(crate) fn clear(&mut self) {
        (self.close, self.keep_alive, self.upgrade) = (false, false, false);
        self.nominated.clear();
    }

    pub(crate) fn add(&mut self, value: &[u8]) -> Result<(), Malformed> {
        for token in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            if token.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if token.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if token.eq_ignore_ascii_case(b"upgrade") {
                self.upgrade = true;
            } else if let Ok(name) = std::str::from_utf8(token)
                && !name.is_empty()
            {
                if self.nominated.len() == MOST_NOMINATED {
                    return Err(Malformed("too many connection options"));
                }
                self.nominated.push(name.into());
            }
        }
        Ok(())
    }

    /// Takes the nominated headers out of a list.
    pub(crate) fn strip(&self, headers: &mut Headers) {
        for name in &self.nominated {
            headers.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_end_in_pieces() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nrest";
        let mut scanned = 0;
        for end in 0..head.len() - 4 {
            let found = find_end(&head[..end], &mut scanned).unwrap();
            assert_eq!(found, None, "{end}");
        }
        assert_eq!(find_end(head, &mut scanned), Ok(Some(head.len() - 4)));
    }

    #[test]
    fn refuses_bare_line_feeds() {
        for head in [&b"GET / HTTP/1.1\nHost: a\r\n\r\n"[..], b"GET / HTTP/1.1\r\nHost: a\n\r\n", b"\nGET"] {
            assert!(find_end(head, &mut 0).is_err());
        }
    }

    #[test]
    fn finds_lenient_ends_in_pieces() {
        for head in [&b"HTTP/1.1 200 OK\r\na: b\r\n\r\n"[..], b"HTTP/1.1 200 OK\na: b\n\n", b"HTTP/1.0 200 OK\n\r\n"] {
            let mut scanned = 0;
            for end in 0..head.len() {
                assert_eq!(find_end_lenient(&head[..end], &mut scanned), None);
            }
            assert_eq!(find_end_lenient(head, &mut scanned), Some(head.len()));
        }
    }

    #[test]
    fn framing_headers() {
        let framing = |lengths: &[&str], encodings: &[&str]| {
            let mut headers = FramingHeaders::default();
            lengths.iter().try_for_each(|value| headers.content_length(value.as_bytes()))?;
            encodings.iter().try_for_each(|value| headers.transfer_encoding(value.as_bytes()))?;
            headers.framing()
        };
        assert_eq!(framing(&["5"], &[]), Ok(Some(Framing::Length(5))));
        assert_eq!(framing(&["0"], &[]), Ok(Some(Framing::None)));
        assert_eq!(framing(&[], &["Chunked"]), Ok(Some(Framing::Chunked)));
        assert_eq!(framing(&[], &[]), Ok(None));
        for (lengths, encodings) in [
            (&["5"][..], &["chunked"][..]),
            (&["5", "5"], &[]),
            (&["5", "6"], &[]),
            (&["+5"], &[]),
            (&["5, 5"], &[]),
            (&[""], &[]),
            (&["0x5"], &[]),
            (&["99999999999999999999"], &[]),
            (&[], &["chunked", "chunked"]),
            (&[], &["gzip, chunked"]),
            (&[], &["xchunked"]),
            (&[], &["chunked\x0b"]),
            (&[], &["identity"]),
        ] {
            assert!(framing(lengths, encodings).is_err(), "{lengths:?} {encodings:?}");
        }
    }
}
