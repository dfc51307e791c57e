//! A connection as tokio's traits have it: for HTTP/2, and for protocols that plugins speak.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::buffer::Buffer;
use super::stream::Stream;

/// A stream with the bytes that were read from it before.
#[derive(Debug)]
pub struct Io {
    stream: Stream,
    received: Buffer,
}

impl Io {
    /// Puts what was `received` before what is still to be read.
    #[must_use]
    pub fn new(stream: Stream, received: Buffer) -> Self {
        Self { stream, received }
    }

    /// The stream, if nothing was read of it that is not taken yet.
    #[must_use]
    pub fn into_stream(self) -> Option<Stream> {
        self.received.is_empty().then_some(self.stream)
    }

    /// Whether the other side has neither ended nor said anything; what it has said may be lost.
    pub fn is_quiet(&mut self, cx: &mut Context<'_>) -> bool {
        self.received.is_empty() && self.stream.is_quiet(cx)
    }
}

impl AsyncRead for Io {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, target: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { stream, received } = &mut *self;
        if received.is_empty() {
            return stream.poll_read_into(cx, target);
        }
        let count = received.len().min(target.remaining());
        target.put_slice(received.data().get(..count).unwrap_or_default());
        received.consume(count);
        if received.is_empty() {
            *received = Buffer::default();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.stream.poll_write(cx, bytes, b"")
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut filled = pieces.iter().filter(|piece| !piece.is_empty());
        let first = filled.next().map_or(&b""[..], |piece| piece);
        let second = filled.next().map_or(&b""[..], |piece| piece);
        self.stream.poll_write(cx, first, second)
    }
}
