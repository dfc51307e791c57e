//! A client's stream as the connection code sees it: one HTTP/1 request that comes, one response that goes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::reading::{Reading, Shape};
use super::request;
use super::streams::Active;
use super::writing::Writing;
use crate::http1::head::{Framing, find_end};
use crate::http1::response::{ResponseFraming, parse};
use crate::message::{Headers, ResponseHead};
use crate::net::stream::Translated;

/// What the client is told of the response so far.
enum Answer {
    /// Nothing, or interim responses.
    Awaited(SendResponse<Bytes>),
    /// The head.
    Begun(Writing),
    /// All of it.
    Complete,
}

/// One stream. Dropping it before its response is complete resets it, so that nobody takes the part for the whole.
pub(super) struct Incoming {
    reading: Reading,
    answer: Answer,
    /// The part of a response's head that was written so far.
    head: Vec<u8>,
    to_head: bool,
    /// A WebSocket is asked for; its bytes must not be read before it is granted, or they would be taken for requests.
    closed_tunnel: bool,
    active: Active,
}

impl Incoming {
    pub(super) fn new(
        request: Request<RecvStream>,
        respond: SendResponse<Bytes>,
        active: Active,
        key: impl FnOnce() -> String,
    ) -> Self {
        let shape = request::shape(&request);
        let head = request::head(&request, shape, key);
        let to_head = request.method() == Method::HEAD;
        Self {
            reading: Reading::new(head, request.into_body(), shape),
            answer: Answer::Awaited(respond),
            head: Vec::new(),
            to_head,
            closed_tunnel: shape == Shape::Raw,
            active,
        }
    }

    /// Takes bytes of a response's head; returns how many are used up.
    fn write_head(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.head.is_empty()
            && let Ok(Some(end)) = find_end(bytes, &mut 0)
        {
            return self.answer(bytes.get(..end).unwrap_or_default()).map(|()| end);
        }
        let before = self.head.len();
        self.head.extend_from_slice(bytes);
        let Some(end) = find_end(&self.head, &mut 0).map_err(|_| io::ErrorKind::InvalidData)? else {
            return Ok(bytes.len());
        };
        let head = std::mem::take(&mut self.head);
        self.answer(head.get(..end).unwrap_or_default())?;
        Ok(end - before)
    }

    /// Sends a head.
    fn answer(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Answer::Awaited(respond) = &mut self.answer else { return Err(io::ErrorKind::InvalidData.into()) };
        let (mut head, mut framing) = (ResponseHead::default(), ResponseFraming::default());
        parse(bytes, self.to_head, &mut head, &mut framing).map_err(|_| io::ErrorKind::InvalidData)?;
        let mut response = Response::new(());
        let switches = head.status == 101;
        let status = if switches { 200 } else { head.status };
        *response.status_mut() = StatusCode::from_u16(status).map_err(io::Error::other)?;
        copy(response.headers_mut(), &head.headers);
        if switches {
            response.headers_mut().remove("sec-websocket-accept");
            framing.framing = Framing::UntilClose;
            self.closed_tunnel = false;
        } else if status < 200 {
            return respond.send_informational(response).map_err(io::Error::other);
        }
        let length = match framing.framing {
            Framing::Length(length) => Some(length),
            // A gRPC answer without a body is its trailers.
            Framing::None if !self.to_head && !matches!(status, 204 | 304) && !is_grpc(&head.headers) => Some(0),
            _ => None,
        };
        if let Some(length) = length {
            response.headers_mut().insert("content-length", length.into());
        }
        let ended = framing.framing == Framing::None;
        let stream = respond.send_response(response, ended).map_err(io::Error::other)?;
        self.answer = Answer::Begun(Writing::new(stream, framing.framing, ended));
        self.note_end();
        Ok(())
    }

    fn note_end(&mut self) {
        if matches!(&self.answer, Answer::Begun(writing) if writing.is_ended()) {
            // A tunnel still receives; anything else is of no use any more.
            if !self.reading.is_tunnel() {
                self.answer = Answer::Complete;
            }
            self.active.complete();
        }
    }

    /// Ready once the client wants nothing more.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let gone = match &mut self.answer {
            Answer::Awaited(respond) => respond.poll_reset(cx),
            Answer::Begun(writing) => writing.poll_reset(cx),
            Answer::Complete => return Poll::Ready(Ok(())),
        };
        gone.map(|_| Ok(()))
    }
}

impl AsyncRead for Incoming {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, target: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if matches!(this.answer, Answer::Complete) {
            // There is no second request.
            return Poll::Ready(Ok(()));
        }
        let read = if this.closed_tunnel { this.reading.poll_head(target) } else { this.reading.poll_read(cx, target) };
        match read {
            Poll::Ready(Ok(())) if target.filled().is_empty() && this.reading.is_tunnel() => Poll::Ready(Ok(())),
            Poll::Ready(Ok(())) if target.filled().is_empty() => this.poll_gone(cx),
            Poll::Pending => this.poll_gone(cx),
            read @ Poll::Ready(_) => read,
        }
    }
}

impl AsyncWrite for Incoming {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let mut used = 0;
        while used < bytes.len() && matches!(this.answer, Answer::Awaited(_)) {
            used += this.write_head(bytes.get(used..).unwrap_or_default())?;
        }
        let written = match &mut this.answer {
            Answer::Begun(writing) => writing.poll_rest(cx, bytes, used),
            _ if used < bytes.len() => Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
            _ => Poll::Ready(Ok(used)),
        };
        this.note_end();
        written
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Answer::Begun(writing) = &mut self.answer {
            writing.shut()?;
            self.note_end();
        }
        Poll::Ready(Ok(()))
    }
}

impl Translated for Incoming {}

impl Drop for Incoming {
    fn drop(&mut self) {
        match &mut self.answer {
            Answer::Awaited(respond) => respond.send_reset(Reason::INTERNAL_ERROR),
            Answer::Begun(writing) if !writing.is_ended() => writing.reset(Reason::INTERNAL_ERROR),
            Answer::Begun(_) | Answer::Complete => {}
        }
    }
}

impl std::fmt::Debug for Incoming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Incoming").field("reading", &self.reading).finish_non_exhaustive()
    }
}

fn copy(to: &mut HeaderMap, from: &Headers) {
    for (name, value) in from.iter() {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            to.append(name, value);
        }
    }
}

fn is_grpc(headers: &Headers) -> bool {
    headers.get("content-type").is_some_and(crate::gateway::decide::is_grpc_type)
}
