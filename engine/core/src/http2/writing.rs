//! An HTTP/1 body written to an HTTP/2 stream.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

use crate::http1::body::{Decoder, Step};
use crate::http1::head::Framing;

/// The sending half of a stream. Takes no more than the peer has room for.
#[derive(Debug)]
pub(super) struct Writing {
    stream: SendStream<Bytes>,
    decoder: Decoder,
    /// Bytes of data at the start of what is written next.
    data: usize,
    ended: bool,
}

impl Writing {
    /// Writes a body framed in this way; with `ended` there is none, and the stream has been told.
    pub(super) fn new(stream: SendStream<Bytes>, framing: Framing, ended: bool) -> Self {
        Self { stream, decoder: Decoder::new(framing), data: 0, ended }
    }

    /// Whether the stream's end has been sent.
    pub(super) fn is_ended(&self) -> bool {
        self.ended
    }

    /// Sends what these bytes hold; returns how many of them are used up.
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut used = 0;
        while used < bytes.len() && !self.ended {
            let rest = bytes.get(used..).unwrap_or_default();
            if self.data > 0 {
                match self.poll_data(cx, rest) {
                    Poll::Ready(Ok(count)) => used += count,
                    Poll::Pending if used > 0 => return Poll::Ready(Ok(used)),
                    other => return other,
                }
                continue;
            }
            match self.decoder.step(rest).map_err(|_| io::ErrorKind::InvalidData)? {
                Step::More(count) => used += count,
                Step::Data { skip, len } => {
                    used += skip;
                    self.data = len;
                }
                Step::End(count) => {
                    used += count;
                    self.end()?;
                }
            }
        }
        // Nothing may follow the end of a message.
        Poll::Ready(if used == 0 && !bytes.is_empty() { Err(io::ErrorKind::InvalidData.into()) } else { Ok(used) })
    }

    /// The same for bytes of which so many at the front are used up already; returns how many are then.
    pub(super) fn poll_rest(&mut self, cx: &mut Context<'_>, bytes: &[u8], used: usize) -> Poll<io::Result<usize>> {
        let rest = bytes.get(used..).unwrap_or_default();
        if rest.is_empty() {
            return Poll::Ready(Ok(used));
        }
        match self.poll_write(cx, rest) {
            Poll::Ready(Ok(count)) => Poll::Ready(Ok(used + count)),
            Poll::Pending if used > 0 => Poll::Ready(Ok(used)),
            other => other,
        }
    }

    /// Sends data as far as there is room.
    fn poll_data(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wanted = self.data.min(bytes.len());
        self.stream.reserve_capacity(wanted);
        while self.stream.capacity() == 0 {
            match ready!(self.stream.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            }
        }
        let count = wanted.min(self.stream.capacity());
        let last = count == self.data && self.decoder.is_done();
        let piece = Bytes::copy_from_slice(bytes.get(..count).unwrap_or_default());
        self.stream.send_data(piece, last).map_err(io::Error::other)?;
        self.data -= count;
        self.ended = last;
        Poll::Ready(Ok(count))
    }

    fn end(&mut self) -> io::Result<()> {
        let trailers = fields(&self.decoder.trailers().map_err(|_| io::ErrorKind::InvalidData)?);
        self.ended = true;
        let sent = if trailers.is_empty() {
            self.stream.send_data(Bytes::new(), true)
        } else {
            self.stream.send_trailers(trailers)
        };
        sent.map_err(io::Error::other)
    }

    /// Ends a body that has no other end.
    pub(super) fn shut(&mut self) -> io::Result<()> {
        if self.ended || self.data > 0 || !self.decoder.ends_with_stream() {
            return Ok(());
        }
        self.ended = true;
        self.stream.send_data(Bytes::new(), true).map_err(io::Error::other)
    }

    /// Ready once the peer wants nothing more of the stream.
    pub(super) fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<Result<Reason, h2::Error>> {
        self.stream.poll_reset(cx)
    }

    pub(super) fn reset(&mut self, reason: Reason) {
        self.stream.send_reset(reason);
    }
}

fn fields(lines: &[u8]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for line in lines.split(|byte| *byte == b'\n') {
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            fields.append(name, value);
        }
    }
    fields
}
