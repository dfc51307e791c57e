//! Messages as the engine and its plugins see them: heads, header lists, and what goes upstream.

mod captures;
mod headers;
mod names;
mod request;
mod response;

pub use captures::{Captures, GroupSpan};
pub use headers::Headers;
pub(crate) use headers::{Fate, Span};
pub use names::{InvalidHeader, Known};
pub use request::{Arrival, Request, RequestHead, Scheme, Upstream, Version};
pub use response::{Response, ResponseBody, ResponseHead};
