//! What a client sends: heads, and bodies that plugins want whole.

use std::future::poll_fn;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::body::{Decoder, Step};
use super::connection::Connection;
use super::head::{Framing, find_end};
use crate::http2;
use crate::message::Version;

/// How long a client that has just connected may take to send its request if the connection is to end.
const FIRST_REQUEST: Duration = Duration::from_millis(300);
/// By how many bytes the share of the memory for bodies grows.
pub(super) const SHARE_STEP: u64 = 64 * 1024;

/// Why there is no further request.
pub(super) enum NoHead {
    /// The client is gone or has been silent for too long: nothing to say.
    Gone,
    /// It is to be told.
    Refused(u16, &'static str),
    /// It speaks HTTP/2.
    Http2,
}

/// Why a body could not be buffered.
pub(super) enum NoBody {
    Gone,
    Refused(u16, &'static str),
}

impl Connection {
    /// Waits for a complete head in the buffer and returns its length.
    pub(super) async fn read_head(&mut self) -> Result<usize, NoHead> {
        let (shared, mut scanned) = (self.worker.shared.clone(), 0);
        let most = shared.bounds.head_bytes;
        self.deadline.set(Instant::now() + shared.timeouts.idle);
        let mut begun = false;
        let first = !std::mem::replace(&mut self.served, true);
        let may_be_http2 = first && self.front == Version::Http11;
        let Self { stream, buffer, deadline, presence, opened, .. } = self;
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
                        Ok(Some(end)) if end <= most => {
                            presence.busy();
                            return Poll::Ready(Ok(end));
                        }
                        Ok(None) if buffer.len() < most => {}
                        Ok(_) => return Poll::Ready(Err(NoHead::Refused(400, "Request header or cookie too large"))),
                        Err(_) => return Poll::Ready(Err(NoHead::Refused(400, "Bad request"))),
                    }
                }
                if !buffer.is_empty() && !begun {
                    begun = true;
                    presence.busy();
                    deadline.set(Instant::now() + shared.timeouts.head);
                }
                if buffer.len() == buffer.size() {
                    buffer.grow((buffer.size() * 2).min(most));
                }
                match stream.poll_read(cx, buffer) {
                    Poll::Ready(Ok(count)) if count > 0 => {}
                    Poll::Ready(_) => return Poll::Ready(Err(NoHead::Gone)),
                    Poll::Pending => break,
                }
            }
            if !begun {
                presence.rest(cx);
                if presence.is_leaving() {
                    let until = *opened + FIRST_REQUEST;
                    if first && Instant::now() < until {
                        deadline.set(until);
                    } else if stream.is_silent() {
                        return Poll::Ready(Err(NoHead::Gone));
                    }
                }
            }
            if deadline.poll(cx).is_pending() {
                return Poll::Pending;
            }
            Poll::Ready(Err(if begun { NoHead::Refused(408, "Request timeout") } else { NoHead::Gone }))
        })
        .await
    }

    /// Reads the whole body into memory; afterwards the request counts as one without a body on the wire.
    pub(super) async fn buffer_body(&mut self, limit: u64) -> Result<(), NoBody> {
        self.send_continue().await.map_err(|_| NoBody::Gone)?;
        let mut decoder = Decoder::new(self.framing.framing);
        let mut body = Vec::new();
        let (mut reserved, mut moved) = (0, false);
        let (timeout, slowest) = (self.worker.shared.timeouts.body, self.worker.shared.timeouts.slowest_body);
        let now = Instant::now();
        self.deadline.set(now + timeout.min(self.pace.wait(now, 0, slowest)));
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
                    let length = (body.len() + len) as u64;
                    if length > reserved {
                        let more = (length - reserved).next_multiple_of(SHARE_STEP);
                        let most = self.worker.shared.bounds.buffered_bytes;
                        if !self.buffered.get_or_insert_with(|| self.worker.shared.counts.buffered()).grow(more, most) {
                            return Err(NoBody::Refused(503, "The upstream server is currently unavailable"));
                        }
                        reserved += more;
                    }
                    body.extend_from_slice(self.buffer.data().get(skip..skip + len).unwrap_or_default());
                    self.buffer.consume(skip + len);
                    moved = true;
                }
                Ok(Step::More(used)) => {
                    self.buffer.consume(used);
                    // Framing alone is no progress.
                    if std::mem::take(&mut moved) {
                        let now = Instant::now();
                        self.deadline.set(now + timeout.min(self.pace.wait(now, body.len() as u64, slowest)));
                    }
                    let Self { stream, buffer, deadline, .. } = self;
                    let read = poll_fn(|cx| match stream.poll_read(cx, buffer) {
                        Poll::Pending => deadline.poll(cx).map(|()| None),
                        Poll::Ready(result) => Poll::Ready(Some(result)),
                    });
                    match read.await {
                        Some(Ok(count)) if count > 0 => {}
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
}
