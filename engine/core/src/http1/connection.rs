//! A client's HTTP/1 connection: one request after the other, in one task.

use std::cell::Cell;
use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::body::{Decoder, Step};
use super::head::{Framing, find_end};
use super::pump::Pump;
use super::request::{self, RequestFraming};
use super::response::ResponseFraming;
use crate::config::tenant::{ResponseHeaders, Tenant};
use crate::gateway::decide::{Peer, Refusal, Routed, needs_body, route, run_plugins};
use crate::gateway::errors::render;
use crate::gateway::forward::{Digits, line};
use crate::http2;
use crate::message::{Request, RequestHead, Response, ResponseHead, Version};
use crate::net::buffer::Buffer;
use crate::net::deadline::Deadline;
use crate::net::stream::Stream;
use crate::worker::Worker;

/// Size of a client connection's read buffer while it is idle.
pub(crate) const READ_BUFFER: usize = 8 * 1024;
/// Largest body that plugins get if the tenant has no limit of its own.
const LARGEST_BUFFERED: u64 = 16 * 1024 * 1024;
/// How long a connection is still read after the last answer, so that the client sees that answer and not a reset.
const LINGER: Duration = Duration::from_secs(1);
/// How much is read then.
const LINGER_BYTES: usize = 1024 * 1024;

/// What becomes of the connection after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// The next request.
    KeepAlive,
    /// The end.
    Close,
    /// The end, but the client may still be sending.
    Linger,
}

/// Headers on responses without a tenant.
const NO_TENANT: ResponseHeaders = ResponseHeaders {
    server: true,
    via: true,
    proxy_latency: true,
    upstream_latency: true,
    response_latency: true,
    upstream_status: false,
    request_id: true,
};

/// A client's connection with everything that is reused from request to request.
pub struct Connection {
    pub(crate) worker: Rc<Worker>,
    pub(crate) stream: Stream,
    pub(crate) buffer: Buffer,
    pub(crate) peer: Peer,
    pub(crate) deadline: Deadline,
    pub(crate) request: Request,
    pub(crate) framing: RequestFraming,
    pub(crate) response: ResponseHead,
    pub(crate) response_framing: ResponseFraming,
    pub(crate) up: Pump,
    pub(crate) down: Pump,
    pub(crate) prefix: Vec<u8>,
    pub(crate) request_id: String,
    pub(crate) started: Instant,
    /// Milliseconds before and at the upstream, once one was asked.
    pub(crate) latency: Option<(u64, u64)>,
    /// Body bytes that were in memory before the upstream was asked.
    pub(crate) kept_bytes: u64,
    /// The protocol that the client speaks, where it is not this one.
    pub(crate) front: Version,
    served: bool,
    idle: Rc<Cell<bool>>,
}

/// Why there is no further request.
enum NoHead {
    /// The client is gone or has been silent for too long: nothing to say.
    Gone,
    /// It is to be told.
    Refused(u16, &'static str),
    /// It speaks HTTP/2.
    Http2,
}

/// Why a body could not be buffered.
enum NoBody {
    Gone,
    Refused(u16, &'static str),
}

impl Connection {
    /// A connection; `idle` tells the worker when it may be closed.
    #[must_use]
    pub fn new(worker: Rc<Worker>, stream: Stream, peer: Peer, idle: Rc<Cell<bool>>) -> Self {
        let scheme = peer.scheme;
        let deadline = Deadline::after(worker.shared.timeouts.idle);
        let nobody = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        Self {
            worker,
            stream,
            buffer: Buffer::with_size(READ_BUFFER),
            peer,
            deadline,
            request: Request::new(RequestHead::default(), nobody, scheme, String::new()),
            framing: RequestFraming::default(),
            response: ResponseHead::default(),
            response_framing: ResponseFraming::default(),
            up: Pump::default(),
            down: Pump::default(),
            prefix: Vec::new(),
            request_id: String::new(),
            started: Instant::now(),
            latency: None,
            kept_bytes: 0,
            front: Version::Http11,
            served: false,
            idle,
        }
    }

    /// Serves requests until the connection ends.
    pub async fn serve(mut self) {
        loop {
            let after = match self.read_head().await {
                Ok(length) => self.serve_one(length).await,
                Err(NoHead::Gone) => return,
                Err(NoHead::Refused(status, message)) => self.refuse(status, message).await,
                Err(NoHead::Http2) => {
                    let served = http2::serve(self.worker, self.stream, self.buffer, self.peer, self.idle);
                    return Box::pin(served).await;
                }
            };
            match after {
                After::KeepAlive if !self.worker.stopping.get() => self.buffer.shrink(READ_BUFFER),
                After::Linger => return self.linger().await,
                _ => {
                    let _ = poll_fn(|cx| self.stream.poll_shutdown(cx)).await;
                    return;
                }
            }
        }
    }

    /// Waits for a complete head in the buffer and returns its length.
    async fn read_head(&mut self) -> Result<usize, NoHead> {
        let (shared, mut scanned) = (self.worker.shared.clone(), 0);
        let waits_from = Instant::now();
        self.deadline.set(waits_from + shared.timeouts.idle);
        let mut begun = false;
        let may_be_http2 = !std::mem::replace(&mut self.served, true) && self.front == Version::Http11;
        let Self { stream, buffer, deadline, idle, .. } = self;
        poll_fn(move |cx| {
            loop {
                // Empty lines before a request are tolerated (RFC 9112 section 2.2).
                while scanned == 0 && buffer.data().starts_with(b"\r\n") {
                    buffer.consume(2);
                }
                if buffer.data() != b"\r" {
                    match find_end(buffer.data(), &mut scanned) {
                        Ok(Some(_)) if may_be_http2 && buffer.data().starts_with(http2::PREFACE) => {
                            return Poll::Ready(Err(NoHead::Http2));
                        }
                        Ok(Some(end)) if end <= shared.max_head_bytes => {
                            idle.set(false);
                            return Poll::Ready(Ok(end));
                        }
                        Ok(None) if buffer.len() < shared.max_head_bytes => {}
                        Ok(_) => return Poll::Ready(Err(NoHead::Refused(400, "Request header or cookie too large"))),
                        Err(_) => return Poll::Ready(Err(NoHead::Refused(400, "Bad request"))),
                    }
                }
                if !buffer.is_empty() && !begun {
                    begun = true;
                    deadline.set(Instant::now() + shared.timeouts.head);
                }
                idle.set(!begun);
                if buffer.len() == buffer.size() {
                    buffer.grow((buffer.size() * 2).min(shared.max_head_bytes));
                }
                match stream.poll_read(cx, buffer) {
                    Poll::Ready(Ok(count)) if count > 0 => {}
                    Poll::Ready(_) => return Poll::Ready(Err(NoHead::Gone)),
                    Poll::Pending => break,
                }
            }
            if deadline.poll(cx).is_pending() {
                return Poll::Pending;
            }
            Poll::Ready(Err(if begun { NoHead::Refused(408, "Request timeout") } else { NoHead::Gone }))
        })
        .await
    }

    async fn serve_one(&mut self, length: usize) -> After {
        self.started = Instant::now();
        self.latency = None;
        self.worker.request_id(&mut self.request_id);
        let bytes = self.buffer.data().get(..length).unwrap_or_default();
        self.request.scheme = self.peer.scheme;
        self.request.start();
        let parsed = request::parse(bytes, &mut self.request.head, &mut self.framing, &mut self.request.host);
        self.buffer.consume(length);
        if parsed.is_err() {
            return self.refuse(400, "Bad request").await;
        }
        if self.front == Version::Http2 {
            self.request.head.version = Version::Http2;
        }
        let hosts = &self.worker.shared.store.hosts;
        match route(hosts, &self.peer, self.framing.host_port, &mut self.request, &mut self.prefix) {
            Ok(routed) => self.serve_routed(&routed).await,
            Err(Refusal { tenant, response }) => self.respond(tenant.as_ref(), &response).await,
        }
    }

    async fn serve_routed(&mut self, routed: &Routed) -> After {
        let tenant = &routed.tenant;
        let limit = tenant.limits.max_body_bytes.filter(|limit| *limit > 0);
        if let (Framing::Length(length), Some(limit)) = (self.framing.framing, limit)
            && length > limit
        {
            return self.respond(Some(tenant), &Response::failure(413, "Payload too large")).await;
        }
        if self.framing.framing == Framing::None {
            self.request.buffer_body(bytes::Bytes::new());
        } else if needs_body(routed, self.peer.scheme, &self.request.head) {
            match self.buffer_body(limit.unwrap_or(LARGEST_BUFFERED)).await {
                Ok(()) => {}
                Err(NoBody::Gone) => return After::Close,
                Err(NoBody::Refused(status, message)) => {
                    return self.respond(Some(tenant), &Response::failure(status, message)).await;
                }
            }
        }
        if let Some(response) = run_plugins(routed, &mut self.request) {
            return self.respond(Some(tenant), &response).await;
        }
        let Some(service) = routed.route().service.clone() else {
            return self.respond(Some(tenant), &Response::message(503, "no Service found with those values")).await;
        };
        self.forward(routed, &service, limit.unwrap_or(u64::MAX)).await
    }

    /// Reads the whole body into memory; afterwards the request counts as one without a body on the wire.
    async fn buffer_body(&mut self, limit: u64) -> Result<(), NoBody> {
        self.send_continue().await.map_err(|_| NoBody::Gone)?;
        let mut decoder = Decoder::new(self.framing.framing);
        let mut body = Vec::new();
        let timeout = self.worker.shared.timeouts.body;
        self.deadline.set(Instant::now() + timeout);
        loop {
            match decoder.step(self.buffer.data()) {
                Err(_) => return Err(NoBody::Refused(400, "Bad request")),
                Ok(Step::End(used)) => {
                    self.buffer.consume(used);
                    break;
                }
                Ok(Step::Data { skip, len }) => {
                    if (body.len() + len) as u64 > limit {
                        return Err(NoBody::Refused(413, "Payload too large"));
                    }
                    body.extend_from_slice(self.buffer.data().get(skip..skip + len).unwrap_or_default());
                    self.buffer.consume(skip + len);
                }
                Ok(Step::More(used)) => {
                    self.buffer.consume(used);
                    let Self { stream, buffer, deadline, .. } = self;
                    let read = poll_fn(|cx| match stream.poll_read(cx, buffer) {
                        Poll::Pending => deadline.poll(cx).map(|()| None),
                        Poll::Ready(result) => Poll::Ready(Some(result)),
                    });
                    match read.await {
                        Some(Ok(count)) if count > 0 => self.deadline.set(Instant::now() + timeout),
                        Some(_) => return Err(NoBody::Gone),
                        None => return Err(NoBody::Refused(408, "Request timeout")),
                    }
                }
            }
        }
        self.framing.framing = Framing::None;
        self.request.buffer_body(body.into());
        Ok(())
    }

    /// Tells a waiting client to send its body, unless it already does.
    pub(crate) async fn send_continue(&mut self) -> std::io::Result<()> {
        if self.framing.expects_continue && self.buffer.is_empty() {
            self.framing.expects_continue = false;
            return self.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await;
        }
        Ok(())
    }

    /// Answers something that is no valid request, and ends the connection.
    async fn refuse(&mut self, status: u16, message: &'static str) -> After {
        self.worker.shared.counts.malformed();
        self.started = Instant::now();
        self.worker.request_id(&mut self.request_id);
        // Nothing of the head can be relied on: not its method, and not where its body would end.
        self.request.start();
        self.request.head = RequestHead::default();
        self.framing = RequestFraming::default();
        self.respond(None, &Response::failure(status, message)).await;
        After::Linger
    }

    /// Sends a response that the gateway makes itself.
    pub(crate) async fn respond(&mut self, tenant: Option<&Arc<Tenant>>, response: &Response) -> After {
        let unread = self.framing.framing != Framing::None;
        let keep_alive = self.framing.keep_alive && !unread && !self.worker.stopping.get();
        let added = tenant.map_or(NO_TENANT, |tenant| tenant.response_headers);
        let rendered = render(response, &self.request.head.headers, &self.request_id);
        let mut out = std::mem::take(&mut self.down.out);
        out.clear();
        self.write_own_head(&mut out, response, added, &rendered.content_type, rendered.body.len(), keep_alive);
        let is_head = self.request.head.method() == b"HEAD";
        if !is_head {
            out.extend_from_slice(&rendered.body);
        }
        let sent = self.write_all(&out).await;
        self.down.out = out;
        if let Some(tenant) = tenant {
            tenant.counters.answered(self.worker.index, response.status, 0, rendered.body.len() as u64);
        } else {
            self.worker.shared.counts.without_tenant();
        }
        match sent {
            Err(_) => After::Close,
            Ok(()) if keep_alive => After::KeepAlive,
            Ok(()) => After::Linger,
        }
    }

    fn write_own_head(
        &self,
        out: &mut Vec<u8>,
        response: &Response,
        added: ResponseHeaders,
        content_type: &str,
        length: usize,
        keep_alive: bool,
    ) {
        write_status(out, response.status, reason(response.status).as_bytes());
        line(out, b"Date", self.worker.date().as_bytes());
        if !content_type.is_empty() {
            line(out, b"Content-Type", content_type.as_bytes());
        }
        let own_connection = response.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("connection"));
        if !(own_connection && keep_alive) {
            write_connection(out, keep_alive, self.request.head.version);
        }
        if response.status >= 200 && response.status != 204 {
            line(out, b"Content-Length", Digits::default().of(length as u64));
        }
        for (name, value) in &response.headers {
            if keep_alive || !name.eq_ignore_ascii_case("connection") {
                line(out, name.as_bytes(), value);
            }
        }
        let millis = |since: Instant| u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
        match self.latency {
            Some((proxy, upstream)) => {
                if added.upstream_latency {
                    line(out, b"X-Kong-Upstream-Latency", Digits::default().of(upstream));
                }
                if added.proxy_latency {
                    line(out, b"X-Kong-Proxy-Latency", Digits::default().of(proxy));
                }
            }
            None if added.response_latency => {
                line(out, b"X-Kong-Response-Latency", Digits::default().of(millis(self.started)));
            }
            None => {}
        }
        if added.server {
            line(out, b"Server", self.worker.shared.server.as_bytes());
        }
        if added.request_id {
            line(out, b"X-Kong-Request-Id", self.request_id.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Writes bytes to the client; bounded in time.
    pub(crate) async fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let mut written = 0;
        self.deadline.set(Instant::now() + self.worker.shared.timeouts.write);
        let Self { stream, deadline, .. } = self;
        poll_fn(|cx| {
            while written < bytes.len() {
                match stream.poll_write(cx, bytes.get(written..).unwrap_or_default(), b"") {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into())),
                    Poll::Ready(Ok(count)) => written += count,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => return deadline.poll(cx).map(|()| Err(std::io::ErrorKind::TimedOut.into())),
                }
            }
            stream.poll_flush(cx)
        })
        .await
    }

    /// Ends the connection so that the client can still read the answer: what it goes on sending is thrown away.
    async fn linger(mut self) {
        let mut left = LINGER_BYTES;
        self.deadline.set(Instant::now() + LINGER);
        let Self { stream, buffer, deadline, .. } = &mut self;
        let mut shut = false;
        poll_fn(|cx| {
            if !shut {
                shut = stream.poll_shutdown(cx).is_ready();
            }
            loop {
                buffer.consume(buffer.len());
                match stream.poll_read(cx, buffer) {
                    Poll::Ready(Ok(count)) if count > 0 && count < left => left -= count,
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending => return deadline.poll(cx),
                }
            }
        })
        .await;
    }
}

/// Writes a status line.
pub(crate) fn write_status(out: &mut Vec<u8>, status: u16, reason: &[u8]) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(Digits::default().of(status.into()));
    out.push(b' ');
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\n");
}

/// Writes `Connection` where the version's default is not what happens.
pub(crate) fn write_connection(out: &mut Vec<u8>, keep_alive: bool, version: Version) {
    if !keep_alive {
        line(out, b"Connection", b"close");
    } else if version == Version::Http10 {
        line(out, b"Connection", b"keep-alive");
    }
}

/// The usual reason phrase of a status.
pub(crate) fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Payload Too Large",
        415 => "Unsupported Media Type",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "",
    }
}
