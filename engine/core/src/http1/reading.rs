//! Reading an upstream's response: its head, and its body where that is wanted whole.

use std::task::{Context, Poll};

use super::body::{Decoder, Step};
use super::head::{Framing, find_end_lenient};
use super::receive::SHARE_STEP;
use crate::counts::Share;
use crate::upstream::pool;

/// Largest response head.
const LARGEST_HEAD: usize = 64 * 1024;

/// Why a response cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// The connection ended before the first byte.
    Died,
    /// It is no valid response, or ended too early.
    Invalid,
    /// Its body is larger than wanted.
    TooLarge,
    /// There is no memory left for its body.
    NoMemory,
}

/// Reads until a complete head is in the buffer; returns its length. `scanned` remembers how far earlier calls got.
pub(super) fn poll_head(
    cx: &mut Context<'_>,
    upstream: &mut pool::Connection,
    scanned: &mut usize,
) -> Poll<Result<usize, Flaw>> {
    loop {
        if let Some(end) = find_end_lenient(upstream.buffer.data(), scanned) {
            return Poll::Ready(Ok(end));
        }
        if upstream.buffer.len() == upstream.buffer.size() {
            if upstream.buffer.size() >= LARGEST_HEAD {
                return Poll::Ready(Err(Flaw::Invalid));
            }
            upstream.buffer.grow(LARGEST_HEAD);
        }
        match upstream.stream.poll_read(cx, &mut upstream.buffer) {
            Poll::Ready(Ok(count)) if count > 0 => {}
            Poll::Ready(_) if upstream.buffer.is_empty() => return Poll::Ready(Err(Flaw::Died)),
            Poll::Ready(_) => return Poll::Ready(Err(Flaw::Invalid)),
            Poll::Pending => return Poll::Pending,
        }
    }
}

/// A body that is read whole. It grows as it comes, with its share of the memory for bodies.
#[derive(Debug)]
pub(super) struct WholeBody {
    /// What has come so far.
    pub(super) data: Vec<u8>,
    decoder: Decoder,
    largest: u64,
    reserved: u64,
}

impl WholeBody {
    pub(super) fn new(framing: Framing, largest: u64) -> Self {
        Self { data: Vec::new(), decoder: Decoder::new(framing), largest, reserved: 0 }
    }

    /// Takes in what there is; ready once that is all. `share` grows by what it takes, up to `memory` for all bodies.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        upstream: &mut pool::Connection,
        share: &mut Share,
        memory: u64,
    ) -> Poll<Result<(), Flaw>> {
        loop {
            match self.decoder.step(upstream.buffer.data()).map_err(|_| Flaw::Invalid)? {
                Step::End(used) => {
                    upstream.buffer.consume(used);
                    return Poll::Ready(Ok(()));
                }
                Step::Data { skip, len } => {
                    let length = (self.data.len() + len) as u64;
                    if length > self.largest {
                        return Poll::Ready(Err(Flaw::TooLarge));
                    }
                    if length > self.reserved {
                        let more = (length - self.reserved).next_multiple_of(SHARE_STEP);
                        if !share.grow(more, memory) {
                            return Poll::Ready(Err(Flaw::NoMemory));
                        }
                        self.reserved += more;
                    }
                    self.data.extend_from_slice(upstream.buffer.data().get(skip..skip + len).unwrap_or_default());
                    upstream.buffer.consume(skip + len);
                }
                Step::More(used) => {
                    upstream.buffer.consume(used);
                    match upstream.stream.poll_read(cx, &mut upstream.buffer) {
                        Poll::Ready(Ok(count)) if count > 0 => {}
                        Poll::Ready(Ok(_)) if self.decoder.ends_with_stream() => return Poll::Ready(Ok(())),
                        Poll::Ready(_) => return Poll::Ready(Err(Flaw::Invalid)),
                        Poll::Pending => return Poll::Pending,
                    }
                }
            }
        }
    }
}
