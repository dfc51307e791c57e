//! What an HTTP/2 stream receives, as HTTP/1 bytes.

use std::io;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use h2::RecvStream;
use http::HeaderMap;
use tokio::io::ReadBuf;

use crate::gateway::forward::line;
use crate::http1::body::write_last_chunk;

/// How the body goes into the HTTP/1 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// There is none.
    None,
    /// So many bytes, as the head says.
    Length(u64),
    /// In chunks.
    Chunked,
    /// As it comes, up to the end of the stream: a tunnel.
    Raw,
}

/// A head that is already HTTP/1, then the stream's data and trailers. Room for more data is given to the peer as the
/// bytes are taken, so a slow reader slows the peer down.
#[derive(Debug)]
pub(super) struct Reading {
    /// Bytes to hand out before anything else: the head, the line before a chunk, the trailers.
    ahead: Vec<u8>,
    handed: usize,
    piece: Bytes,
    body: RecvStream,
    shape: Shape,
    ended: bool,
}

impl Reading {
    pub(super) fn new(head: Vec<u8>, body: RecvStream, shape: Shape) -> Self {
        let ended = shape == Shape::None;
        Self { ahead: head, handed: 0, piece: Bytes::new(), body, shape, ended }
    }

    /// Whether everything has been handed out.
    pub(super) fn is_over(&self) -> bool {
        self.ended && self.piece.is_empty() && self.handed == self.ahead.len()
    }

    /// Whether the bytes have no end but the stream's.
    pub(super) fn is_tunnel(&self) -> bool {
        self.shape == Shape::Raw
    }

    /// Hands the head out, but nothing of the body.
    pub(super) fn poll_head(&mut self, target: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.hand_out(target) { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// Hands out what there is. Ready with nothing once `is_over`.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, target: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = target.filled().len();
        loop {
            self.hand_out(target);
            if target.remaining() == 0 || self.is_over() {
                return Poll::Ready(Ok(()));
            }
            if !self.piece.is_empty() {
                self.hand_out_piece(target)?;
                continue;
            }
            match self.poll_more(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Pending | Poll::Ready(Err(_)) if target.filled().len() > before => return Poll::Ready(Ok(())),
                other => return other,
            }
        }
    }

    /// Whether anything of `ahead` was handed out.
    fn hand_out(&mut self, target: &mut ReadBuf<'_>) -> bool {
        let rest = self.ahead.get(self.handed..).unwrap_or_default();
        let count = rest.len().min(target.remaining());
        target.put_slice(rest.get(..count).unwrap_or_default());
        self.handed += count;
        if self.handed == self.ahead.len() {
            self.ahead.clear();
            self.handed = 0;
        }
        count > 0
    }

    fn hand_out_piece(&mut self, target: &mut ReadBuf<'_>) -> io::Result<()> {
        let count = self.piece.len().min(target.remaining());
        target.put_slice(self.piece.get(..count).unwrap_or_default());
        self.piece.advance(count);
        if self.piece.is_empty() && self.shape == Shape::Chunked {
            self.ahead.extend_from_slice(b"\r\n");
        }
        self.body.flow_control().release_capacity(count).map_err(io::Error::other)
    }

    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.body.poll_data(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(piece))) => Poll::Ready(self.take(piece)),
            Poll::Ready(Some(Err(error))) => Poll::Ready(Err(io::Error::other(error))),
            Poll::Ready(None) => match self.body.poll_trailers(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Ok(trailers)) => Poll::Ready(self.end(trailers.as_ref())),
                Poll::Ready(Err(error)) => Poll::Ready(Err(io::Error::other(error))),
            },
        }
    }

    fn take(&mut self, piece: Bytes) -> io::Result<()> {
        match &mut self.shape {
            Shape::Length(left) => {
                // More than announced would be read as the beginning of another message.
                *left = left.checked_sub(piece.len() as u64).ok_or(io::ErrorKind::InvalidData)?;
            }
            Shape::Chunked if !piece.is_empty() => {
                self.ahead.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
            }
            _ => {}
        }
        self.piece = piece;
        Ok(())
    }

    fn end(&mut self, trailers: Option<&HeaderMap>) -> io::Result<()> {
        match self.shape {
            Shape::Length(left) if left > 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            Shape::Chunked => {
                let mut fields = Vec::new();
                for (name, value) in trailers.into_iter().flatten() {
                    line(&mut fields, name.as_str().as_bytes(), value.as_bytes());
                }
                write_last_chunk(&mut self.ahead, &fields);
            }
            _ => {}
        }
        self.ended = true;
        Ok(())
    }
}
