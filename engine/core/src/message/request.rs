//! Requests: the head as received, and the context that plugins work on.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::captures::Captures;
use super::headers::{Headers, Span};

/// How the client reached the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scheme {
    /// Plain text.
    #[default]
    Http,
    /// TLS.
    Https,
}

impl Scheme {
    /// Both, in the order of their numbers.
    pub const ALL: [Self; 2] = [Self::Http, Self::Https];

    /// `http` or `https`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// The protocol version of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    #[default]
    Http11,
    /// HTTP/2.
    Http2,
}

/// The head of a request as the client sent it. `headers` is the list that goes upstream: plugins edit it in place.
#[derive(Debug, Default)]
pub struct RequestHead {
    method: Span,
    path: Span,
    query: Option<Span>,
    /// Protocol version of the client's request.
    pub version: Version,
    /// The header lines. Hop-by-hop ones are still here; they are left out when the request is sent on.
    pub headers: Headers,
}

impl RequestHead {
    /// A head from its parts.
    #[must_use]
    pub fn new(method: &[u8], path: &[u8], query: Option<&[u8]>, version: Version) -> Self {
        let mut head = Self { version, ..Self::default() };
        head.set_line(method, path, query);
        head
    }

    /// The method as sent.
    #[must_use]
    pub fn method(&self) -> &[u8] {
        self.headers.bytes(self.method)
    }

    /// The raw path: the target up to `?`, neither decoded nor normalised.
    #[must_use]
    pub fn path(&self) -> &[u8] {
        self.headers.bytes(self.path)
    }

    /// The raw query: what follows the first `?`; `Some(b"")` for a bare `?`.
    #[must_use]
    pub fn query(&self) -> Option<&[u8]> {
        self.query.map(|span| self.headers.bytes(span))
    }

    pub(crate) fn set_line(&mut self, method: &[u8], path: &[u8], query: Option<&[u8]>) {
        self.method = self.headers.store(method);
        self.path = self.headers.store(path);
        self.query = query.map(|query| self.headers.store(query));
    }

    pub(crate) fn set_spans(&mut self, method: Span, path: Span, query: Option<Span>) {
        (self.method, self.path, self.query) = (method, path, query);
    }
}

/// What will be sent upstream, apart from headers and body. Filled in by the router; plugins may change all of it.
#[derive(Debug, Default)]
pub struct Upstream {
    /// `None` sends the client's method.
    pub method: Option<Vec<u8>>,
    /// The path, escaped as it is sent; never empty.
    pub path: Vec<u8>,
    /// The query without `?`; `None` sends no `?`.
    pub query: Option<Vec<u8>>,
    /// Value of the `Host` header; `None` sends the service's host, or the client's if the route preserves it.
    pub host: Option<Vec<u8>>,
}

/// Where and when a request arrived, as numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// What the client connected to, by the port that clients know.
    pub local: SocketAddr,
    /// Number of the connection in this process; a stream of HTTP/2 has one of its own.
    pub connection: u64,
    /// Number of the request on its connection, from 1.
    pub requests: u64,
}

impl Arrival {
    /// The arrival of requests on a new connection.
    pub(crate) fn on(local: SocketAddr) -> Self {
        static CONNECTIONS: AtomicU64 = AtomicU64::new(1);
        Self { local, connection: CONNECTIONS.fetch_add(1, Ordering::Relaxed), requests: 0 }
    }
}

/// One request on its way through the plugins.
#[derive(Debug)]
pub struct Request {
    /// The head; `head.headers` goes upstream.
    pub head: RequestHead,
    /// Address of the client, after trusted forwarding headers were followed.
    pub client_ip: IpAddr,
    /// How the client reached the gateway.
    pub scheme: Scheme,
    /// Where it did.
    pub arrival: Arrival,
    /// Whether its body comes in chunks, or over HTTP/2 without a length.
    pub in_chunks: bool,
    /// Whether the client waits for a word before it sends its body.
    pub expects_continue: bool,
    /// The request's host: lower case, without port. Empty if an HTTP/1.0 client sent none.
    pub host: String,
    /// What the route's regex path captured.
    pub captures: Captures,
    /// What will be sent upstream.
    pub upstream: Upstream,
    body: Option<Bytes>,
    body_changed: bool,
}

impl Request {
    /// A request before routing.
    #[must_use]
    pub fn new(head: RequestHead, client_ip: IpAddr, scheme: Scheme, host: String) -> Self {
        Self {
            head,
            client_ip,
            scheme,
            arrival: Arrival { local: SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0), connection: 0, requests: 0 },
            in_chunks: false,
            expects_continue: false,
            host,
            captures: Captures::default(),
            upstream: Upstream::default(),
            body: None,
            body_changed: false,
        }
    }

    /// The method that will be sent upstream.
    #[must_use]
    pub fn method(&self) -> &[u8] {
        self.upstream.method.as_deref().unwrap_or_else(|| self.head.method())
    }

    /// The whole body, if a plugin of the chain asked for it or a plugin set it. Empty if the request has no body and
    /// `None` if the body is streamed past the plugins.
    #[must_use]
    pub fn body(&self) -> Option<&Bytes> {
        self.body.as_ref()
    }

    /// Replaces the body. `Content-Length` is written anew when the request is sent.
    pub fn set_body(&mut self, body: impl Into<Bytes>) {
        self.body = Some(body.into());
        self.body_changed = true;
    }

    /// Whether a plugin replaced the body.
    #[must_use]
    pub fn body_changed(&self) -> bool {
        self.body_changed
    }

    /// Forgets what the previous request of a connection left in the fields that are not parsed anew.
    pub(crate) fn start(&mut self) {
        self.body = None;
        self.body_changed = false;
        self.captures = Captures::default();
    }

    pub(crate) fn buffer_body(&mut self, body: Bytes) {
        self.body = Some(body);
    }
}
