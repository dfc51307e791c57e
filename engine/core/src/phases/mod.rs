//! The phases of a request, as a plugin sees them.
//!
//! | Phase | When | Who |
//! |---|---|---|
//! | [`Plugin::rewrite`] | the tenant is known, the route is not | plugins without a scope |
//! | [`Plugin::access`] | after routing, before any connection to the upstream, never again on a retry | the route's chain |
//! | [`Plugin::request_passage`] | the request goes to the upstream; what it returns sees the body pass | the same plugins |
//! | [`Plugin::response`] | a response's head is at hand, proxied or made here | the same plugins |
//! | [`Plugin::response_passage`] | the same head is edited; what it returns sees the body pass | the same plugins |
//! | [`Plugin::response_body`] | the same response's whole body is in memory, for plugins that asked for it | the same plugins |
//! | [`Plugin::log`] | the exchange is over | the same plugins |
//!
//! Requests without a route see `rewrite`, and the later phases of the plugins without a scope. The first response of
//! an `access` wins: no later plugin's `access` runs and no upstream is asked, but the later phases run as ever.
//!
//! What a plugin takes part in is known when a [chain](chain::Chain) is compiled, so that a request pays nothing for
//! phases that nobody uses.

pub mod chain;
pub mod exchange;
pub mod order;
pub mod outside;
pub mod passage;
#[cfg(test)]
pub(crate) mod probe;
#[cfg(test)]
mod tests;
pub mod values;

use std::cell::OnceCell;
use std::future::{Future, ready};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

pub use self::exchange::{Credential, Exchange, Facts};
use self::outside::Outside;
pub use self::passage::{Passage, Unfit};
use self::values::Values;
use crate::config::directory::Consumer;
use crate::config::tenant::{Route, Tenant};
use crate::gateway::decide::Peer;
use crate::logs::Account;
use crate::message::{Request, RequestHead, Response, ResponseHead};
use crate::tls::server::Spoken;
use crate::worker::Worker;

/// What the engine does after a plugin's turn.
#[derive(Debug)]
pub enum Flow {
    /// Go on with the next plugin, or to the upstream.
    Continue,
    /// Answer the client with this response.
    Respond(Response),
    /// The answer takes waiting: go on with [`Plugin::access_later`] of the same plugin.
    Later,
}

/// A phase of a plugin that waits. It is polled by the task of the client's connection and dropped with it.
pub type Waiting<'a> = Pin<Box<dyn Future<Output = Option<Response>> + 'a>>;

/// A set of phases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Phases(u16);

impl Phases {
    /// [`Plugin::rewrite`].
    pub const REWRITE: Self = Self(1);
    /// [`Plugin::access`].
    pub const ACCESS: Self = Self(1 << 1);
    /// [`Plugin::needs_request_body`] is asked before `access`.
    pub const REQUEST_BODY: Self = Self(1 << 2);
    /// [`Plugin::response`].
    pub const RESPONSE: Self = Self(1 << 3);
    /// [`Plugin::needs_response_body`] is asked, and [`Plugin::response_body`] called if it says so.
    pub const RESPONSE_BODY: Self = Self(1 << 4);
    /// [`Plugin::log`].
    pub const LOG: Self = Self(1 << 5);
    /// [`Plugin::request_passage`].
    pub const REQUEST_PASSAGE: Self = Self(1 << 6);
    /// [`Plugin::response_passage`].
    pub const RESPONSE_PASSAGE: Self = Self(1 << 7);
    /// No phase, but a wish: that it is noted which plugin's turn took how long, for [`Plugin::log`].
    pub const TURNS: Self = Self(1 << 8);
    /// All phases after `access`.
    pub const LATER: Self =
        Self::RESPONSE.and(Self::RESPONSE_BODY).and(Self::LOG).and(Self::REQUEST_PASSAGE).and(Self::RESPONSE_PASSAGE);

    /// Both sets together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the sets have a phase in common.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// One compiled instance of a plugin. Shared by all threads for as long as the configuration lives, so an instance
/// holds no state of a request: that lives in the [`Exchange`].
pub trait Plugin: Send + Sync {
    /// The phases that this instance takes part in; asked once, when it is compiled.
    fn phases(&self) -> Phases;

    /// Before the route is looked for; `request.upstream` and `captures` are not filled in yet.
    fn rewrite(&self, request: &mut Request, exchange: &mut Exchange<'_>) -> Flow {
        let _ = (request, exchange);
        Flow::Continue
    }

    /// Asked right before `access`. `true` makes the engine read the whole body into memory (up to the tenant's
    /// `max_body_bytes`, else the client gets 413), so that `Request::body` is `Some` from then on. Not asked for
    /// requests without a body.
    fn needs_request_body(&self, head: &RequestHead) -> bool {
        let _ = head;
        false
    }

    /// The plugin's turn. It must not wait; a plugin that has to returns [`Flow::Later`].
    fn access(&self, request: &mut Request, exchange: &mut Exchange<'_>) -> Flow {
        let _ = (request, exchange);
        Flow::Continue
    }

    /// The rest of a turn whose `access` returned [`Flow::Later`]; a response ends the access phase. It bounds its own
    /// waiting.
    fn access_later<'a>(
        &'a self,
        request: &'a mut Request,
        exchange: &'a mut Exchange<'_>,
        outside: Outside<'a>,
    ) -> Waiting<'a> {
        let _ = (request, exchange, outside);
        Box::pin(ready(None))
    }

    /// Says what becomes of the request's body as it passes to the upstream, piece by piece; `None` leaves it alone. Asked
    /// after the access phase, for requests that have a body, once for all tries. Headers may still be edited.
    fn request_passage(&self, request: &mut Request, exchange: &mut Exchange<'_>) -> Option<Passage> {
        let _ = (request, exchange);
        None
    }

    /// Edits status and headers of a response on its way to the client; the request is as the upstream got it. Framing headers are not in the list and
    /// have no effect if they are put there.
    fn response(&self, request: &Request, response: &mut ResponseHead, exchange: &mut Exchange<'_>) {
        let _ = (request, response, exchange);
    }

    /// Asked after all `response` calls. `true` has the whole body read into memory; a body that is larger than the
    /// engine buffers is not passed on, the client gets 502 instead.
    fn needs_response_body(&self, response: &ResponseHead) -> bool {
        let _ = response;
        false
    }

    /// Replaces the body of a response by returning another one. `Content-Length` follows the body.
    ///
    /// # Errors
    /// [`Unfit`] has the client of an upstream's response get 502 instead, and a response of the gateway's own go without
    /// its body.
    fn response_body(
        &self,
        response: &ResponseHead,
        body: &[u8],
        exchange: &mut Exchange<'_>,
    ) -> Result<Option<Vec<u8>>, Unfit> {
        let _ = (response, body, exchange);
        Ok(None)
    }

    /// Says what becomes of the response's body as it passes to the client, piece by piece; `None` leaves it alone. Asked
    /// after all `response` calls, for responses that may have a body; answers to `HEAD` among them, whose headers have to
    /// be those that an answer to `GET` would have. Headers may still be edited. A body that a plugin wants whole passes after
    /// its edits.
    fn response_passage(&self, response: &mut ResponseHead, exchange: &mut Exchange<'_>) -> Option<Passage> {
        let _ = (response, exchange);
        None
    }

    /// Whether a stream of a client may go to its service. Asked once per connection, instead of all phases: a stream has
    /// no request.
    fn admits(&self, client: IpAddr) -> bool {
        let _ = client;
        true
    }

    /// Called when the response was sent or could not be.
    fn log(&self, record: &Record<'_>) {
        let _ = record;
    }

    /// The same for a stream that is over, or could not begin; of plugins that take part in `log`.
    fn log_stream(&self, record: &StreamRecord<'_>) {
        let _ = record;
    }
}

/// What became of a request.
pub struct Record<'a> {
    /// The request, as plugins left it.
    pub request: &'a Request,
    /// Its id.
    pub request_id: &'a str,
    /// The head that was sent.
    pub response: &'a ResponseHead,
    /// The status that the client got; 499 if it left before there was one.
    pub status: u16,
    /// Body bytes from the client.
    pub received_bytes: u64,
    /// Body bytes to the client.
    pub sent_bytes: u64,
    /// Milliseconds before the upstream was asked and until its response head, if it was asked.
    pub latency: Option<(u64, u64)>,
    /// Time from the request's head to the end of the response.
    pub elapsed: Duration,
    /// Who asked, if that is known.
    pub consumer: Option<&'a Arc<Consumer>>,
    /// What it was authenticated with, if that is known.
    pub credential: Option<&'a Credential>,
    /// What plugins have left.
    pub values: &'a Values,
    /// The configuration that it was served from.
    pub tenant: &'a Tenant,
    /// Its route, if it found one.
    pub route: Option<&'a Route>,
    /// The connection that it came on.
    pub peer: &'a Peer,
    /// What was noted on the way.
    pub account: &'a Account,
    /// When its head was there.
    pub started: Instant,
    pub(crate) worker: &'a Rc<Worker>,
    /// [`Record::document`], once it was asked for.
    pub(crate) document: OnceCell<Bytes>,
}

/// What became of a stream.
pub struct StreamRecord<'a> {
    /// The configuration that it was served from.
    pub tenant: &'a Tenant,
    /// Its route.
    pub route: &'a Route,
    /// The address of its client.
    pub client: IpAddr,
    /// The port that the client knows.
    pub port: u16,
    /// What both sides agreed on, if its TLS ended here.
    pub spoken: Option<Spoken>,
    /// 200 for one that came to its end, 403 for one that a plugin did not admit, 502 for one whose service could not be reached, and 500 for one that broke off.
    pub status: u16,
    /// Bytes from the client and to it.
    pub bytes: (u64, u64),
    /// Where its service was.
    pub service_at: Option<SocketAddr>,
    /// How long it took to be connected to.
    pub connecting: Duration,
    /// How long it lived, from the client's connection on.
    pub elapsed: Duration,
    pub(crate) worker: &'a Rc<Worker>,
    /// [`StreamRecord::document`], once it was asked for.
    pub(crate) document: OnceCell<Bytes>,
}

/// What somebody notes: of a request, or of a stream.
pub trait Noted {
    /// The thread and the tenant that it belongs to.
    fn of(&self) -> (&Rc<Worker>, &Tenant);
}

impl Noted for Record<'_> {
    fn of(&self) -> (&Rc<Worker>, &Tenant) {
        (self.worker, self.tenant)
    }
}

impl Noted for StreamRecord<'_> {
    fn of(&self) -> (&Rc<Worker>, &Tenant) {
        (self.worker, self.tenant)
    }
}
