//! The gateway's HTTP/1.1 response read back for an HTTP/2 client.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use hyper::body::{Bytes, Frame, SizeHint};
use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, StatusCode};
use tokio::io::{AsyncRead, DuplexStream, ReadBuf, ReadHalf};
use tokio::task::AbortHandle;

use super::stream::Active;
use crate::http1::body::{Decoder, Step};
use crate::http1::head::{Framing, find_end};
use crate::http1::response::{ResponseFraming, parse};
use crate::message::{Headers, ResponseHead};
use crate::net::buffer::Buffer;

/// Size of the read buffer.
const READ_BUFFER: usize = 16 * 1024;
/// Largest head that the gateway writes; upstream heads are bounded well below.
const LARGEST_HEAD: usize = 256 * 1024;

/// The body of a response on its way from the pipe to the client. Dropping it ends the exchange.
pub(super) struct Body {
    pipe: Pipe,
    decoder: Decoder,
    length: Option<u64>,
    trailers_sent: bool,
}

struct Pipe {
    read: ReadHalf<DuplexStream>,
    buffer: Buffer,
    upload: AbortHandle,
    active: Rc<Active>,
}

impl Drop for Pipe {
    fn drop(&mut self) {
        // The upload holds the other half of the pipe; only without both does the gateway notice.
        self.upload.abort();
    }
}

impl Pipe {
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut target = ReadBuf::new(self.buffer.space());
        ready!(Pin::new(&mut self.read).poll_read(cx, &mut target))?;
        let count = target.filled().len();
        self.buffer.filled(count);
        Poll::Ready(Ok(count))
    }

    async fn read_head(&mut self) -> Option<usize> {
        let mut scanned = 0;
        loop {
            if let Some(end) = find_end(self.buffer.data(), &mut scanned).ok()? {
                return Some(end);
            }
            if self.buffer.len() == self.buffer.size() {
                if self.buffer.size() >= LARGEST_HEAD {
                    return None;
                }
                self.buffer.grow(self.buffer.size() * 2);
            }
            match poll_fn(|cx| self.poll_read(cx)).await {
                Ok(count) if count > 0 => {}
                _ => return None,
            }
        }
    }
}

/// Reads the response's head and returns it with the body still to come.
pub(super) async fn receive(
    read: ReadHalf<DuplexStream>,
    to_head: bool,
    upload: AbortHandle,
    active: Rc<Active>,
) -> hyper::Response<Body> {
    let mut pipe = Pipe { read, buffer: Buffer::with_size(READ_BUFFER), upload, active };
    let (mut head, mut framing) = (ResponseHead::default(), ResponseFraming::default());
    let length = pipe.read_head().await;
    let bytes = length.and_then(|length| pipe.buffer.data().get(..length));
    let read = bytes.is_some_and(|bytes| parse(bytes, to_head, &mut head, &mut framing).is_ok());
    if !read {
        // The exchange was given up without an answer: the client is gone, or the gateway's task has died.
        head.status = 500;
        framing.framing = Framing::None;
    }
    pipe.buffer.consume(length.unwrap_or(0));
    let declared = match framing.framing {
        Framing::Length(length) => Some(length),
        Framing::None => Some(0),
        Framing::Chunked | Framing::UntilClose => None,
    };
    let decoder = Decoder::new(framing.framing);
    if decoder.is_done() {
        // Nobody will ask for the body.
        pipe.active.complete();
    }
    let mut response = hyper::Response::new(Body { pipe, decoder, length: declared, trailers_sent: false });
    *response.status_mut() = StatusCode::from_u16(head.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    copy(response.headers_mut(), &head.headers);
    if let Framing::Length(length) = framing.framing {
        response.headers_mut().insert("content-length", length.into());
    }
    response
}

fn copy(to: &mut HeaderMap, from: &Headers) {
    for (name, value) in from.iter() {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            to.append(name, value);
        }
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let Self { pipe, decoder, trailers_sent, .. } = &mut *self;
        // Whoever asks for more has room for it.
        pipe.active.took();
        loop {
            match decoder.step(pipe.buffer.data()) {
                Err(_) => return Poll::Ready(Some(Err(io::ErrorKind::InvalidData.into()))),
                Ok(Step::Data { skip, len }) => {
                    let data = pipe.buffer.data().get(skip..skip + len).unwrap_or_default();
                    let data = Bytes::copy_from_slice(data);
                    pipe.buffer.consume(skip + len);
                    pipe.active.owes();
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Ok(Step::End(used)) => {
                    pipe.buffer.consume(used);
                    pipe.active.owes();
                    pipe.active.complete();
                    return Poll::Ready(trailers(decoder, trailers_sent).map(Ok));
                }
                Ok(Step::More(used)) => {
                    pipe.buffer.consume(used);
                    if ready!(pipe.poll_read(cx))? == 0 {
                        // The upstream broke off: the stream is reset, so that nobody takes this for the whole.
                        return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())));
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.length == Some(0) && self.decoder.is_done()
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}

fn trailers(decoder: &Decoder, sent: &mut bool) -> Option<Frame<Bytes>> {
    let lines = if std::mem::replace(sent, true) { Vec::new() } else { decoder.trailers().unwrap_or_default() };
    let mut fields = HeaderMap::new();
    for line in lines.split(|byte| *byte == b'\n') {
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            fields.append(name, value);
        }
    }
    (!fields.is_empty()).then(|| Frame::trailers(fields))
}
