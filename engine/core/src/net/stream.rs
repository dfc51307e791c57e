//! A connection, plain or over TLS.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

use super::buffer::Buffer;

/// One message exchange of another protocol, read and written as if it were an HTTP/1 connection of its own. Everything
/// happens when it is polled: there is no task behind it.
pub trait Translated: AsyncRead + AsyncWrite + Unpin + fmt::Debug {
    /// Whether the peer has said that it did nothing with what was sent.
    fn was_refused(&self) -> bool {
        false
    }

    /// Takes in what the peer sends however slowly it is read, so that it is bounded.
    fn gather(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let _ = cx;
        Ok(())
    }
}

/// A connection to a client or an upstream.
#[derive(Debug)]
pub enum Stream {
    /// Plain TCP.
    Plain(TcpStream),
    /// TLS over TCP; boxed, because its state is large.
    Tls(Box<TlsStream<TcpStream>>),
    /// One stream of an HTTP/2 connection.
    Translated(Box<dyn Translated>),
}

impl Stream {
    /// Reads what there is into the buffer's space; 0 at the end of the stream. The buffer must have space.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut Buffer) -> Poll<io::Result<usize>> {
        let mut target = ReadBuf::new(buffer.space());
        ready!(self.poll_read_into(cx, &mut target))?;
        let count = target.filled().len();
        buffer.filled(count);
        Poll::Ready(Ok(count))
    }

    /// Reads what there is; nothing at the end of the stream.
    pub fn poll_read_into(&mut self, cx: &mut Context<'_>, target: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, target),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, target),
            Self::Translated(stream) => Pin::new(stream.as_mut()).poll_read(cx, target),
        }
    }

    /// Writes from several pieces at once; returns how much was taken.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, first: &[u8], second: &[u8]) -> Poll<io::Result<usize>> {
        if second.is_empty() || first.is_empty() {
            let bytes = if first.is_empty() { second } else { first };
            return match self {
                Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
                Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, bytes),
                Self::Translated(stream) => Pin::new(stream.as_mut()).poll_write(cx, bytes),
            };
        }
        let pieces = [IoSlice::new(first), IoSlice::new(second)];
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, &pieces),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write_vectored(cx, &pieces),
            Self::Translated(stream) => Pin::new(stream.as_mut()).poll_write_vectored(cx, &pieces),
        }
    }

    /// Sends what TLS still holds back.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(_) | Self::Translated(_) => Poll::Ready(Ok(())),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    /// Says that nothing more will be written.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
            Self::Translated(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }

    /// Whether an idle connection can still be used: the peer has neither closed it nor sent anything unasked. A
    /// plain connection without news costs no system call.
    pub fn is_quiet(&mut self, cx: &mut Context<'_>) -> bool {
        let mut byte = [0];
        let mut target = ReadBuf::new(&mut byte);
        self.poll_read_into(cx, &mut target).is_pending()
    }

    /// Whether the peer has neither closed the connection nor sent anything that was not read yet. Asks the system, so
    /// the answer is true of this moment, at the price of a call. A stream of
    /// HTTP/2 counts as not silent.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        let mut byte = [std::mem::MaybeUninit::uninit()];
        let Some(tcp) = self.tcp() else { return false };
        let result = socket2::SockRef::from(tcp).peek(&mut byte);
        matches!(result, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// The TCP connection below, if there is one.
    #[must_use]
    pub fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Self::Plain(stream) => Some(stream),
            Self::Tls(stream) => Some(stream.get_ref().0),
            Self::Translated(_) => None,
        }
    }

    /// To be called while what the peer sends is not read, where it could send without bounds.
    pub fn gather(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self {
            Self::Plain(_) | Self::Tls(_) => Ok(()),
            Self::Translated(stream) => stream.gather(cx),
        }
    }

    /// Whether the peer has said that it did nothing with what was sent, so that sending it again does no harm.
    #[must_use]
    pub fn was_refused(&self) -> bool {
        matches!(self, Self::Translated(stream) if stream.was_refused())
    }
}

/// A pipe in memory: the tests' stand-in for a connection.
#[cfg(test)]
impl Translated for tokio::io::DuplexStream {}
