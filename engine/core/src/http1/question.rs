//! A request of the gateway's own, apart from any client: what probes and plugins ask.

use std::future::poll_fn;
use std::task::{Context, Poll};

use super::asking::MOST_INTERIM;
use super::head::Framing;
use super::reading::{Flaw, WholeBody, poll_head};
use super::response::{self, ResponseFraming, is_followed};
use crate::counts::Share;
use crate::gateway::forward::{line, number_line};
use crate::message::{Headers, ResponseHead};
use crate::upstream::pool;

/// Headers that are written here, or that would make another message of it.
const OWN: [&str; 6] = ["host", "connection", "content-length", "transfer-encoding", "expect", "upgrade"];

/// A request with a body that is in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question<'a> {
    pub(crate) method: &'a str,
    /// Path and query; what is none is asked for as `/`.
    pub(crate) target: &'a str,
    /// Value of `Host`.
    pub(crate) host: &'a [u8],
    /// `User-Agent`, unless the headers have one.
    pub(crate) agent: &'a str,
    pub(crate) headers: &'a Headers,
    pub(crate) body: &'a [u8],
    /// Whether the connection is wanted afterwards.
    pub(crate) keep_alive: bool,
}

impl Question<'_> {
    /// The request as it is sent: one request, whatever its parts hold.
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512 + self.body.len());
        let is_token = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        out.extend_from_slice(if is_token(self.method) { self.method.as_bytes() } else { b"GET" });
        out.push(b' ');
        let is_target = self.target.starts_with('/') && self.target.bytes().all(|byte| byte.is_ascii_graphic());
        out.extend_from_slice(if is_target { self.target.as_bytes() } else { b"/" });
        out.extend_from_slice(b" HTTP/1.1\r\nHost: ");
        out.extend(self.host.iter().filter(|byte| byte.is_ascii_graphic()));
        out.extend_from_slice(b"\r\n");
        if !self.headers.contains("user-agent") {
            line(&mut out, b"User-Agent", self.agent.as_bytes());
        }
        if !self.keep_alive {
            line(&mut out, b"Connection", b"close");
        }
        for (name, value) in self.headers.iter() {
            if !OWN.iter().any(|own| name.eq_ignore_ascii_case(own.as_bytes())) {
                line(&mut out, name, value);
            }
        }
        if !self.body.is_empty() || !matches!(self.method, "GET" | "HEAD" | "DELETE" | "OPTIONS") {
            number_line(&mut out, "Content-Length", self.body.len() as u64);
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(self.body);
        out
    }
}

/// An exchange that is under way. The caller bounds the time.
pub(crate) struct Asking<'a> {
    upstream: &'a mut pool::Connection,
    request: &'a [u8],
    written: usize,
    /// The upstream takes no more of the request, but may have answered.
    is_stuck: bool,
    framing: ResponseFraming,
}

impl<'a> Asking<'a> {
    /// Has a request asked that [`Question::write`] has written.
    pub(crate) fn new(upstream: &'a mut pool::Connection, request: &'a [u8]) -> Self {
        Self { upstream, request, written: 0, is_stuck: false, framing: ResponseFraming::default() }
    }

    /// Sends the request and reads the head of the answer, past interim ones.
    pub(crate) async fn head(&mut self) -> Result<ResponseHead, Flaw> {
        let to_head = self.request.starts_with(b"HEAD ");
        let mut head = ResponseHead::default();
        for _ in 0..=MOST_INTERIM {
            let mut scanned = 0;
            let read = poll_fn(|cx| {
                self.write(cx);
                poll_head(cx, self.upstream, &mut scanned)
            });
            let length = read.await?;
            let bytes = self.upstream.buffer.data().get(..length).unwrap_or_default();
            response::parse(bytes, to_head, &mut head, &mut self.framing).map_err(|_| Flaw::Invalid)?;
            self.upstream.buffer.consume(length);
            match head.status {
                101 => return Err(Flaw::Invalid),
                100..200 => {}
                // Of two answers on a connection that was used before, one may be that to an earlier request.
                _ if self.upstream.reused && is_followed(self.framing.framing, self.upstream.buffer.data()) => {
                    return Err(Flaw::Invalid);
                }
                _ => return Ok(head),
            }
        }
        Err(Flaw::Invalid)
    }

    /// Reads the body of the answer. `share` grows by what it takes, up to `memory` for all bodies.
    pub(crate) async fn body(&mut self, largest: u64, share: &mut Share, memory: u64) -> Result<Vec<u8>, Flaw> {
        let framing = self.framing.framing;
        if matches!(framing, Framing::Length(length) if length > largest) {
            return Err(Flaw::TooLarge);
        }
        let mut body = WholeBody::new(framing, largest);
        poll_fn(|cx| {
            self.write(cx);
            body.poll(cx, self.upstream, share, memory)
        })
        .await?;
        Ok(body.data)
    }

    /// Whether the connection can carry another request, once the answer was read.
    pub(crate) fn is_reusable(&self) -> bool {
        self.framing.keep_alive && self.written == self.request.len() && self.upstream.buffer.is_empty()
    }

    /// Whether any of the request was sent.
    pub(crate) fn has_written(&self) -> bool {
        self.written > 0
    }

    /// Sends as much as the upstream takes.
    fn write(&mut self, cx: &mut Context<'_>) {
        while !self.is_stuck
            && let rest @ [_, ..] = self.request.get(self.written..).unwrap_or_default()
        {
            match self.upstream.stream.poll_write(cx, rest, b"") {
                Poll::Ready(Ok(count)) if count > 0 => self.written += count,
                Poll::Ready(_) => self.is_stuck = true,
                Poll::Pending => return,
            }
        }
        // What TLS still holds back is sent with the next poll, which its socket brings about.
        if !self.is_stuck && matches!(self.upstream.stream.poll_flush(cx), Poll::Ready(Err(_))) {
            self.is_stuck = true;
        }
    }
}
