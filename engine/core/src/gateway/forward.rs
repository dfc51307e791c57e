//! The headers that the gateway itself writes, towards upstreams and towards clients.

use std::net::IpAddr;

use super::decide::Peer;
use crate::config::tenant::ResponseHeaders;
use crate::http1::head::Framing;
use crate::message::{Fate, Request, ResponseHead, Version};

/// What the gateway calls itself in `Via`.
pub const VIA: &[u8] = b"sluice";

/// A request that must not be sent as it is: a plugin made something that would break its framing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unsendable;

/// Everything that shapes the head of an upstream request, besides the request.
#[allow(clippy::struct_excessive_bools, reason = "independent facts, each named where it is used")]
pub struct Forwarding<'a> {
    /// Value of `Host`, unless a plugin has set one or the client's is preserved.
    pub host: &'a [u8],
    /// The connection that the request came on.
    pub peer: &'a Peer,
    /// Whether the peer's forwarding headers are kept.
    pub trusted: bool,
    /// Whether the client's `Host` goes upstream.
    pub preserve_host: bool,
    /// Value of `X-Forwarded-Prefix`; empty for none.
    pub prefix: &'a [u8],
    /// The request's id.
    pub request_id: &'a str,
    /// How the body is sent.
    pub framing: Framing,
    /// Whether the upstream is asked to switch to WebSocket.
    pub websocket: bool,
    /// Whether the client takes trailers.
    pub takes_trailers: bool,
}

/// Names of lines whose fate depends on more than that they are there: those below, and those that
/// [`response_headers`] looks at.
pub(crate) const WEIGHED: [&str; 25] = [
    "te",
    "via",
    "host",
    "proxy",
    "expect",
    "server",
    "trailer",
    "upgrade",
    "x-real-ip",
    "connection",
    "keep-alive",
    "content-type",
    "content-length",
    "x-forwarded-for",
    "proxy-connection",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-path",
    "transfer-encoding",
    "x-forwarded-proto",
    "x-kong-request-id",
    "x-forwarded-prefix",
    "x-kong-proxy-latency",
    "x-kong-upstream-status",
    "x-kong-upstream-latency",
];

/// Headers of the client's request that the gateway writes anew or that end here.
fn is_replaced(name: &[u8]) -> bool {
    let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
    match name.len() {
        2 => is("te"),
        3 => is("via"),
        4 => is("host"),
        5 => is("proxy"),
        6 => is("expect"),
        7 => is("upgrade"),
        9 => is("x-real-ip"),
        10 => is("connection") || is("keep-alive"),
        14 => is("content-length"),
        15 => is("x-forwarded-for"),
        16 => is("proxy-connection") || is("x-forwarded-host") || is("x-forwarded-port") || is("x-forwarded-path"),
        17 => is("transfer-encoding") || is("x-forwarded-proto") || is("x-kong-request-id"),
        18 => is("x-forwarded-prefix"),
        _ => false,
    }
}

/// Writes the head of the upstream request.
pub fn write_request(out: &mut Vec<u8>, request: &Request, with: &Forwarding<'_>) -> Result<(), Unsendable> {
    let upstream = &request.upstream;
    let method = request.method();
    let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let target = |byte: &u8| *byte > b' ' && *byte != 0x7f;
    let query = upstream.query.as_deref();
    if method.is_empty()
        || !method.iter().all(token)
        || upstream.path.first() != Some(&b'/')
        || !upstream.path.iter().all(target)
        || !query.is_none_or(|query| query.iter().all(target))
    {
        return Err(Unsendable);
    }
    out.extend_from_slice(method);
    out.push(b' ');
    out.extend_from_slice(&upstream.path);
    if let Some(query) = query {
        out.push(b'?');
        out.extend_from_slice(query);
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
    write_host(out, request, with)?;

    let headers = &request.head.headers;
    headers.write(out, |name, _| if is_replaced(name) { Fate::Dropped } else { Fate::Kept });
    write_connection(out, with);
    write_forwarded(out, request, with);
    match with.framing {
        Framing::Length(length) => number_line(out, "Content-Length", length),
        Framing::Chunked => line(out, b"Transfer-Encoding", b"chunked"),
        Framing::None if headers.contains("content-length") => number_line(out, "Content-Length", 0),
        Framing::None | Framing::UntilClose => {}
    }
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// The `Host` that goes upstream where it is not the service's own: a plugin's, or the client's.
#[must_use]
pub fn upstream_host(request: &Request, preserve_host: bool) -> Option<&[u8]> {
    let client = || if preserve_host { request.head.headers.get("host") } else { None };
    request.upstream.host.as_deref().or_else(client)
}

fn write_host(out: &mut Vec<u8>, request: &Request, with: &Forwarding<'_>) -> Result<(), Unsendable> {
    let host = upstream_host(request, with.preserve_host).unwrap_or(with.host);
    if host.iter().any(|byte| *byte <= b' ' || *byte == 0x7f) {
        return Err(Unsendable);
    }
    line(out, b"Host", host);
    Ok(())
}

/// Puts another value of `Host` into a head that [`write_request`] has written.
pub fn replace_host(out: &mut Vec<u8>, host: &[u8]) {
    const NAME: &[u8] = b"\r\nHost: ";
    let end_of = |from: usize| memchr::memchr(b'\r', out.get(from..)?).map(|at| from + at);
    let Some(start) = end_of(0).map(|line| line + NAME.len()) else { return };
    let Some(end) = end_of(start) else { return };
    if out.get(start..end) != Some(host) {
        out.splice(start..end, host.iter().copied());
    }
}

fn write_connection(out: &mut Vec<u8>, with: &Forwarding<'_>) {
    if with.websocket {
        out.extend_from_slice(b"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n");
    } else if with.takes_trailers {
        out.extend_from_slice(b"Connection: keep-alive, TE\r\nTE: trailers\r\n");
    } else {
        out.extend_from_slice(b"Connection: keep-alive\r\n");
    }
}

fn write_forwarded(out: &mut Vec<u8>, request: &Request, with: &Forwarding<'_>) {
    let headers = &request.head.headers;
    out.extend_from_slice(b"X-Real-IP: ");
    let start = out.len();
    write_ip(out, request.client_ip);
    let client = start..out.len();
    out.extend_from_slice(b"\r\nX-Forwarded-For: ");
    let mut chain = headers.get_all("x-forwarded-for").peekable();
    if chain.peek().is_some() {
        for value in chain {
            out.extend_from_slice(value);
            out.extend_from_slice(b", ");
        }
        write_ip(out, crate::net::address::canonical(with.peer.address));
    } else {
        out.extend_from_within(client);
    }
    out.extend_from_slice(b"\r\n");
    let peer = with.peer;
    if !write_kept(out, "X-Forwarded-Proto", request, with) {
        line(out, b"X-Forwarded-Proto", peer.scheme.as_str().as_bytes());
    }
    if !write_kept(out, "X-Forwarded-Host", request, with) {
        line(out, b"X-Forwarded-Host", request.host.as_bytes());
    }
    if !write_kept(out, "X-Forwarded-Port", request, with) {
        number_line(out, "X-Forwarded-Port", peer.local.port().into());
    }
    if !write_kept(out, "X-Forwarded-Path", request, with) {
        line(out, b"X-Forwarded-Path", request.head.path());
    }
    if !write_kept(out, "X-Forwarded-Prefix", request, with) && !with.prefix.is_empty() {
        line(out, b"X-Forwarded-Prefix", with.prefix);
    }
    out.extend_from_slice(b"Via: ");
    for value in headers.get_all("via") {
        out.extend_from_slice(value);
        out.extend_from_slice(b", ");
    }
    out.extend_from_slice(if request.head.version == Version::Http2 { b"2 " } else { b"1.1 " });
    out.extend_from_slice(VIA);
    out.extend_from_slice(b"\r\n");
    line(out, b"X-Kong-Request-Id", with.request_id.as_bytes());
}

/// Writes what a trusted peer has sent under a name, several lines as one list. Returns whether there was any.
fn write_kept(out: &mut Vec<u8>, name: &str, request: &Request, with: &Forwarding<'_>) -> bool {
    if !with.trusted {
        return false;
    }
    let mut values = request.head.headers.get_all(name);
    let Some(first) = values.next() else { return false };
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(first);
    for value in values {
        out.extend_from_slice(b", ");
        out.extend_from_slice(value);
    }
    out.extend_from_slice(b"\r\n");
    true
}

/// Milliseconds and identity of an exchange, for the response's headers.
#[derive(Debug, Clone, Copy)]
pub struct Exchange<'a> {
    /// Which headers to add.
    pub added: ResponseHeaders,
    /// `sluice/<version>`.
    pub server: &'a str,
    /// Time spent in the gateway before the upstream was asked.
    pub proxy_millis: u64,
    /// Time until the upstream's response head.
    pub upstream_millis: u64,
    /// The request's id.
    pub request_id: &'a str,
    /// Whether the upstream spoke HTTP/2.
    pub http2: bool,
}

/// Writes the end-to-end headers of an upstream's response and those that the gateway adds. Framing headers are the
/// caller's.
pub fn response_headers(out: &mut Vec<u8>, head: &ResponseHead, exchange: &Exchange<'_>, trailers: bool) {
    let added = exchange.added;
    let (mut has_server, mut has_via) = (false, false);
    head.headers.write(out, |name, value| {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        match name.len() {
            3 if is("via") && added.via => {
                has_via = true;
                return Fate::Dropped;
            }
            6 if is("server") => has_server = true,
            7 if is("trailer") && !trailers => return Fate::Dropped,
            12 if is("content-type") && lacks_charset(value) => {
                return Fate::Continued(b"; charset=UTF-8");
            }
            17 if added.request_id && is("x-kong-request-id") => return Fate::Dropped,
            20 if added.proxy_latency && is("x-kong-proxy-latency") => return Fate::Dropped,
            22 if added.upstream_status && is("x-kong-upstream-status") => return Fate::Dropped,
            23 if added.upstream_latency && is("x-kong-upstream-latency") => return Fate::Dropped,
            _ => {}
        }
        Fate::Kept
    });
    if added.server && !has_server {
        line(out, b"Server", exchange.server.as_bytes());
    }
    let mut digits = Digits::default();
    if added.upstream_latency {
        line(out, b"X-Kong-Upstream-Latency", digits.of(exchange.upstream_millis));
    }
    if added.proxy_latency {
        line(out, b"X-Kong-Proxy-Latency", digits.of(exchange.proxy_millis));
    }
    if added.upstream_status {
        line(out, b"X-Kong-Upstream-Status", digits.of(head.status.into()));
    }
    if added.via {
        if has_via {
            let mut via = head.headers.get_all("via").collect::<Vec<_>>().join(&b", "[..]);
            via.extend_from_slice(if exchange.http2 { b", 2 " } else { b", 1.1 " });
            via.extend_from_slice(VIA);
            line(out, b"Via", &via);
        } else {
            line(out, b"Via", if exchange.http2 { b"2 sluice" } else { b"1.1 sluice" });
        }
    }
    if added.request_id {
        line(out, b"X-Kong-Request-Id", exchange.request_id.as_bytes());
    }
}

/// Whether a media type is one of the textual ones that are taken for UTF-8 unless they say otherwise. Users' clients
/// have come to rely on the addition; it is nginx's `charset` with its default types.
fn lacks_charset(value: &[u8]) -> bool {
    const TEXTUAL: [&str; 5] = ["text/html", "text/plain", "text/xml", "application/javascript", "application/rss+xml"];
    let end = memchr::memchr(b';', value).unwrap_or(value.len());
    let (media_type, parameters) = value.split_at(end);
    TEXTUAL.iter().any(|textual| media_type.trim_ascii().eq_ignore_ascii_case(textual.as_bytes()))
        && !parameters.to_ascii_lowercase().windows(8).any(|window| window == b"charset=")
}

/// A number in decimal, without an allocation.
#[derive(Debug, Default)]
pub struct Digits([u8; 20]);

impl Digits {
    /// The digits of a number.
    pub fn of(&mut self, number: u64) -> &[u8] {
        let (mut start, mut rest) = (self.0.len(), number);
        while rest >= 100 {
            start -= 2;
            self.0[start..start + 2].copy_from_slice(pair(rest % 100));
            rest /= 100;
        }
        let [tens, ones] = *pair(rest);
        start -= 1;
        self.0[start] = ones;
        if rest >= 10 {
            start -= 1;
            self.0[start] = tens;
        }
        &self.0[start..]
    }
}

/// The two digits of a number below 100.
fn pair(number: u64) -> &'static [u8; 2] {
    static PAIRS: [[u8; 2]; 100] = {
        let (mut pairs, mut number) = ([[b'0'; 2]; 100], 0_u8);
        while number < 100 {
            pairs[number as usize] = [b'0' + number / 10, b'0' + number % 10];
            number += 1;
        }
        pairs
    };
    usize::try_from(number).ok().and_then(|number| PAIRS.get(number)).unwrap_or(&PAIRS[0])
}

/// Writes a header line. Names are constants nearly everywhere, and so are the instructions that write them.
#[inline]
pub fn line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Writes a header line with a number.
pub fn number_line(out: &mut Vec<u8>, name: &str, number: u64) {
    line(out, name.as_bytes(), Digits::default().of(number));
}

fn write_ip(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(v4) => {
            for (index, octet) in v4.octets().into_iter().enumerate() {
                if index > 0 {
                    out.push(b'.');
                }
                let (hundreds, rest) = (octet / 100, octet % 100);
                match octet {
                    0..10 => out.push(b'0' + rest),
                    10..100 => out.extend_from_slice(pair(rest.into())),
                    100.. => {
                        out.push(b'0' + hundreds);
                        out.extend_from_slice(pair(rest.into()));
                    }
                }
            }
        }
        IpAddr::V6(v6) => out.extend_from_slice(v6.to_string().as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn textual_types_without_a_charset() {
        for lacking in ["text/html", "Text/Plain", "text/xml; a=b", "application/javascript"] {
            assert!(lacks_charset(lacking.as_bytes()), "{lacking}");
        }
        for fine in ["text/html; Charset=x", "text/css", "application/json", "", "text/htmlx"] {
            assert!(!lacks_charset(fine.as_bytes()), "{fine}");
        }
    }

    #[test]
    fn digits() {
        for number in [0, 7, 10, 42, 99, 100, 107, 999, 1_000, 12_305, 4_294_967_296] {
            assert_eq!(Digits::default().of(number), number.to_string().as_bytes());
        }
        assert_eq!(Digits::default().of(u64::MAX), b"18446744073709551615");
    }
}
