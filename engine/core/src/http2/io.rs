//! A connection as hyper wants it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};

use crate::net::buffer::Buffer;
use crate::net::stream::Stream;

/// Size of the read buffer: a full frame of the default size with its header.
const READ_BUFFER: usize = 16 * 1024 + 9;

/// A stream with the bytes that were read from it before.
pub(super) struct Io {
    stream: Stream,
    buffer: Buffer,
}

impl Io {
    pub(super) fn new(stream: Stream, mut received: Buffer) -> Self {
        received.grow(READ_BUFFER);
        Self { stream, buffer: received }
    }
}

impl Read for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut target: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, buffer } = &mut *self;
        if buffer.is_empty() {
            ready!(stream.poll_read(cx, buffer))?;
        }
        let count = buffer.len().min(target.remaining());
        target.put_slice(buffer.data().get(..count).unwrap_or_default());
        buffer.consume(count);
        Poll::Ready(Ok(()))
    }
}

impl Write for Io {
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
