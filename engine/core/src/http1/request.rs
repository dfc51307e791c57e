//! Reads the head of a client's request, strictly: whatever two readers could understand differently is refused.

use std::mem::MaybeUninit;

use super::head::{ConnectionOptions, FEW_LINES, Framing, FramingHeaders, Lines, MOST_LINES, Malformed, span_in};
use crate::message::{RequestHead, Span, Version};

/// What a request head says about the connection and the body, apart from what plugins see.
#[derive(Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "independent facts of a request head")]
pub struct RequestFraming {
    /// How long the body is.
    pub framing: Framing,
    /// Whether the client wants to go on after this request.
    pub keep_alive: bool,
    /// Whether the client asks to switch to WebSocket.
    pub websocket: bool,
    /// Whether the client waits for `100 Continue`.
    pub expects_continue: bool,
    /// Whether the client takes trailers.
    pub takes_trailers: bool,
    /// Port in `Host`.
    pub host_port: Option<u16>,
    connection: ConnectionOptions,
}

/// Parses a complete head (with its empty line) into `head`, `framing` and `host` (lower case, without port), all of
/// them reused from an earlier request. Hop-by-hop headers do not enter the list, so that nothing the client says
/// about its own connection reaches plugins or upstream.
pub fn parse(
    bytes: &[u8],
    head: &mut RequestHead,
    framing: &mut RequestFraming,
    host: &mut String,
) -> Result<(), Malformed> {
    let mut few: Lines<'_, FEW_LINES> = [const { MaybeUninit::uninit() }; FEW_LINES];
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(bytes, &mut few) {
        Ok(httparse::Status::Complete(length)) if length == bytes.len() => fill(bytes, &request, head, framing, host),
        Err(httparse::Error::TooManyHeaders) => {
            let mut many = vec![MaybeUninit::uninit(); MOST_LINES];
            let mut request = httparse::Request::new(&mut []);
            match request.parse_with_uninit_headers(bytes, &mut many) {
                Ok(httparse::Status::Complete(length)) if length == bytes.len() => {
                    fill(bytes, &request, head, framing, host)
                }
                _ => Err(Malformed("head")),
            }
        }
        _ => Err(Malformed("head")),
    }
}

#[allow(clippy::collapsible_match, reason = "a match guard with a side effect would hide it")]
fn fill(
    bytes: &[u8],
    request: &httparse::Request<'_, '_>,
    head: &mut RequestHead,
    framing: &mut RequestFraming,
    host: &mut String,
) -> Result<(), Malformed> {
    let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version) else {
        return Err(Malformed("request line"));
    };
    // No method has other letters, but the end of somebody's body before a method would have.
    if !method.bytes().all(|byte| byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_')) {
        return Err(Malformed("method"));
    }
    let http10 = version == 0;
    head.version = if http10 { Version::Http10 } else { Version::Http11 };
    head.headers.load(bytes);
    framing.connection.clear();
    (framing.websocket, framing.expects_continue, framing.takes_trailers) = (false, false, false);

    let mut lengths = FramingHeaders::default();
    let mut host_header: Option<&[u8]> = None;
    for line in request.headers.iter() {
        let (name, value) = (line.name, line.value);
        match name.len() {
            2 if name.eq_ignore_ascii_case("te") => {
                framing.takes_trailers |= has_token(value, b"trailers");
                continue;
            }
            4 if name.eq_ignore_ascii_case("host") => {
                if host_header.replace(value).is_some() {
                    return Err(Malformed("several Host headers"));
                }
            }
            5 if name.eq_ignore_ascii_case("proxy") => continue,
            6 if name.eq_ignore_ascii_case("expect") => {
                framing.expects_continue = !http10 && value.eq_ignore_ascii_case(b"100-continue");
                continue;
            }
            7 if name.eq_ignore_ascii_case("upgrade") => {
                framing.websocket = !http10 && value.eq_ignore_ascii_case(b"websocket");
                continue;
            }
            10 if name.eq_ignore_ascii_case("connection") => {
                framing.connection.add(value)?;
                continue;
            }
            10 if name.eq_ignore_ascii_case("keep-alive") => continue,
            14 if name.eq_ignore_ascii_case("content-length") => lengths.content_length(value)?,
            // To an upstream that makes variables of names these are the real ones.
            14 if name.eq_ignore_ascii_case("content_length") => return Err(Malformed("Content_Length")),
            17 if name.eq_ignore_ascii_case("transfer_encoding") => return Err(Malformed("Transfer_Encoding")),
            16 if name.eq_ignore_ascii_case("proxy-connection") => continue,
            17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                lengths.transfer_encoding(value)?;
                continue;
            }
            _ => {}
        }
        head.headers.push_received(span_in(bytes, name.as_bytes()), span_in(bytes, value));
    }

    framing.framing = lengths.framing()?.unwrap_or_default();
    if http10 && framing.framing == Framing::Chunked {
        return Err(Malformed("Transfer-Encoding in HTTP/1.0"));
    }
    framing.websocket &= framing.connection.upgrade && framing.framing == Framing::None && method == "GET";
    framing.keep_alive = !framing.connection.close && (!http10 || framing.connection.keep_alive);
    framing.expects_continue &= framing.framing != Framing::None;
    framing.host_port = read_host(host_header, http10, host)?;
    let path = origin_form(target, host_header)?;
    if path.is_empty() {
        head.set_line(method.as_bytes(), b"/", None);
    } else {
        set_target(bytes, head, method, path);
    }
    framing.connection.strip(&mut head.headers);
    Ok(())
}

fn set_target(bytes: &[u8], head: &mut RequestHead, method: &str, path: &str) {
    let method = span_in(bytes, method.as_bytes());
    let (path, query) = match memchr::memchr(b'?', path.as_bytes()) {
        Some(mark) => (span_in(bytes, &path.as_bytes()[..mark]), Some(span_in(bytes, &path.as_bytes()[mark + 1..]))),
        None => (span_in(bytes, path.as_bytes()), None::<Span>),
    };
    head.set_spans(method, path, query);
}

/// The path and query of a target; empty for the root without a slash. The absolute form is accepted if its authority is what `Host` says; the asterisk
/// and authority forms have no meaning at a gateway.
fn origin_form<'t>(target: &'t str, host: Option<&[u8]>) -> Result<&'t str, Malformed> {
    if target.contains('#') {
        return Err(Malformed("fragment in the target"));
    }
    if target.starts_with('/') {
        return Ok(target);
    }
    let scheme_end = target.find("://").ok_or(Malformed("target"))?;
    let scheme = &target[..scheme_end];
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err(Malformed("scheme of the target"));
    }
    let rest = &target[scheme_end + 3..];
    let slash = rest.find(['/', '?']).unwrap_or(rest.len());
    let same = host.is_some_and(|host| host.eq_ignore_ascii_case(&rest.as_bytes()[..slash]));
    match &rest[slash..] {
        _ if !same => Err(Malformed("target and Host differ")),
        "" => Ok(""),
        path if path.starts_with('/') => Ok(path),
        _ => Err(Malformed("target without a path")),
    }
}

/// Checks `Host` (RFC 9112 section 3.2), writes it in lower case and returns its port.
pub(crate) fn read_host(value: Option<&[u8]>, optional: bool, host: &mut String) -> Result<Option<u16>, Malformed> {
    host.clear();
    let Some(value) = value else {
        return if optional { Ok(None) } else { Err(Malformed("no Host")) };
    };
    let text = std::str::from_utf8(value).map_err(|_| Malformed("Host"))?;
    let (name, port) = match text.rfind(']') {
        Some(end) => (&text[..=end], text[end + 1..].strip_prefix(':').or(text[end + 1..].is_empty().then_some(""))),
        None => text.split_once(':').map_or((text, Some("")), |(name, port)| (name, Some(port))),
    };
    let port = port.ok_or(Malformed("Host"))?;
    let bracketed = name.starts_with('[');
    let valid =
        |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || (bracketed && b"[]:".contains(&byte));
    if name.is_empty() || !name.bytes().all(valid) || (bracketed && !name.ends_with(']')) {
        return Err(Malformed("Host"));
    }
    if !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Malformed("port of Host"));
    }
    host.push_str(name);
    host.make_ascii_lowercase();
    if port.is_empty() { Ok(None) } else { port.parse().map(Some).map_err(|_| Malformed("port of Host")) }
}

fn has_token(value: &[u8], token: &[u8]) -> bool {
    value.split(|byte| *byte == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(RequestHead, RequestFraming, String), Malformed> {
        let (mut head, mut framing, mut host) = Default::default();
        parse(text.as_bytes(), &mut head, &mut framing, &mut host).map(|()| (head, framing, host))
    }

    fn with(lines: &str) -> Result<(RequestHead, RequestFraming, String), Malformed> {
        read(&format!("GET /a HTTP/1.1\r\nHost: h\r\n{lines}\r\n"))
    }

    #[test]
    fn reads_a_request() {
        let (head, framing, host) =
            read("GET /a%20b?x=1?2 HTTP/1.1\r\nhOst: Ex.Test:8000\r\nX-A: 1\r\nx-a:2 \r\n\r\n").unwrap();
        assert_eq!((head.method(), head.path(), head.query()), (&b"GET"[..], &b"/a%20b"[..], Some(&b"x=1?2"[..])));
        assert_eq!((host.as_str(), framing.host_port), ("ex.test", Some(8000)));
        assert_eq!(head.headers.get_all("x-a").collect::<Vec<_>>(), [b"1", b"2"]);
        assert!(framing.keep_alive && framing.framing == Framing::None);
    }

    #[test]
    fn leaves_hop_by_hop_headers_out() {
        let (head, framing, _) =
            with("Connection: x-mine, Upgrade\r\nX-Mine: 1\r\nUpgrade: h2c\r\nKeep-Alive: 5\r\nTE: trailers\r\nProxy: x\r\nX-B: 2\r\n")
                .unwrap();
        assert_eq!(head.headers.iter().map(|(name, _)| name).collect::<Vec<_>>(), [&b"Host"[..], b"X-B"]);
        assert!(framing.takes_trailers && !framing.websocket);
    }

    #[test]
    fn websocket_needs_both_headers() {
        assert!(with("Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n").unwrap().1.websocket);
        assert!(!with("Upgrade: websocket\r\n").unwrap().1.websocket);
        let post = "POST / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
        assert!(!read(post).unwrap().1.websocket);
        assert!(!with("Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n").unwrap().1.websocket);
    }

    #[test]
    fn keep_alive_by_version() {
        assert!(!read("GET / HTTP/1.0\r\n\r\n").unwrap().1.keep_alive);
        assert!(read("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").unwrap().1.keep_alive);
        assert!(!with("Connection: close\r\n").unwrap().1.keep_alive);
    }

    #[test]
    fn many_headers_pass() {
        let lines: Vec<String> = (0..500).map(|n| format!("x-{n}: {n}\r\n")).collect();
        assert_eq!(with(&lines.concat()).unwrap().0.headers.len(), 501);
    }

    #[test]
    fn connection_options_are_bounded() {
        let options = |count: usize| with(&format!("Connection: {}\r\n", "x,".repeat(count)));
        assert!(options(32).is_ok() && options(33).is_err());
    }

    #[test]
    fn absolute_form_must_agree_with_host() {
        let head = read("GET http://A.test/x?y HTTP/1.1\r\nHost: a.test\r\n\r\n").unwrap().0;
        assert_eq!((head.path(), head.query()), (&b"/x"[..], Some(&b"y"[..])));
        assert_eq!(read("GET http://a.test HTTP/1.1\r\nHost: a.test\r\n\r\n").unwrap().0.path(), b"/");
        assert!(read("GET http://b.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n").is_err());
    }

    #[test]
    fn refuses_what_is_ambiguous() {
        for lines in [
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            "Transfer-Encoding: xchunked\r\n",
            "Transfer-Encoding : chunked\r\n",
            "Transfer-Encoding:\x0bchunked\r\n",
            "X: a\r\n b\r\n",
            "Host: other\r\n",
            "Content_Length: 5\r\n",
            "Transfer_encoding: chunked\r\n",
            "X: a\rb\r\n",
            "X: a\0b\r\n",
            " X: a\r\n",
            ": a\r\n",
            "no colon\r\n",
        ] {
            assert!(with(lines).is_err(), "{lines:?}");
        }
        for head in [
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost:\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
            "GET /#x HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET * HTTP/1.1\r\nHost: a\r\n\r\n",
            "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",
            "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
            "GET /\r\nHost: a\r\n\r\n",
            "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
            "G(T / HTTP/1.1\r\nHost: a\r\n\r\n",
            "get / HTTP/1.1\r\nHost: a\r\n\r\n",
            "helloGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "G3T / HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        ] {
            assert!(read(head).is_err(), "{head:?}");
        }
    }
}
