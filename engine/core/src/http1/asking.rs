//! Sending a request to its upstream and reading the head of the response.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Instant;

use super::answer::write_status;
use super::connection::Connection;
use super::exchange::Failure;
use super::pump::{PumpError, Waiting};
use super::reading::poll_head;
use super::response::{self, is_followed};
use crate::config::tenant::Service;
use crate::gateway::forward::line;
use crate::message::Version;
use crate::net::buffer::Buffer;
use crate::net::stream::Stream;
use crate::upstream::pool;

/// Interim responses that may come before a response.
pub(super) const MOST_INTERIM: usize = 32;

impl Connection {
    /// Sends the request and reads the response's head, passing interim responses on.
    pub(super) async fn ask(
        &mut self,
        upstream: &mut pool::Connection,
        service: &Service,
        now: Instant,
    ) -> Result<(), Failure> {
        let (mut upload_failed, mut since) = (false, now);
        for _ in 0..=MOST_INTERIM {
            let length = self.read_response_head(upstream, service, &mut upload_failed, since).await?;
            let bytes = upstream.buffer.data().get(..length).unwrap_or_default();
            let to_head = self.request.method() == b"HEAD";
            response::parse(bytes, to_head, &mut self.response, &mut self.response_framing)
                .map_err(|_| Failure::Invalid)?;
            upstream.buffer.consume(length);
            match self.response.status {
                101 if self.framing.websocket && self.response_framing.websocket => return Ok(()),
                101 => return Err(Failure::Invalid),
                102..200 if self.request.head.version != Version::Http10 => {
                    let mut out = Vec::new();
                    write_status(&mut out, self.response.status, &self.response.reason);
                    self.response.headers.iter().for_each(|(name, value)| line(&mut out, name, value));
                    out.extend_from_slice(b"\r\n");
                    self.pass_on(&out, &mut upstream.stream).await?;
                    since = Instant::now();
                }
                100..200 => since = Instant::now(),
                _ => {
                    let unasked = upstream.reused && !upstream.buffer.is_empty();
                    if unasked && is_followed(self.response_framing.framing, upstream.buffer.data()) {
                        return Err(Failure::Ambiguous);
                    }
                    if upload_failed {
                        self.framing.keep_alive = false;
                    }
                    return Ok(());
                }
            }
        }
        Err(Failure::Invalid)
    }

    /// Writes an interim response to the client.
    async fn pass_on(&mut self, head: &[u8], upstream: &mut Stream) -> Result<(), Failure> {
        let mut writing = pin!(self.write_all(head));
        poll_fn(|cx| match writing.as_mut().poll(cx) {
            Poll::Ready(written) => Poll::Ready(written.map_err(|_| Failure::ClientGone)),
            // More of them may come however long this one takes.
            Poll::Pending => match upstream.gather(cx) {
                Ok(()) => Poll::Pending,
                Err(_) => Poll::Ready(Err(Failure::Invalid)),
            },
        })
        .await
    }

    async fn read_response_head(
        &mut self,
        upstream: &mut pool::Connection,
        service: &Service,
        upload_failed: &mut bool,
        since: Instant,
    ) -> Result<usize, Failure> {
        let (mut scanned, mut polls) = (0, 0_u32);
        let (body_timeout, mut slowest) = (self.worker.shared.timeouts.body, self.worker.shared.timeouts.slowest_body);
        if service.protocol.is_grpc() {
            // A stream of messages has no pace.
            slowest.bytes_per_second = 0;
        }
        poll_fn(move |cx| {
            let mut progress = false;
            if !self.up.is_finished() && !*upload_failed {
                match self.up.poll(cx, &mut self.stream, &mut self.buffer, &mut upstream.stream) {
                    Poll::Ready(Ok(())) | Poll::Pending => {}
                    // An upstream that takes no more may still have answered.
                    Poll::Ready(Err(PumpError::Destination(_))) => *upload_failed = true,
                    Poll::Ready(Err(PumpError::Source(_))) => return Poll::Ready(Err(Failure::ClientGone)),
                    Poll::Ready(Err(PumpError::Malformed)) => return Poll::Ready(Err(Failure::ClientMalformed)),
                    Poll::Ready(Err(PumpError::TooLarge)) => return Poll::Ready(Err(Failure::ClientTooLarge)),
                }
                progress |= std::mem::take(&mut self.up.progress);
            }
            if self.up.is_finished() && is_gone(cx, &mut self.stream, &mut self.buffer) {
                return Poll::Ready(Err(Failure::ClientGone));
            }
            let before = upstream.buffer.len();
            if let Poll::Ready(read) = poll_head(cx, upstream, &mut scanned) {
                return Poll::Ready(read.map_err(Failure::from));
            }
            progress |= upstream.buffer.len() > before;
            let waits_for_client = !self.up.is_finished() && !*upload_failed && self.up.waiting == Waiting::Source;
            // Nothing has been waited for before the first poll ends, so that poll needs no clock.
            if progress || polls == 0 {
                let now = if polls == 0 { since } else { Instant::now() };
                let timeout = if waits_for_client {
                    body_timeout.min(self.pace.wait(now, self.up.body_bytes(), slowest))
                } else {
                    self.pace.rest(now);
                    if self.up.is_finished() { service.read_timeout } else { service.write_timeout }
                };
                self.deadline.set(now + timeout);
            }
            polls += 1;
            let late = if waits_for_client { Failure::ClientTimeout } else { Failure::Timeout };
            self.deadline.poll(cx).map(|()| Err(late))
        })
        .await
    }
}

/// Whether the client has closed its side while it waits for an answer. What it sends meanwhile is kept.
pub(super) fn is_gone(cx: &mut Context<'_>, stream: &mut Stream, buffer: &mut Buffer) -> bool {
    while buffer.len() < buffer.size() {
        match stream.poll_read(cx, buffer) {
            Poll::Ready(Ok(count)) if count > 0 => {}
            Poll::Ready(_) => return true,
            Poll::Pending => return false,
        }
    }
    false
}
