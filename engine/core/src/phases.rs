//! The phases of a request, as a plugin sees them.
//!
//! Order for one request: the head is read and checked → tenant → route → [`Plugin::needs_request_body`] of every
//! plugin of the chain → the body is buffered if one of them asked → [`Plugin::access`] of every plugin, highest
//! priority first → the upstream. The chain of a route is compiled once per configuration: at most one instance of a
//! plugin name, the most specific one.

use crate::message::{Request, RequestHead, Response};

/// What the engine does after a plugin's `access`.
///
/// A plugin that has to wait (for a lookup or a counter elsewhere) needs a further variant that carries a boxed
/// future; the engine's driver is already asynchronous at the point where it runs the chain.
#[derive(Debug)]
pub enum Flow {
    /// Go on with the next plugin, or to the upstream.
    Continue,
    /// Answer the client with this response: no later plugin runs and no upstream is asked.
    Respond(Response),
}

/// One compiled instance of a plugin. Shared by all threads for as long as the configuration lives, so an instance
/// holds no state of a request.
pub trait Plugin: Send + Sync {
    /// Called once per request, before any `access` of the chain. `true` makes the engine read the whole body into
    /// memory (up to the tenant's `max_body_bytes`, else the client gets 413), so that `Request::body` is `Some` in
    /// every `access` of this request. Not called for requests without a body.
    fn needs_request_body(&self, head: &RequestHead) -> bool {
        let _ = head;
        false
    }

    /// Called once per request, after routing and before any connection to the upstream; never again on a retry.
    fn access(&self, request: &mut Request) -> Flow;
}
