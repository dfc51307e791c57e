//! The one reading of a request path: what routes match, what plugins see and what the upstream URL is built from.

use std::borrow::Cow;

/// A raw path that cannot be normalised: the request is answered with 400.
///
/// It does not start with `/`, has a `%` without two hex digits, or an encoded NUL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidPath;

/// Normalises a raw path (no query): percent-decoding, `.` and `..` segments, repeated slashes. Borrows when nothing
/// has to change.
///
/// Reserved characters stay encoded, with upper-case hex digits, so that an encoded slash never becomes a separator;
/// everything else is decoded; `..` stops at the root. The result need not be UTF-8, but then no route matches it.
///
/// # Errors
/// [`InvalidPath`].
///
/// Source: RFC 3986 sections 2.3 and 6.2.2.
pub fn normalise(raw: &[u8]) -> Result<Cow<'_, [u8]>, InvalidPath> {
    if raw.first() != Some(&b'/') {
        return Err(InvalidPath);
    }
    if is_normal(raw) {
        return Ok(Cow::Borrowed(raw));
    }
    Ok(Cow::Owned(without_dot_segments(&decode(raw)?)))
}

/// Whether the path surely needs no work: no escape, and no slash followed by a slash or a dot.
fn is_normal(raw: &[u8]) -> bool {
    let mut after_slash = false;
    for &byte in raw {
        if byte == b'%' || (after_slash && (byte == b'/' || byte == b'.')) {
            return false;
        }
        after_slash = byte == b'/';
    }
    true
}

fn decode(raw: &[u8]) -> Result<Vec<u8>, InvalidPath> {
    let mut decoded = Vec::with_capacity(raw.len());
    let mut rest = raw;
    loop {
        match *rest {
            [] => return Ok(decoded),
            [b'%', high, low, ref tail @ ..] => {
                let byte = (hex_value(high)? << 4) | hex_value(low)?;
                match byte {
                    0 => return Err(InvalidPath),
                    _ if is_reserved(byte) => {
                        decoded.extend([b'%', high.to_ascii_uppercase(), low.to_ascii_uppercase()]);
                    }
                    _ => decoded.push(byte),
                }
                rest = tail;
            }
            [b'%', ..] => return Err(InvalidPath),
            [byte, ref tail @ ..] => {
                decoded.push(byte);
                rest = tail;
            }
        }
    }
}

fn hex_value(digit: u8) -> Result<u8, InvalidPath> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(InvalidPath),
    }
}

/// The reserved set of RFC 3986, and `%` itself: decoding one of these would change what the path means.
fn is_reserved(byte: u8) -> bool {
    b"!#$%&'()*+,/:;=?@[]".contains(&byte)
}

/// Resolves dot segments and drops empty ones. A path that ends in `/`, `/.` or `/..` ends in `/`.
fn without_dot_segments(path: &[u8]) -> Vec<u8> {
    let mut resolved: Vec<u8> = Vec::with_capacity(path.len());
    let mut open = true;
    for segment in path.split(|&byte| byte == b'/').skip(1) {
        open = matches!(segment, b"" | b"." | b"..");
        if segment == b".." {
            let parent = resolved.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
            resolved.truncate(parent);
        } else if !open {
            resolved.push(b'/');
            resolved.extend_from_slice(segment);
        }
    }
    if open {
        resolved.push(b'/');
    }
    resolved
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(raw: &str) -> String {
        String::from_utf8(normalise(raw.as_bytes()).unwrap().into_owned()).unwrap()
    }

    #[test]
    fn normalises() {
        for (raw, expected) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a/b/", "/a/b/"),
            ("/a.b/c..d/e.", "/a.b/c..d/e."),
            ("/a/.e/..f", "/a/.e/..f"),
            ("/...", "/..."),
            ("//", "/"),
            ("//a///b//", "/a/b/"),
            ("/.", "/"),
            ("/..", "/"),
            ("/a/.", "/a/"),
            ("/a/./b", "/a/b"),
            ("/a/..", "/"),
            ("/a/b/..", "/a/"),
            ("/a/b/../c", "/a/c"),
            ("/a/b/../../../../c", "/c"),
            ("/a//../b", "/b"),
            ("/a/.//b", "/a/b"),
            ("/%2e%2E/x", "/x"),
            ("/a/%2e/b", "/a/b"),
            ("/a/%2e%2e/b", "/b"),
            ("/a/.%2e/b", "/b"),
            ("/%41%7Eb%2Dc%5f", "/A~b-c_"),
            ("/a%20b", "/a b"),
            ("/a%22%3C%3E%5C%5E%60%7B%7C%7D", "/a\"<>\\^`{|}"),
            ("/a%01%7f", "/a\u{1}\u{7f}"),
            ("/caf%c3%a9", "/café"),
            ("/café", "/café"),
            ("/a%2fb", "/a%2Fb"),
            ("/a%2F..%2fb", "/a%2F..%2Fb"),
            ("/a%2f../b", "/a%2F../b"),
            ("/%21%23%24%25%26%27%28%29%2a%2b", "/%21%23%24%25%26%27%28%29%2A%2B"),
            ("/%2c%3a%3b%3d%3f%40%5b%5d", "/%2C%3A%3B%3D%3F%40%5B%5D"),
            ("/!$&'()*+,:;=@[]", "/!$&'()*+,:;=@[]"),
            ("/a%252Fb", "/a%252Fb"),
            ("/a%252e%252e/b", "/a%252e%252e/b"),
        ] {
            assert_eq!(normal(raw), expected, "{raw}");
        }
    }

    #[test]
    fn what_it_yields_is_normal() {
        for raw in ["/a%20b/../c", "/%2e%2e//x/./y/", "/caf%C3%A9", "/a%2fb", "/%25%32%65/."] {
            let once = normal(raw);
            assert_eq!(normal(&once), once, "{raw}");
        }
    }

    #[test]
    fn borrows_when_nothing_changes() {
        for raw in ["/", "/api/v1/users/42", "/a.b/c-d_e~f/", "/café"] {
            assert!(matches!(normalise(raw.as_bytes()), Ok(Cow::Borrowed(_))), "{raw}");
        }
    }

    #[test]
    fn refuses_what_is_no_path() {
        for raw in ["", "*", "a/b", "%2f", "/%", "/a%2", "/a%zz", "/%4g", "/%g4", "/%+1", "/%%41", "/a%00b"] {
            assert_eq!(normalise(raw.as_bytes()), Err(InvalidPath), "{raw}");
        }
    }

    #[test]
    fn leaves_the_judgement_of_utf8_to_the_router() {
        assert_eq!(normalise(b"/%ff").unwrap().as_ref(), b"/\xff");
        assert_eq!(normalise(b"/\xc3%A9").unwrap().as_ref(), "/é".as_bytes());
    }
}
