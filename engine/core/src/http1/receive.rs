//! What a client sends: heads, and bodies that plugins want whole.

use std::future::poll_fn;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::body::{Decoder, Step};
use super::connection::Connection;
use super::head::{Framing, find_end};
use crate::counts::Share;
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

/// Bytes of one body that are taken in before they are passed on.
pub(super) const MOST_GATHERED: u64 = 256 * 1024;

/// The beginning of a body, and what finds the end of the rest.
pub(super) struct Beginning {
    pub(super) data: Vec<u8>,
    pub(super) decoder: Decoder,
}

/// Why a body could not be buffered.
pub(super) enum NoBody {
    Gone,
    TooLarge,
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
        self.take_in(limit, None).await.map(drop)
    }

    /// Reads the body as far as a bound and as half of the memory for bodies allow; the other half stays for bodies that
    /// have to be whole. `None` if that was all of it.
    pub(super) async fn gather_body(&mut self, limit: u64) -> Result<Option<Beginning>, NoBody> {
        self.take_in(limit, Some(MOST_GATHERED)).await
    }

    /// Whether the body is to be read before the upstream is asked, and has not arrived yet.
    pub(super) fn awaits_body(&self) -> bool {
        self.request.body().is_none()
            && match self.framing.framing {
                Framing::None | Framing::UntilClose => false,
                Framing::Length(length) => length <= MOST_GATHERED && (self.buffer.len() as u64) < length,
                Framing::Chunked => true,
            }
    }

    async fn take_in(&mut self, limit: u64, bound: Option<u64>) -> Result<Option<Beginning>, NoBody> {
        self.send_continue().await.map_err(|_| NoBody::Gone)?;
        let mut decoder = Decoder::new(self.framing.framing);
        let mut data = Vec::new();
        let (mut reserved, mut moved) = (0, false);
        let (timeout, slowest) = (self.worker.shared.timeouts.body, self.worker.shared.timeouts.slowest_body);
        let now = Instant::now();
        self.deadline.set(now + timeout.min(self.pace.wait(now, 0, slowest)));
        let memory = self.worker.shared.bounds.buffered_bytes;
        let memory = if bound.is_some() { memory / 2 } else { memory };
        loop {
            match decoder.step(self.buffer.data()) {
                Err(_) => return Err(NoBody::Refused(400, "Bad request")),
                Ok(Step::End(used)) => {
                    self.buffer.consume(used);
                    break;
                }
                Ok(Step::Data { skip, len }) => {
                    let length = (data.len() + len) as u64;
                    if length > limit {
                        return Err(NoBody::TooLarge);
                    }
                    let room = length <= reserved || {
                        let more = (length - reserved).next_multiple_of(SHARE_STEP);
                        reserved += more;
                        self.buffered.get_or_insert_with(|| self.worker.shared.counts.buffered()).grow(more, memory)
                    };
                    if !room && bound.is_none() {
                        return Err(NoBody::Refused(503, "The upstream server is currently unavailable"));
                    }
                    data.extend_from_slice(self.buffer.data().get(skip..skip + len).unwrap_or_default());
                    self.buffer.consume(skip + len);
                    moved = true;
                    if !room || bound.is_some_and(|bound| length > bound) {
                        return Ok(Some(Beginning { data, decoder }));
                    }
                }
                Ok(Step::More(used)) => {
                    self.buffer.consume(used);
                    // Framing alone is no progress.
                    if std::mem::take(&mut moved) {
                        let now = Instant::now();
                        self.deadline.set(now + timeout.min(self.pace.wait(now, data.len() as u64, slowest)));
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
        // Trailers have no place behind a body of announced length.
        if bound.is_some() && !decoder.trailers().map_err(|_| NoBody::Refused(400, "Bad request"))?.is_empty() {
            return Ok(Some(Beginning { data, decoder }));
        }
        self.framing.framing = Framing::None;
        self.request.buffer_body(data.into());
        Ok(None)
    }

    /// Memory for reading a response ahead of its client, if there is some.
    pub(super) fn memory_ahead(&self) -> Option<Share> {
        let mut share = self.worker.shared.counts.buffered();
        share.grow(MOST_GATHERED, self.worker.shared.bounds.buffered_bytes / 2).then_some(share)
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
