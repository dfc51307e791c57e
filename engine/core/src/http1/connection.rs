//! A client's HTTP/1 connection: one request after the other, in one task.

use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::time::Instant;

use super::head::Framing;
use super::pace::Pace;
use super::phases::{Outcome, Verdict};
use super::pump::Pump;
use super::receive::NoHead;
use super::request::{self, RequestFraming};
use super::response::ResponseFraming;
use crate::budget::Admission;
use crate::clients::Presence;
use crate::config::tenant::Tenant;
use crate::counts::Share;
use crate::gateway::decide::{Peer, Routed, admit, over_budget, overloaded, route};
use crate::http2;
use crate::logs::Account;
use crate::message::{Arrival, Request, RequestHead, Response, ResponseHead, Version};
use crate::net::buffer::Buffer;
use crate::net::deadline::Deadline;
use crate::net::stream::Stream;
use crate::phases::Facts;
use crate::phases::passage::Passages;
use crate::worker::Worker;

/// Size of a client connection's read buffer while it is idle.
pub(crate) const READ_BUFFER: usize = 8 * 1024;
/// Largest body that plugins get if the tenant has no limit of its own.
pub(super) const LARGEST_BUFFERED: u64 = 16 * 1024 * 1024;

/// What becomes of the connection after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// The next request.
    KeepAlive,
    /// The end.
    Close,
    /// The end, but the client may still be sending.
    Linger,
    /// The end, in the middle of a message that would look complete otherwise.
    Reset,
}

/// A client's connection with everything that is reused from request to request.
pub struct Connection {
    pub(crate) worker: Rc<Worker>,
    pub(crate) stream: Stream,
    pub(crate) buffer: Buffer,
    pub(crate) peer: Peer,
    pub(crate) deadline: Deadline,
    pub(crate) request: Request,
    pub(crate) framing: RequestFraming,
    pub(crate) response: ResponseHead,
    pub(crate) response_framing: ResponseFraming,
    pub(crate) up: Pump,
    pub(crate) down: Pump,
    pub(crate) pace: Pace,
    pub(crate) prefix: Vec<u8>,
    pub(crate) request_id: String,
    pub(crate) started: Instant,
    /// Milliseconds before and at the upstream, once one was asked.
    pub(crate) latency: Option<(u64, u64)>,
    /// Body bytes that were in memory before the upstream was asked.
    pub(crate) kept_bytes: u64,
    /// What plugins found out about the request.
    pub(crate) facts: Facts,
    pub(super) outcome: Outcome,
    /// What is noted for plugins that log.
    pub(super) account: Account,
    /// The response's body, if plugins worked on it.
    pub(super) rewritten: Option<Vec<u8>>,
    /// What plugins do with the response's body as it passes.
    pub(super) passages: Option<Box<Passages>>,
    /// The protocol that the client speaks, where it is not this one.
    pub(crate) front: Version,
    /// The part of the memory for request bodies that this request's body takes.
    pub(super) buffered: Option<Share>,
    /// When the connection was made.
    pub(super) opened: Instant,
    pub(super) served: bool,
    pub(super) presence: Rc<Presence>,
}

impl Connection {
    /// A connection; through `presence` the worker learns when it may be closed.
    #[must_use]
    pub fn new(worker: Rc<Worker>, stream: Stream, peer: Peer, presence: Rc<Presence>) -> Self {
        let scheme = peer.scheme;
        let deadline = Deadline::after(worker.shared.timeouts.idle);
        let nobody = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let mut request = Request::new(RequestHead::default(), nobody, scheme, String::new());
        request.arrival = Arrival::on(peer.local);
        Self {
            worker,
            stream,
            buffer: Buffer::with_size(READ_BUFFER),
            peer,
            deadline,
            request,
            framing: RequestFraming::default(),
            response: ResponseHead::default(),
            response_framing: ResponseFraming::default(),
            up: Pump::default(),
            down: Pump::default(),
            pace: Pace::default(),
            prefix: Vec::new(),
            request_id: String::new(),
            started: Instant::now(),
            latency: None,
            kept_bytes: 0,
            facts: Facts::default(),
            outcome: Outcome::default(),
            account: Account::default(),
            rewritten: None,
            passages: None,
            front: Version::Http11,
            buffered: None,
            opened: Instant::now(),
            served: false,
            presence,
        }
    }

    /// Serves requests until the connection ends.
    pub async fn serve(mut self) {
        loop {
            let after = match self.read_head().await {
                Ok(length) => self.serve_one(length).await,
                Err(NoHead::Gone) => After::Close,
                Err(NoHead::Refused(status, message)) => self.refuse(status, message).await,
                Err(NoHead::Http2) => {
                    let served = http2::serve(self.worker, self.stream, self.buffer, self.peer, self.presence);
                    return Box::pin(served).await;
                }
            };
            match after {
                After::KeepAlive if !self.worker.stopping.get() => self.release(),
                After::KeepAlive | After::Close => return self.close(false).await,
                After::Linger => return self.close(true).await,
                After::Reset => return self.reset(),
            }
        }
    }

    /// Gives back what a large exchange has left allocated, before the connection may lie idle.
    fn release(&mut self) {
        self.buffer.shrink(READ_BUFFER);
        self.up.release();
        self.down.release();
        self.request.start();
        self.buffered = None;
    }

    async fn serve_one(&mut self, length: usize) -> After {
        self.started = Instant::now();
        self.latency = None;
        self.kept_bytes = 0;
        self.account.start(length);
        self.worker.request_id(&mut self.request_id);
        let bytes = self.buffer.data().get(..length).unwrap_or_default();
        self.request.scheme = self.peer.scheme;
        self.request.arrival.requests += 1;
        let parsed = request::parse(bytes, &mut self.request.head, &mut self.framing, &mut self.request.host);
        self.request.in_chunks = self.framing.framing == Framing::Chunked;
        self.request.expects_continue = self.framing.expects_continue;
        self.buffer.consume(length);
        if parsed.is_err() {
            return self.refuse(400, "Bad request").await;
        }
        // A tunnel is nothing that a route could lead to, and a trace would show the client what plugins added.
        if matches!(self.request.head.method(), b"CONNECT" | b"TRACE") {
            return self.refuse(405, "Method not allowed").await;
        }
        if self.front == Version::Http2 {
            self.request.head.version = Version::Http2;
        }
        let after = self.serve_parsed().await;
        self.finish();
        after
    }

    async fn serve_parsed(&mut self) -> After {
        let (tenant, trusted) = match admit(&self.worker.shared.store.hosts, &self.peer, &mut self.request) {
            Ok(admitted) => admitted,
            Err(response) => {
                self.worker.shared.counts.without_tenant();
                return self.respond(None, &response).await;
            }
        };
        // Held until the exchange is over.
        let _admission = match self.charge(&tenant) {
            Ok(admission) => admission,
            Err(response) => return self.respond(Some(&tenant), &response).await,
        };
        if let Some(response) = self.run_rewrite(&tenant) {
            return self.respond(Some(&tenant), &response).await;
        }
        let (thread, whose) = (self.worker.index, (&tenant, trusted));
        match route(thread, whose, &self.peer, &self.framing, &mut self.request, &mut self.prefix) {
            Ok(routed) => self.serve_routed(&routed).await,
            Err(response) => self.respond(Some(&tenant), &response).await,
        }
    }

    /// Takes a request from its tenant's budget, before anything is done for it: turning one away has to stay cheaper
    /// than serving it.
    fn charge(&mut self, tenant: &Tenant) -> Result<Admission, Response> {
        let Self { worker, peer, started, framing, .. } = self;
        let (counters, limits) = (&tenant.counters, &tenant.limits);
        let attached = peer.attachment.attach(tenant.number, &counters.budget, limits);
        // A connection that is one too many is to go, not to ask again.
        framing.keep_alive &= attached.is_ok();
        let admitted = attached.and_then(|()| counters.budget.admit(limits, || worker.shared.clock.at(*started)));
        let Ok(admission) = admitted else {
            counters.over_budget(worker.index);
            return Err(over_budget());
        };
        if !worker.load.admits(counters.recent(worker.index), || worker.random()) {
            counters.shed(worker.index);
            return Err(overloaded());
        }
        Ok(admission)
    }

    async fn serve_routed(&mut self, routed: &Routed) -> After {
        let tenant = &routed.tenant;
        let limit = tenant.limits.max_body_bytes.filter(|limit| *limit > 0);
        if let (Framing::Length(length), Some(limit)) = (self.framing.framing, limit)
            && length > limit
        {
            return self.respond(Some(tenant), &Response::failure(413, "Payload too large")).await;
        }
        if self.has_no_body() {
            self.request.buffer_body(bytes::Bytes::new());
        } else {
            self.pace.start(self.worker.shared.timeouts.slowest_body);
        }
        if !routed.route().chain(self.peer.scheme).slots.is_empty() {
            match self.run_access(routed, limit).await {
                Verdict::Go => {}
                Verdict::Answer(response) => return self.respond(Some(tenant), &response).await,
                Verdict::End(after) => return after,
            }
        }
        let Some(service) = routed.route().service.clone() else {
            return self.respond(Some(tenant), &Response::message(503, "no Service found with those values")).await;
        };
        let limit = self.body_limit(limit.unwrap_or(u64::MAX));
        self.forward(routed, &service, limit).await
    }
}
