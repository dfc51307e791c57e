//! Moves a body from one connection to another, as fast as the slower of the two and no faster.

use std::io;
use std::task::{Context, Poll, ready};

use super::body::{Decoder, Step, write_chunk, write_last_chunk};
use super::head::Framing;
use crate::net::buffer::Buffer;
use crate::net::stream::Stream;
use crate::phases::passage::{LARGEST_PIECE, Passages, Unfit, read_trailers, write_trailers};

/// Encoded bytes that are gathered before they are written.
const GATHER: usize = 64 * 1024;
/// Read buffer of a body that turned out to be large.
const LARGE_BUFFER: usize = 64 * 1024;
/// Output capacity that is kept for the next message.
const KEPT_OUTPUT: usize = 16 * 1024;

/// How the body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Coding {
    /// As it is: its length is known to the reader, or the end of the connection ends it.
    #[default]
    Identity,
    /// Chunked; `true` sends trailers on.
    Chunked(bool),
}

/// Why a body did not arrive.
#[derive(Debug)]
pub enum PumpError {
    /// The source failed or ended too early.
    Source(io::Error),
    /// The source broke the framing.
    Malformed,
    /// The body is larger than allowed.
    TooLarge,
    /// The destination takes no more.
    Destination(io::Error),
}

/// What a pump waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Waiting {
    /// More from the source.
    #[default]
    Source,
    /// Room at the destination.
    Destination,
}

/// One direction of one message: first the bytes put into `out` (a head), then the body.
#[derive(Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "independent facts, each named where it is used")]
pub struct Pump {
    /// Bytes to write before any further body bytes. Kept until the body moves past them, so that a message which is
    /// in there completely can be sent again.
    pub out: Vec<u8>,
    written: usize,
    direct: usize,
    decoder: Decoder,
    coding: Coding,
    ended: bool,
    finished: bool,
    /// Whether bytes were written that `out` does not hold any more.
    moved_on: bool,
    /// Whether body bytes go through `out`, so that the source need not wait for the destination.
    ahead: bool,
    /// What plugins do with the body.
    passages: Option<Box<Passages>>,
    body_bytes: u64,
    limit: u64,
    /// What `poll` waited for when it was last pending.
    pub waiting: Waiting,
    /// Set whenever bytes of the body moved, or anything was written; the owner clears it. Framing alone is no progress:
    /// a peer that sends nothing but an endless chunk header is silent.
    pub progress: bool,
}

impl Pump {
    /// Makes ready for another message; `out` is empty then, with its allocation kept.
    pub fn start(&mut self, framing: Framing, coding: Coding, limit: u64) {
        self.out.clear();
        self.out.shrink_to(KEPT_OUTPUT);
        (self.written, self.direct, self.body_bytes, self.limit) = (0, 0, 0, limit);
        self.decoder = Decoder::new(framing);
        self.coding = coding;
        // A chunked message without a body still has its last chunk.
        self.ended = self.decoder.is_done() && coding == Coding::Identity;
        (self.finished, self.moved_on, self.ahead) = (false, false, false);
        self.progress = false;
        if self.passages.is_some() {
            self.passages = None;
        }
    }

    /// Has the body of the message pass plugins. Where they change it, the coding is one that needs no length.
    pub(crate) fn pass(&mut self, passages: Option<Box<Passages>>) {
        self.passages = passages;
    }

    /// Gives back what a large message has left allocated.
    pub fn release(&mut self) {
        if self.out.capacity() > KEPT_OUTPUT {
            self.out = Vec::new();
            self.written = 0;
        }
    }

    /// Whether everything has been written and flushed.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// Whether the source has delivered its whole body.
    #[must_use]
    pub fn source_is_done(&self) -> bool {
        // The end may be known before the last bytes are taken: they still lie in the source's buffer.
        self.decoder.is_done() && self.direct == 0
    }

    /// Whether everything so far is in `out`, so that `rewind` can send it again.
    #[must_use]
    pub fn can_rewind(&self) -> bool {
        !self.moved_on
    }

    /// Begins again with the first byte of `out`.
    pub fn rewind(&mut self) {
        (self.written, self.finished) = (0, false);
    }

    /// Whether any byte was written.
    #[must_use]
    pub fn has_written(&self) -> bool {
        self.written > 0 || self.body_bytes > 0
    }

    /// Body bytes moved so far, without their framing.
    #[must_use]
    pub fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    /// Body bytes that went on, without their framing.
    #[must_use]
    pub fn passed_bytes(&self) -> u64 {
        self.passages.as_ref().map_or(self.body_bytes, |passages| passages.passed_bytes())
    }

    /// Moves bytes until the whole message is written, or one side has to be waited for.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut Stream,
        buffer: &mut Buffer,
        destination: &mut Stream,
    ) -> Poll<Result<(), PumpError>> {
        loop {
            // Take in what the source has already delivered, unless enough waits to be written.
            while !self.ended && self.direct == 0 && self.out.len() - self.written < GATHER && !buffer.is_empty() {
                self.take(buffer)?;
            }
            if !self.ended && self.decoder.is_done() && self.direct == 0 {
                self.end()?;
            }
            if self.written < self.out.len() || self.direct > 0 {
                let head = self.out.get(self.written..).unwrap_or_default();
                let body = buffer.data().get(..self.direct).unwrap_or_default();
                match destination.poll_write(cx, head, body) {
                    Poll::Pending => {
                        self.waiting = Waiting::Destination;
                        return Poll::Pending;
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(PumpError::Destination(error))),
                    Poll::Ready(Ok(0)) => {
                        return Poll::Ready(Err(PumpError::Destination(io::ErrorKind::WriteZero.into())));
                    }
                    Poll::Ready(Ok(count)) => self.wrote(count, buffer),
                }
                continue;
            }
            let flushed = match destination.poll_flush(cx) {
                Poll::Ready(Err(error)) => return Poll::Ready(Err(PumpError::Destination(error))),
                flushed => flushed.is_ready(),
            };
            if self.ended && !flushed {
                self.waiting = Waiting::Destination;
                return Poll::Pending;
            }
            if self.ended {
                self.finished = true;
                return Poll::Ready(Ok(()));
            }
            if self.body_bytes > LARGE_BUFFER as u64 {
                buffer.grow(LARGE_BUFFER);
            }
            match source.poll_read(cx, buffer) {
                Poll::Pending => {
                    self.waiting = if flushed { Waiting::Source } else { Waiting::Destination };
                    return Poll::Pending;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(PumpError::Source(error))),
                Poll::Ready(Ok(0)) if self.decoder.ends_with_stream() => self.end()?,
                Poll::Ready(Ok(0)) => {
                    return Poll::Ready(Err(PumpError::Source(io::ErrorKind::UnexpectedEof.into())));
                }
                Poll::Ready(Ok(_)) => {}
            }
        }
    }

    /// Goes on where a body that has begun elsewhere stands: this much of it is here, and the decoder knows the rest.
    pub fn resume(&mut self, data: &[u8], decoder: Decoder) -> Result<(), PumpError> {
        self.decoder = decoder;
        self.body_bytes = data.len() as u64;
        for piece in data.chunks(LARGEST_PIECE) {
            put(&mut self.out, self.coding, passed(&mut self.passages, piece)?);
        }
        Ok(())
    }

    /// Takes in what the source delivers while the destination is busy, until `out` holds `most` bytes.
    pub fn read_ahead(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut Stream,
        buffer: &mut Buffer,
        most: usize,
    ) -> Result<(), PumpError> {
        self.ahead = true;
        self.out.extend_from_slice(buffer.data().get(..self.direct).unwrap_or_default());
        buffer.consume(std::mem::take(&mut self.direct));
        while !self.ended && self.out.len() < most {
            if self.decoder.is_done() {
                return self.end();
            }
            if !buffer.is_empty() {
                self.take(buffer)?;
                continue;
            }
            match source.poll_read(cx, buffer) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Err(error)) => return Err(PumpError::Source(error)),
                Poll::Ready(Ok(0)) if self.decoder.ends_with_stream() => return self.end(),
                Poll::Ready(Ok(0)) => return Err(PumpError::Source(io::ErrorKind::UnexpectedEof.into())),
                Poll::Ready(Ok(_)) => {}
            }
        }
        Ok(())
    }

    /// Writes what is left of a message whose source is done.
    pub fn poll_rest(&mut self, cx: &mut Context<'_>, destination: &mut Stream) -> Poll<Result<(), PumpError>> {
        self.waiting = Waiting::Destination;
        while let rest @ [_, ..] = self.out.get(self.written..).unwrap_or_default() {
            match ready!(destination.poll_write(cx, rest, b"")).map_err(PumpError::Destination)? {
                0 => return Poll::Ready(Err(PumpError::Destination(io::ErrorKind::WriteZero.into()))),
                count => self.written += count,
            }
            self.progress = true;
        }
        ready!(destination.poll_flush(cx)).map_err(PumpError::Destination)?;
        self.finished = true;
        Poll::Ready(Ok(()))
    }

    fn wrote(&mut self, count: usize, buffer: &mut Buffer) {
        self.progress = true;
        let from_out = count.min(self.out.len() - self.written);
        self.written += from_out;
        let from_buffer = count - from_out;
        self.direct -= from_buffer;
        buffer.consume(from_buffer);
    }

    /// Moves one step's worth of the buffer into `out`, or marks it for writing as it lies there.
    fn take(&mut self, buffer: &mut Buffer) -> Result<(), PumpError> {
        // What fits is kept for another try.
        if self.written == self.out.len() && (self.moved_on || self.out.len() > KEPT_OUTPUT) {
            self.out.clear();
            self.written = 0;
            self.moved_on = true;
        }
        let changes = self.passages.as_ref().is_some_and(|passages| passages.changes());
        let direct = self.coding == Coding::Identity && self.decoder.is_identity() && !self.ahead && !changes;
        let input = match &self.passages {
            None => buffer.data(),
            Some(_) => buffer.data().get(..buffer.len().min(LARGEST_PIECE)).unwrap_or_default(),
        };
        match self.decoder.step(input).map_err(|_| PumpError::Malformed)? {
            Step::More(used) => buffer.consume(used),
            Step::End(used) => {
                buffer.consume(used);
                self.end()?;
            }
            Step::Data { skip, len } => {
                buffer.consume(skip);
                self.progress = true;
                self.body_bytes += len as u64;
                if self.body_bytes > self.limit {
                    return Err(PumpError::TooLarge);
                }
                let data = passed(&mut self.passages, buffer.data().get(..len).unwrap_or_default())?;
                if direct {
                    self.moved_on = true;
                    self.direct = len;
                    return Ok(());
                }
                put(&mut self.out, self.coding, data);
                buffer.consume(len);
            }
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), PumpError> {
        if self.ended {
            return Ok(());
        }
        self.ended = true;
        let with_trailers = self.coding == Coding::Chunked(true);
        if let Some(passages) = &mut self.passages {
            let mut trailers = read_trailers(&self.decoder.trailers().map_err(|_| PumpError::Malformed)?);
            put(&mut self.out, self.coding, passages.end(&mut trailers).map_err(|Unfit| PumpError::Malformed)?);
            if self.coding != Coding::Identity {
                let trailers = if with_trailers { write_trailers(&trailers) } else { Vec::new() };
                write_last_chunk(&mut self.out, &trailers);
            }
        } else if self.coding != Coding::Identity {
            let trailers = self.decoder.trailers().map_err(|_| PumpError::Malformed)?;
            write_last_chunk(&mut self.out, if with_trailers { &trailers } else { b"" });
        }
        Ok(())
    }
}

/// What goes on of a piece of a body.
fn passed<'p>(passages: &'p mut Option<Box<Passages>>, piece: &'p [u8]) -> Result<&'p [u8], PumpError> {
    match passages {
        None => Ok(piece),
        Some(passages) => passages.piece(piece).map_err(|Unfit| PumpError::Malformed),
    }
}

/// Writes data of a body. An empty chunk would be the last one.
fn put(out: &mut Vec<u8>, coding: Coding, data: &[u8]) {
    match coding {
        Coding::Identity => out.extend_from_slice(data),
        Coding::Chunked(_) if data.is_empty() => {}
        Coding::Chunked(_) => write_chunk(out, data),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pipe(size: usize) -> (Stream, Stream) {
        let (near, far) = tokio::io::duplex(size);
        (Stream::Translated(Box::new(near)), Stream::Translated(Box::new(far)))
    }

    #[test]
    fn a_body_that_was_not_taken_is_not_done() {
        let (mut client, mut source) = pipe(100);
        let (mut destination, _upstream) = pipe(10);
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut buffer = Buffer::with_size(100);
        let mut pump = Pump::default();
        pump.start(Framing::Length(100), Coding::Identity, u64::MAX);
        assert!(client.poll_write(&mut cx, &[b'x'; 100], b"").is_ready());
        assert!(pump.poll(&mut cx, &mut source, &mut buffer, &mut destination).is_pending());
        assert_eq!((buffer.len(), pump.waiting), (90, Waiting::Destination));
        assert!(!pump.source_is_done());
    }

    #[test]
    fn framing_is_no_progress() {
        let (mut client, mut source) = pipe(100);
        let (mut destination, _upstream) = pipe(100);
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut buffer = Buffer::with_size(100);
        let mut pump = Pump::default();
        pump.start(Framing::Chunked, Coding::Chunked(false), u64::MAX);
        for (piece, progress) in [(&b"5;a"[..], false), (b"=b\r\nab", true), (b"cde\r\n0", true), (b"\r\nx: ", false)] {
            assert!(client.poll_write(&mut cx, piece, b"").is_ready());
            assert!(pump.poll(&mut cx, &mut source, &mut buffer, &mut destination).is_pending());
            assert_eq!(std::mem::take(&mut pump.progress), progress, "{piece:?}");
        }
    }
}
