//! The head of a client's HTTP/2 request written as HTTP/1.1. RFC 9113 section 8.3, RFC 8441.

use h2::RecvStream;
use h2::ext::Protocol;
use http::header::HeaderValue;
use http::{Method, Request};

use super::reading::Shape;
use crate::gateway::forward::line;

/// Whether the client asks for a WebSocket within the stream.
pub(super) fn is_websocket(request: &Request<RecvStream>) -> bool {
    request.method() == Method::CONNECT
        && request.extensions().get::<Protocol>().is_some_and(|protocol| protocol.as_str() == "websocket")
}

/// How the body that follows the head is shaped.
pub(super) fn shape(request: &Request<RecvStream>) -> Shape {
    if is_websocket(request) {
        return Shape::Raw;
    }
    if request.body().is_end_stream() {
        return Shape::None;
    }
    let mut lengths = request.headers().get_all("content-length").iter();
    match (lengths.next(), lengths.next()) {
        (None, _) => Shape::Chunked,
        // What is no length, or more than one, the parser refuses.
        (Some(length), _) => {
            Shape::Length(length.to_str().ok().and_then(|length| length.parse().ok()).unwrap_or_default())
        }
    }
}

/// Writes the head. A request without a usable target or authority becomes one that the parser refuses, so that the
/// client gets the gateway's own 400. `key` is the challenge of a WebSocket handshake, which HTTP/2 has none of.
pub(super) fn head(request: &Request<RecvStream>, shape: Shape, key: impl FnOnce() -> String) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    let websocket = shape == Shape::Raw;
    out.extend_from_slice(if websocket { b"GET" } else { request.method().as_str().as_bytes() });
    out.push(b' ');
    out.extend_from_slice(request.uri().path_and_query().map_or("*", |target| target.as_str()).as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    if let Some(authority) = request.uri().authority() {
        line(&mut out, b"Host", authority.as_str().as_bytes());
    }
    let mut cookies: Vec<&[u8]> = Vec::new();
    for (name, value) in request.headers() {
        match name.as_str() {
            // Connection-specific headers have been refused already. `Expect` is for the gateway to answer.
            "transfer-encoding" | "upgrade" => continue,
            "sec-websocket-key" | "content-length" if websocket => continue,
            "host" if request.uri().authority().is_some_and(|authority| same(value, authority.as_str())) => continue,
            // Cookies may come in pieces.
            "cookie" => {
                cookies.push(value.as_bytes());
                continue;
            }
            "te" => line(&mut out, b"Connection", b"TE"),
            _ => {}
        }
        line(&mut out, name.as_str().as_bytes(), value.as_bytes());
    }
    if !cookies.is_empty() {
        line(&mut out, b"cookie", &cookies.join(&b"; "[..]));
    }
    match shape {
        Shape::Chunked => line(&mut out, b"Transfer-Encoding", b"chunked"),
        Shape::Raw => {
            out.extend_from_slice(b"Connection: Upgrade\r\nUpgrade: websocket\r\n");
            line(&mut out, b"Sec-WebSocket-Key", key().as_bytes());
        }
        Shape::None | Shape::Length(_) => {}
    }
    out.extend_from_slice(b"\r\n");
    out
}

fn same(value: &HeaderValue, authority: &str) -> bool {
    value.as_bytes() == authority.as_bytes()
}
