//! Responses: heads read from an upstream, and those that the gateway makes itself.

use std::borrow::Cow;

use bytes::Bytes;

use super::headers::Headers;

/// The head of a response.
#[derive(Debug, Default)]
pub struct ResponseHead {
    /// The status code.
    pub status: u16,
    /// The reason phrase as received; may be empty.
    pub reason: Vec<u8>,
    /// Whether the upstream answered with HTTP/1.0.
    pub http10: bool,
    /// The header lines in order.
    pub headers: Headers,
    /// Whether it is one that the gateway has made.
    pub is_own: bool,
    /// Whether a body follows, or would if the request were no `HEAD`. Known once plugins see the head.
    pub has_body: bool,
}

/// The body of a response made by the gateway.
#[derive(Debug, Clone)]
pub enum ResponseBody {
    /// No body.
    Empty,
    /// A message in the error format that the client accepts (JSON, HTML, XML or text), with the request id.
    Message(Cow<'static, str>),
    /// The same for a failure of the exchange itself (bad request, upstream failures): a client that accepts nothing in
    /// particular gets the format of its own request's body, else plain text.
    Failure(Cow<'static, str>),
    /// `{"message":"…"}` as compact JSON whatever the client accepts, without a request id.
    PlainMessage(Cow<'static, str>),
    /// Exactly these bytes.
    Bytes {
        /// Value of `Content-Type`.
        content_type: Cow<'static, str>,
        /// The body.
        body: Bytes,
    },
    /// None, where the request is a `HEAD`: its answer speaks of what it does not have.
    Absent {
        /// Value of `Content-Type`.
        content_type: Cow<'static, str>,
        /// Value of `Content-Length`, if that is known.
        length: Option<u64>,
    },
}

/// A response made by the gateway or a plugin. Framing, `Server`, latency and request-id headers are added when it
/// is sent.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Further headers, in order.
    pub headers: Vec<(Cow<'static, str>, Vec<u8>)>,
    /// The body.
    pub body: ResponseBody,
}

impl Response {
    /// A message in the format that the client accepts.
    pub fn message(status: u16, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, headers: Vec::new(), body: ResponseBody::Message(message.into()) }
    }

    /// A message about a failure of the exchange itself.
    pub fn failure(status: u16, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, headers: Vec::new(), body: ResponseBody::Failure(message.into()) }
    }

    /// The same with one more header.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}
