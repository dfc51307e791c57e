//! A stream to an upstream as the exchange sees it: one HTTP/1 request that goes, one response that comes.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream};
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::reading::{Reading, Shape};
use super::writing::Writing;
use crate::gateway::forward::{Digits, line};
use crate::http1::head::{Framing, FramingHeaders, find_end};
use crate::net::stream::Translated;
use crate::upstream::pulse::Pulse;

/// Bytes of interim responses that wait to be passed on. The protocol has no means to hold them back.
const MOST_AHEAD: usize = 64 * 1024;

/// One of the streams that a connection may have open; given back when dropped.
#[derive(Debug)]
pub struct Place(Rc<Cell<usize>>);

impl Place {
    /// Takes a place among those that are counted there.
    #[must_use]
    pub fn of(open: &Rc<Cell<usize>>) -> Self {
        open.set(open.get() + 1);
        Self(open.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// One stream. Dropping it before its response is complete resets it, so that the upstream stops working for nobody.
pub struct Outgoing {
    sender: SendRequest<Bytes>,
    secure: bool,
    /// The part of the request's head that was written so far.
    head: Vec<u8>,
    to_head: bool,
    writing: Option<Writing>,
    response: Option<ResponseFuture>,
    /// Interim responses that were not read yet.
    interim: Vec<u8>,
    reading: Option<Reading>,
    refused: bool,
    pulse: Rc<Pulse>,
    /// What had been heard of the connection when the request went there.
    heard: u64,
    _place: Place,
}

impl Outgoing {
    /// A stream on a connection, not opened before a request is written.
    #[must_use]
    pub fn new(sender: SendRequest<Bytes>, secure: bool, pulse: Rc<Pulse>, place: Place) -> Self {
        Self {
            sender,
            secure,
            head: Vec::new(),
            to_head: false,
            writing: None,
            response: None,
            interim: Vec::new(),
            reading: None,
            refused: false,
            heard: pulse.heard(),
            pulse,
            _place: place,
        }
    }

    /// Takes bytes of the request's head; returns how many are used up.
    fn poll_head(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let Err(error) = ready!(self.sender.poll_ready(cx)) {
            // Nothing was sent on a connection that takes nothing any more.
            self.refused = true;
            return Poll::Ready(Err(io::Error::other(error)));
        }
        let before = self.head.len();
        self.head.extend_from_slice(bytes);
        let Some(end) = find_end(&self.head, &mut 0).map_err(|_| io::ErrorKind::InvalidData)? else {
            return Poll::Ready(Ok(bytes.len()));
        };
        let head = std::mem::take(&mut self.head);
        let (request, framing) =
            request(head.get(..end).unwrap_or_default(), self.secure).ok_or(io::ErrorKind::InvalidInput)?;
        self.to_head = request.method() == Method::HEAD;
        let ended = framing == Framing::None;
        match self.sender.send_request(request, ended) {
            Ok((response, stream)) => {
                self.heard = self.pulse.heard();
                self.response = Some(response);
                self.writing = Some(Writing::new(stream, framing, ended));
                Poll::Ready(Ok(end - before))
            }
            Err(error) => {
                self.refused = true;
                Poll::Ready(Err(io::Error::other(error)))
            }
        }
    }

    /// Takes in the interim responses that have come (RFC 9113 section 8.1).
    fn take_interim(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let Some(response) = &mut self.response else { return Ok(()) };
        // What else there is to say of the stream, the response itself says.
        while let Poll::Ready(Some(Ok(head))) = response.poll_informational(cx) {
            self.pulse.hear();
            write_head(&mut self.interim, head.status(), head.headers(), |_| true);
            self.interim.extend_from_slice(b"\r\n");
            if self.interim.len() > MOST_AHEAD {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
        Ok(())
    }

    fn poll_response(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(response) = &mut self.response else { return Poll::Pending };
        match ready!(Pin::new(response).poll(cx)) {
            Ok(response) => {
                self.pulse.hear();
                self.response = None;
                self.reading = Some(begin(response, self.to_head));
                Poll::Ready(Ok(()))
            }
            Err(error) => {
                self.pulse.hear();
                // RFC 9113 section 8.7: these streams were not processed.
                self.refused =
                    error.is_remote() && (error.is_go_away() || error.reason() == Some(Reason::REFUSED_STREAM));
                Poll::Ready(Err(io::Error::other(error)))
            }
        }
    }
}

impl AsyncRead for Outgoing {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, target: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.reading.is_none() {
            this.take_interim(cx)?;
            if !this.interim.is_empty() {
                let count = this.interim.len().min(target.remaining());
                target.put_slice(this.interim.get(..count).unwrap_or_default());
                this.interim.drain(..count);
                return Poll::Ready(Ok(()));
            }
            ready!(this.poll_response(cx))?;
        }
        match &mut this.reading {
            Some(reading) => {
                let read = reading.poll_read(cx, target);
                if read.is_ready() {
                    this.pulse.hear();
                }
                read
            }
            None => Poll::Pending,
        }
    }
}

impl AsyncWrite for Outgoing {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let used = if this.writing.is_none() { ready!(this.poll_head(cx, bytes))? } else { 0 };
        match &mut this.writing {
            Some(writing) => writing.poll_rest(cx, bytes, used),
            None => Poll::Ready(Ok(used)),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.writing.as_mut().map_or(Ok(()), Writing::shut))
    }
}

impl Translated for Outgoing {
    fn was_refused(&self) -> bool {
        self.refused
    }

    fn gather(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.take_interim(cx)
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        // Given up without an answer, with nothing heard of the others either: the connection itself may be dead.
        if self.response.is_some() && self.pulse.heard() == self.heard {
            self.pulse.doubt();
        }
    }
}

impl std::fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outgoing").field("reading", &self.reading).finish_non_exhaustive()
    }
}

/// The HTTP/2 form of a head that the gateway wrote, and how its body is framed.
fn request(head: &[u8], secure: bool) -> Option<(Request<()>, Framing)> {
    let mut lines = vec![MaybeUninit::uninit(); memchr::memchr_iter(b'\n', head).count()];
    let mut parsed = httparse::Request::new(&mut []);
    parsed.parse_with_uninit_headers(head, &mut lines).ok()?;
    let (mut authority, mut framing) = (None, FramingHeaders::default());
    let mut request = Request::new(());
    for header in parsed.headers.iter() {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        if is("host") {
            authority = Some(header.value);
            continue;
        }
        if is("transfer-encoding") {
            framing.transfer_encoding(header.value).ok()?;
            continue;
        }
        if is("connection") {
            continue;
        }
        if is("content-length") {
            framing.content_length(header.value).ok()?;
        }
        let name = HeaderName::from_bytes(header.name.as_bytes()).ok()?;
        request.headers_mut().append(name, HeaderValue::from_bytes(header.value).ok()?);
    }
    *request.method_mut() = Method::from_bytes(parsed.method?.as_bytes()).ok()?;
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() = Uri::builder()
        .scheme(if secure { "https" } else { "http" })
        .authority(authority?)
        .path_and_query(parsed.path?)
        .build()
        .ok()?;
    Some((request, framing.framing().ok()?.unwrap_or_default()))
}

/// The HTTP/1 form of a response. It says that the connection ends with it, which is true of this one.
fn begin(response: Response<RecvStream>, to_head: bool) -> Reading {
    let (parts, body) = response.into_parts();
    let shape = if to_head || body.is_end_stream() || matches!(parts.status.as_u16(), 204 | 304) {
        Shape::None
    } else {
        // Chunks have a place for trailers, which a body of announced length has not.
        Shape::Chunked
    };
    let mut head = Vec::with_capacity(512);
    write_head(&mut head, parts.status, &parts.headers, |name| shape != Shape::Chunked || name != "content-length");
    line(&mut head, b"Connection", b"close");
    match shape {
        Shape::Chunked => line(&mut head, b"Transfer-Encoding", b"chunked"),
        _ if to_head || parts.headers.contains_key("content-length") => {}
        _ => line(&mut head, b"Content-Length", b"0"),
    }
    head.extend_from_slice(b"\r\n");
    Reading::new(head, body, shape)
}

/// Writes a head without its last line, with the headers that are wanted.
fn write_head(out: &mut Vec<u8>, status: StatusCode, headers: &HeaderMap, is_wanted: impl Fn(&HeaderName) -> bool) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(Digits::default().of(status.as_u16().into()));
    out.extend_from_slice(b" \r\n");
    for (name, value) in headers.iter().filter(|(name, _)| is_wanted(name)) {
        line(out, name.as_str().as_bytes(), value.as_bytes());
    }
}
