//! Having plugins edit an upstream's response before it is passed on.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Instant;

use super::asking::is_gone;
use super::body::{Decoder, Step};
use super::connection::{Connection, LARGEST_BUFFERED};
use super::exchange::Failure;
use super::head::Framing;
use super::receive::SHARE_STEP;
use crate::config::tenant::Service;
use crate::upstream::pool;

impl Connection {
    /// Runs the phases of a response; its body is read first if a plugin wants it.
    pub(super) async fn edit_response(
        &mut self,
        service: &Service,
        upstream: &mut pool::Connection,
    ) -> Result<(), Failure> {
        self.edit_response_head();
        if !self.response_body_is_wanted() {
            return Ok(());
        }
        if self.request.head.method() == b"HEAD" {
            // What the length of the edited body would be, nobody knows.
            self.response.headers.remove("content-length");
            return Ok(());
        }
        if self.response_framing.framing == Framing::None {
            return Ok(());
        }
        let body = self.read_response_body(service, upstream).await?;
        let body = self.edit_response_body(body);
        self.response_framing.framing = Framing::Length(body.len() as u64);
        self.rewritten = Some(body);
        Ok(())
    }

    /// Reads the whole body of a response, and goes on sending the request if it is not complete yet.
    async fn read_response_body(
        &mut self,
        service: &Service,
        upstream: &mut pool::Connection,
    ) -> Result<Vec<u8>, Failure> {
        let mut decoder = Decoder::new(self.response_framing.framing);
        let (mut body, mut reserved) = (Vec::new(), 0);
        let mut upload_over = self.up.is_finished();
        self.deadline.set(Instant::now() + service.read_timeout);
        poll_fn(|cx| {
            let mut progress = false;
            if !upload_over {
                let polled = self.up.poll(cx, &mut self.stream, &mut self.buffer, &mut upstream.stream);
                upload_over = polled.is_ready();
                progress |= std::mem::take(&mut self.up.progress);
            }
            if upload_over && is_gone(cx, &mut self.stream, &mut self.buffer) {
                return Poll::Ready(Err(Failure::ClientGone));
            }
            loop {
                match decoder.step(upstream.buffer.data()).map_err(|_| Failure::Invalid)? {
                    Step::End(used) => {
                        upstream.buffer.consume(used);
                        return Poll::Ready(Ok(()));
                    }
                    Step::Data { skip, len } => {
                        let length = (body.len() + len) as u64;
                        if length > LARGEST_BUFFERED {
                            return Poll::Ready(Err(Failure::Invalid));
                        }
                        if length > reserved {
                            let more = (length - reserved).next_multiple_of(SHARE_STEP);
                            let most = self.worker.shared.bounds.buffered_bytes;
                            let counts = &self.worker.shared.counts;
                            if !self.buffered.get_or_insert_with(|| counts.buffered()).grow(more, most) {
                                return Poll::Ready(Err(Failure::Exhausted));
                            }
                            reserved += more;
                        }
                        body.extend_from_slice(upstream.buffer.data().get(skip..skip + len).unwrap_or_default());
                        upstream.buffer.consume(skip + len);
                        progress = true;
                    }
                    Step::More(used) => {
                        upstream.buffer.consume(used);
                        match upstream.stream.poll_read(cx, &mut upstream.buffer) {
                            Poll::Ready(Ok(count)) if count > 0 => {}
                            Poll::Ready(Ok(_)) if decoder.ends_with_stream() => return Poll::Ready(Ok(())),
                            Poll::Ready(_) => return Poll::Ready(Err(Failure::Invalid)),
                            Poll::Pending => break,
                        }
                    }
                }
            }
            if progress {
                self.deadline.set(Instant::now() + service.read_timeout);
            }
            self.deadline.poll(cx).map(|()| Err(Failure::Timeout))
        })
        .await?;
        Ok(body)
    }
}
