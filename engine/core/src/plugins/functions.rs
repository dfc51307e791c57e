//! What the plugins have in common that have a function elsewhere answer.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;

use crate::message::{Headers, Response, ResponseBody};

/// Largest answer of a function.
pub(super) const LARGEST_ANSWER: u64 = 16 * 1024 * 1024;

/// Headers that speak of a connection, or of how a body is sent on it.
const OF_THE_HOP: [&str; 13] = [
    "connection",
    "keep-alive",
    "proxy",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "content-length",
    "upgrade",
    "expect",
    "date",
];

/// Whether a header ends with the connection that it came on, `named` being those that `Connection` names.
pub(super) fn is_of_the_hop(name: &[u8], headers: &Headers) -> bool {
    let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
    OF_THE_HOP.iter().any(|known| is(known.as_bytes()))
        || headers
            .get_all("connection")
            .any(|line| line.split(|byte| *byte == b',').any(|named| is(named.trim_ascii())))
}

/// The answer of a function that cannot be had.
pub(super) fn failure(status: u16) -> Response {
    let body = ResponseBody::PlainMessage("An unexpected error occurred".into());
    Response { status, headers: Vec::new(), body }
}

/// An answer that a function has given. What is no header does not get to the client; `via` of the gateway is added.
pub(super) fn answer<'h>(
    status: u16,
    headers: impl Iterator<Item = (&'h [u8], &'h [u8])>,
    body: Vec<u8>,
    adds_via: bool,
) -> Response {
    let mut content_type = Cow::Borrowed("");
    let mut lines = Vec::new();
    let mut via: Vec<u8> = Vec::new();
    for (name, value) in headers {
        let Ok(name) = std::str::from_utf8(name) else { continue };
        if name.eq_ignore_ascii_case("content-type") {
            content_type = String::from_utf8_lossy(value).into_owned().into();
        } else if name.eq_ignore_ascii_case("via") {
            via.extend_from_slice(value);
            via.extend_from_slice(b", ");
        } else if Headers::new().append(name, value).is_ok() {
            lines.push((name.to_owned().into(), value.to_vec()));
        }
    }
    if adds_via {
        via.extend_from_slice(b"1.1 sluice");
        lines.push(("Via".into(), via));
    }
    let body = ResponseBody::Bytes { content_type, body: Bytes::from(body) };
    Response { status, headers: lines, body }
}

/// A time in milliseconds for which something is waited.
pub(super) fn patience(millis: f64) -> Duration {
    super::logging::millis(millis).max(Duration::from_millis(1))
}
