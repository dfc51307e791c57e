//! The responses that the gateway makes itself, and writing to clients.

use std::borrow::Cow;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use super::connection::{After, Connection};
use super::head::Framing;
use super::request::RequestFraming;
use crate::config::tenant::{ResponseHeaders, Tenant};
use crate::gateway::decide;
use crate::gateway::errors::{for_grpc, render};
use crate::gateway::forward::{Digits, line};
use crate::message::{Fate, RequestHead, Response, ResponseBody, Version};

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

impl Connection {
    /// Answers something that is no valid request, and ends the connection.
    pub(super) async fn refuse(&mut self, status: u16, message: &'static str) -> After {
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
        let headers = &self.request.head.headers;
        let speaks_grpc = self.front == Version::Http2 && headers.get("content-type").is_some_and(decide::is_grpc_type);
        let for_grpc = if speaks_grpc { for_grpc(response) } else { None };
        let response = for_grpc.as_ref().unwrap_or(response);
        let unread = self.framing.framing != Framing::None;
        let keep_alive = self.framing.keep_alive && !unread && !self.worker.stopping.get();
        let added = tenant.map_or(NO_TENANT, |tenant| tenant.response_headers);
        let rendered = render(response, &self.request.head.headers, &self.request_id);
        self.take_own_head(response, &rendered.content_type);
        // Switching protocols is for the hop, so it is no header that plugins see.
        let switch: Vec<_> = response.headers.iter().filter(|(name, _)| is_switch(name)).collect();
        let mut body = rendered.body;
        if self.facts.touches_response() {
            self.edit_response_head(!body.is_empty());
            if self.response_body_is_wanted() {
                body = self.edit_response_body(body).unwrap_or_default();
            }
            // What is unfit to be sent is not sent.
            body = self.pass_response_body(body).unwrap_or_default();
        }
        let status = self.response.status;
        let mut out = std::mem::take(&mut self.down.out);
        out.clear();
        let length = match response.body {
            ResponseBody::Absent { length, .. } => length,
            _ => Some(body.len() as u64),
        };
        self.write_own_head(&mut out, added, length, keep_alive, &switch);
        if self.is_logged() {
            self.account.sent_head.extend_from_slice(&out);
        }
        let bodiless = self.request.head.method() == b"HEAD" || matches!(status, 100..200 | 204 | 304);
        if !bodiless {
            out.extend_from_slice(&body);
        }
        let sent = self.write_all(&out).await;
        self.down.out = out;
        if let Some(tenant) = tenant {
            let sent_bytes = if bodiless { 0 } else { body.len() as u64 };
            self.answered(tenant, status, self.kept_bytes, sent_bytes);
        }
        match sent {
            Err(_) => After::Close,
            Ok(()) if keep_alive => After::KeepAlive,
            Ok(()) => After::Linger,
        }
    }

    /// Puts the head of the gateway's own response where plugins work on it.
    fn take_own_head(&mut self, response: &Response, content_type: &str) {
        let head = &mut self.response;
        head.status = response.status;
        head.is_own = true;
        head.reason.clear();
        head.headers.clear();
        if !content_type.is_empty() {
            let _ = head.headers.append("Content-Type", content_type);
        }
        for (name, value) in response.headers.iter().filter(|(name, _)| !is_switch(name)) {
            // What is no header would be read as part of another.
            let _ = head.headers.append(name, value);
        }
    }

    fn write_own_head(
        &self,
        out: &mut Vec<u8>,
        added: ResponseHeaders,
        length: Option<u64>,
        keep_alive: bool,
        switch: &[&(Cow<'static, str>, Vec<u8>)],
    ) {
        let status = self.response.status;
        write_status(out, status, reason(status).as_bytes());
        line(out, b"Date", self.worker.date().as_bytes());
        if !switch.iter().any(|(name, _)| name.eq_ignore_ascii_case("connection")) {
            write_connection(out, keep_alive, self.request.head.version);
        }
        if let Some(length) = length.filter(|_| status >= 200 && status != 204) {
            line(out, b"Content-Length", Digits::default().of(length));
        }
        self.response.headers.write(out, |_, _| Fate::Kept);
        for (name, value) in switch {
            // `Upgrade` counts only if `Connection` names it, also where the answer ends the connection.
            if !keep_alive && name.eq_ignore_ascii_case("connection") {
                line(out, name.as_bytes(), &[b"close, ", value.as_slice()].concat());
            } else {
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
            match stream.poll_flush(cx) {
                Poll::Pending => deadline.poll(cx).map(|()| Err(std::io::ErrorKind::TimedOut.into())),
                flushed @ Poll::Ready(_) => flushed,
            }
        })
        .await
    }
}

/// Whether a header tells the client to use another protocol on this connection.
fn is_switch(name: &str) -> bool {
    name.eq_ignore_ascii_case("connection") || name.eq_ignore_ascii_case("upgrade")
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
        421 => "Misdirected Request",
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
