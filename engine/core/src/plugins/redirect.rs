//! redirect: sends clients elsewhere.
//!
//! Source: the behaviour of Kong Gateway's plugin of the same name; for paths that are kept, the URL standard's serialising.

use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use super::{Compiled, Place, read};
use crate::error::FieldError;
use crate::message::{Headers, Request, RequestHead, Response, ResponseBody};
use crate::phases::{Exchange, Flow, Phases, Plugin};

/// The configuration as the control plane sends it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    location: String,
    status_code: u16,
    keep_incoming_path: bool,
}

struct Redirect {
    status: u16,
    location: Location,
}

enum Location {
    /// As it is.
    Fixed(Box<[u8]>),
    /// What stands before and behind the request's path and query.
    Around(Box<[u8]>, Box<[u8]>),
}

/// Compiles an instance.
pub(super) fn compile(config: Value, _: &Place) -> Compiled {
    let Config { location, status_code: status, keep_incoming_path } = read(config)?;
    if !(200..600).contains(&status) {
        return Err(vec![FieldError::new("status_code", "value should be between 200 and 599")]);
    }
    if Headers::new().append("Location", &location).is_err() {
        return Err(vec![FieldError::new("location", "must not contain control characters")]);
    }
    let location = if keep_incoming_path {
        around(&location).ok_or_else(|| vec![FieldError::new("location", "missing host in url")])?
    } else {
        Location::Fixed(location.into_bytes().into())
    };
    Ok(Arc::new(Redirect { status, location }))
}

/// Takes path and query out of a URL.
fn around(url: &str) -> Option<Location> {
    let authority = url.find("//")? + 2;
    let end = url[authority..].find(['/', '?', '#', '\\']).map_or(url.len(), |end| authority + end);
    let (scheme, host) = (url[..authority].to_ascii_lowercase(), &url[authority..end]);
    let (user, host) = host.rsplit_once('@').map_or(("", host), |(user, host)| (user, host));
    let host = host.to_ascii_lowercase();
    let usual = [("https://", ":443"), ("http://", ":80")];
    let port = usual.iter().find(|(own, _)| *own == scheme).map_or("", |(_, port)| port);
    let host = host.strip_suffix(port).unwrap_or(&host);
    let at = if user.is_empty() { "" } else { "@" };
    let fragment = url[end..].find('#').map_or("", |hash| &url[end + hash..]);
    Some(Location::Around(format!("{scheme}{user}{at}{host}").into_bytes().into(), fragment.as_bytes().into()))
}

/// Adds bytes, escaping what may not stand in a part of a URL.
fn escape(out: &mut Vec<u8>, bytes: &[u8], escaped: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in bytes {
        if byte <= b' ' || byte >= 0x7f || escaped.contains(&byte) {
            out.extend([b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        } else {
            out.push(byte);
        }
    }
}

/// Adds a path without `.` and `..` segments, however these are escaped.
fn add_path(out: &mut Vec<u8>, path: &[u8]) {
    let start = out.len();
    let segments = path.strip_prefix(b"/").unwrap_or(path).split(|byte| *byte == b'/' || *byte == b'\\');
    let mut segments = segments.peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match dots(segment) {
            Some(1) if is_last => out.push(b'/'),
            Some(1) => {}
            Some(_) => {
                let parent = memchr::memrchr(b'/', &out[start..]).unwrap_or(0);
                out.truncate(start + parent);
                if is_last {
                    out.push(b'/');
                }
            }
            None => {
                out.push(b'/');
                escape(out, segment, b"\"#<>?^`{}");
            }
        }
    }
}

/// Whether a segment is one dot or two.
fn dots(segment: &[u8]) -> Option<usize> {
    let (mut rest, mut count) = (segment, 0);
    while !rest.is_empty() && count < 3 {
        rest = match rest {
            [b'.', rest @ ..] | [b'%', b'2', b'e' | b'E', rest @ ..] => rest,
            _ => return None,
        };
        count += 1;
    }
    (count == 1 || count == 2).then_some(count)
}

impl Location {
    fn of(&self, head: &RequestHead) -> Vec<u8> {
        match self {
            Self::Fixed(location) => location.to_vec(),
            Self::Around(before, behind) => {
                let mut location = before.to_vec();
                add_path(&mut location, head.path());
                if let Some(query) = head.query().filter(|query| !query.is_empty()) {
                    location.push(b'?');
                    escape(&mut location, query, b"\"#<>'");
                }
                location.extend_from_slice(behind);
                location
            }
        }
    }
}

impl Plugin for Redirect {
    fn phases(&self) -> Phases {
        Phases::ACCESS
    }

    fn access(&self, request: &mut Request, _: &mut Exchange<'_>) -> Flow {
        let body = ResponseBody::Bytes {
            content_type: "text/plain; charset=utf-8".into(),
            body: Bytes::from_static(b"redirecting"),
        };
        let response = Response { status: self.status, headers: Vec::new(), body };
        Flow::Respond(response.with_header("Location", self.location.of(&request.head)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Version;

    #[test]
    fn paths_and_queries_take_the_place_of_the_locations() {
        for (location, path, query, expected) in [
            ("https://A.test", "/x", None, "https://a.test/x"),
            ("HTTPS://user:P@A.test:443/old?q=1#Top", "/x", Some("y=2"), "https://user:P@a.test/x?y=2#Top"),
            ("http://a.test:80", "/", Some(""), "http://a.test/"),
            ("http://a.test:443/", "/", None, "http://a.test:443/"),
            ("http://[FD00::1]:80", "/x", None, "http://[fd00::1]/x"),
            ("https://a.test", "//evil.test/..", None, "https://a.test//"),
            ("https://a.test", "/x/../../y/./z", None, "https://a.test/y/z"),
            ("https://a.test", "/x/%2e%2E/y/%2e", None, "https://a.test/y/"),
            ("https://a.test", "/x\\..\\y", None, "https://a.test/y"),
            (
                "https://a.test",
                "/%2f%00a b\"<\u{e9}",
                Some("'a b'\u{e9}"),
                "https://a.test/%2f%00a%20b%22%3C%C3%A9?%27a%20b%27%C3%A9",
            ),
            ("https://a.test", "/..a/...", None, "https://a.test/..a/..."),
            ("https://a.test#x", "/..", None, "https://a.test/#x"),
        ] {
            let head = RequestHead::new(b"GET", path.as_bytes(), query.map(str::as_bytes), Version::Http11);
            let found = around(location).unwrap().of(&head);
            assert_eq!(String::from_utf8(found).unwrap(), expected, "{location} {path}");
        }
    }
}
