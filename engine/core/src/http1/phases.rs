//! Running the phases of a request's plugins.

use std::cell::OnceCell;
use std::future::poll_fn;
use std::mem::take;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use super::asking::is_gone;
use super::connection::{After, Connection, LARGEST_BUFFERED};
use super::head::Framing;
use super::receive::NoBody;
use crate::config::tenant::{Route, Tenant};
use crate::gateway::decide::Routed;
use crate::logs::account::Turn;
use crate::message::{Known, Response};
use crate::phases::exchange::Later;
use crate::phases::outside::Outside;
use crate::phases::passage::{Passages, Unfit};
use crate::phases::{Exchange, Flow, Phases, Record, chain};

/// Headers that say where a message ends, and how; the first one only to clients that take no trailers.
const FRAMING: [Known; 6] = [
    Known::new("Trailer"),
    Known::new("Content-Length"),
    Known::new("Transfer-Encoding"),
    Known::new("Connection"),
    Known::new("Keep-Alive"),
    Known::new("Upgrade"),
];

/// How a phase ends that may answer the client.
pub(super) enum Verdict {
    /// The request goes on.
    Go,
    /// The client gets this.
    Answer(Response),
    /// There is nobody to answer.
    End(After),
}

/// What is known of an exchange for its log.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Outcome {
    status: u16,
    received_bytes: u64,
    sent_bytes: u64,
}

impl Connection {
    /// Runs `rewrite` of the plugins without a scope, and has their later phases run if there will be no route.
    pub(super) fn run_rewrite(&mut self, tenant: &Arc<Tenant>) -> Option<Response> {
        let chain = tenant.unrouted_chain(self.peer.scheme);
        if chain.slots.is_empty() {
            return None;
        }
        if !chain.later.is_empty() {
            let (tenant, chain) = (tenant.clone(), chain.clone());
            self.facts.later = Some(Later { tenant, routed: None, chain, chosen: Vec::new() });
        }
        let Self { request, facts, worker, .. } = self;
        for place in &chain.rewrite {
            let Some((instance, _)) = &chain.slots[*place].fixed else { continue };
            let mut exchange = Exchange { tenant, route: None, clock: &worker.shared.clock, facts };
            match instance.plugin.rewrite(request, &mut exchange) {
                Flow::Continue => {}
                Flow::Respond(response) => return Some(response),
                Flow::Later => return Some(unavailable()),
            }
        }
        None
    }

    /// Runs `access` of the route's plugins until one of them answers.
    pub(super) async fn run_access(&mut self, routed: &Routed, body_limit: Option<u64>) -> Verdict {
        let (tenant, route) = (&*routed.tenant, routed.route());
        let chain = route.chain(self.peer.scheme);
        let has_later = !chain.later.is_empty();
        self.facts.later = has_later.then(|| Later {
            tenant: routed.tenant.clone(),
            routed: Some(routed.clone()),
            chain: chain.clone(),
            chosen: Vec::new(),
        });
        let mut answer = None;
        self.account.routed = chain.notes_turns.then(Instant::now);
        for (place, slot) in chain.slots.iter().enumerate() {
            let consumer = self.facts.consumer.as_deref();
            let ids = Some((&*route.id, route.service_id.as_deref()));
            let Some(instance) = chain::pick(slot, &tenant.scoped, consumer, ids, chain.protocols) else { continue };
            if slot.scoped
                && let Some(later) = &mut self.facts.later
            {
                later.chosen.push((place, instance.clone()));
            }
            if answer.is_some() {
                continue;
            }
            if instance.phases.has(Phases::REQUEST_BODY)
                && self.request.body().is_none()
                && instance.plugin.needs_request_body(&self.request.head)
            {
                let limit = self.body_limit(body_limit.unwrap_or(LARGEST_BUFFERED));
                match self.buffer_body(limit).await {
                    Ok(()) => {}
                    Err(NoBody::Gone) => return self.left(tenant),
                    Err(NoBody::TooLarge) => answer = Some(self.too_large(tenant)),
                    Err(NoBody::Refused(status, message)) => answer = Some(Response::failure(status, message)),
                }
            }
            if answer.is_none() && instance.phases.has(Phases::ACCESS) {
                let began = chain.notes_turns.then(Instant::now);
                let Self { request, facts, worker, .. } = &mut *self;
                let mut exchange = Exchange { tenant, route: Some(route), clock: &worker.shared.clock, facts };
                match instance.plugin.access(request, &mut exchange) {
                    Flow::Continue => {}
                    Flow::Respond(response) => answer = Some(response),
                    Flow::Later => match self.rest_of_turn(tenant, route, instance).await {
                        Ok(turned) => answer = turned,
                        Err(_) => return self.left(tenant),
                    },
                }
                if let Some(began) = began {
                    self.account.turns.push(Turn { kind: slot.kind, began, took: began.elapsed() });
                }
            }
            if answer.is_some() && !has_later {
                break;
            }
        }
        answer.map_or(Verdict::Go, Verdict::Answer)
    }

    /// How long the request's body may be, where the tenant allows so much.
    pub(super) fn body_limit(&self, tenants: u64) -> u64 {
        self.facts.body_limit.map_or(tenants, |limit| limit.bytes.min(tenants))
    }

    /// The answer to a client whose body is longer.
    pub(super) fn too_large(&self, tenant: &Tenant) -> Response {
        let tenants = tenant.limits.max_body_bytes.filter(|limit| *limit > 0).unwrap_or(u64::MAX);
        match self.facts.body_limit.filter(|limit| limit.bytes < tenants) {
            Some(limit) => limit.refusal(),
            None => Response::failure(413, "Payload too large"),
        }
    }

    /// Nobody waits for an answer any more.
    fn left(&mut self, tenant: &Tenant) -> Verdict {
        self.answered(tenant, 499, 0, 0);
        Verdict::End(After::Close)
    }

    /// Waits for the rest of a plugin's turn.
    async fn rest_of_turn(
        &mut self,
        tenant: &Tenant,
        route: &Route,
        instance: &chain::Instance,
    ) -> Result<Option<Response>, NoBody> {
        let Self { request, facts, worker, stream, buffer, .. } = self;
        let mut exchange = Exchange { tenant, route: Some(route), clock: &worker.shared.clock, facts };
        let mut rest = instance.plugin.access_later(request, &mut exchange, Outside::new(worker, tenant));
        poll_fn(|cx| match rest.as_mut().poll(cx) {
            Poll::Ready(response) => Poll::Ready(Ok(response)),
            Poll::Pending if is_gone(cx, stream, buffer) => Poll::Ready(Err(NoBody::Gone)),
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    /// Asks plugins what becomes of the request's body as it passes.
    pub(super) fn request_passages(&mut self) -> Option<Box<Passages>> {
        let later = self.facts.later.take_if(|later| later.has(Phases::REQUEST_PASSAGE))?;
        let Self { request, facts, worker, .. } = self;
        let (clock, route) = (&worker.shared.clock, later.routed.as_ref().map(Routed::route));
        let asked = later.instances().filter(|instance| instance.phases.has(Phases::REQUEST_PASSAGE));
        let stages = asked.filter_map(|instance| {
            let mut exchange = Exchange { tenant: &later.tenant, route, clock, facts };
            instance.plugin.request_passage(request, &mut exchange)
        });
        let passages = Passages::new(stages.collect());
        facts.later = Some(later);
        (!passages.is_empty()).then(|| Box::new(passages))
    }

    /// Has plugins edit the head in `self.response`; afterwards framing is as it was, as far as they leave the body alone.
    /// What they do with a body that passes is in `self.passages` then.
    pub(super) fn edit_response_head(&mut self, may_have_body: bool) {
        self.passages = None;
        let Some(later) = self.facts.later.take() else {
            self.add_response_headers();
            return;
        };
        self.response.has_body = may_have_body;
        let length = self.response.headers.get("content-length").map(<[u8]>::to_vec);
        self.add_response_headers();
        let Self { request, response, facts, worker, .. } = self;
        let clock = &worker.shared.clock;
        let route = later.routed.as_ref().map(Routed::route);
        for instance in later.instances().filter(|instance| instance.phases.has(Phases::RESPONSE)) {
            let mut exchange = Exchange { tenant: &later.tenant, route, clock, facts };
            instance.plugin.response(request, response, &mut exchange);
        }
        let stages =
            later.instances().filter(|instance| may_have_body && instance.phases.has(Phases::RESPONSE_PASSAGE));
        let stages = stages.filter_map(|instance| {
            let mut exchange = Exchange { tenant: &later.tenant, route, clock, facts };
            instance.plugin.response_passage(response, &mut exchange)
        });
        let passages = Passages::new(stages.collect());
        // Where a message ends is not for plugins to say: two lengths would make two messages of it.
        let names = if self.framing.takes_trailers { &FRAMING[1..] } else { &FRAMING[..] };
        response.headers.remove_all(names);
        if let Some(length) = length.filter(|_| !passages.changes()) {
            let _ = response.headers.append("Content-Length", length);
        }
        facts.later = Some(later);
        self.passages = (!passages.is_empty()).then(|| Box::new(passages));
    }

    fn add_response_headers(&mut self) {
        self.response.headers.replace_all(&self.facts.response_headers);
        self.facts.response_headers.clear();
    }

    /// Whether a plugin wants the whole body of the response in `self.response`.
    pub(super) fn response_body_is_wanted(&self) -> bool {
        self.facts.later.as_ref().is_some_and(|later| {
            let wants = |instance: &&Arc<chain::Instance>| instance.phases.has(Phases::RESPONSE_BODY);
            later.instances().filter(wants).any(|instance| instance.plugin.needs_response_body(&self.response))
        })
    }

    /// Has plugins edit a whole body.
    pub(super) fn edit_response_body(&mut self, mut body: Vec<u8>) -> Result<Vec<u8>, Unfit> {
        let Some(later) = self.facts.later.take() else { return Ok(body) };
        let Self { response, facts, worker, .. } = self;
        let clock = &worker.shared.clock;
        let route = later.routed.as_ref().map(Routed::route);
        let mut edited = Ok(());
        for instance in later.instances().filter(|instance| instance.phases.has(Phases::RESPONSE_BODY)) {
            if edited.is_ok() && instance.plugin.needs_response_body(response) {
                let mut exchange = Exchange { tenant: &later.tenant, route, clock, facts };
                match instance.plugin.response_body(response, &body, &mut exchange) {
                    Ok(other) => body = other.unwrap_or(body),
                    Err(unfit) => edited = Err(unfit),
                }
            }
        }
        facts.later = Some(later);
        edited.map(|()| body)
    }

    /// Has a whole body pass plugins.
    pub(super) fn pass_response_body(&mut self, body: Vec<u8>) -> Result<Vec<u8>, Unfit> {
        match self.passages.take() {
            Some(mut passages) => passages.whole(&body),
            None => Ok(body),
        }
    }

    /// Counts an answer and keeps what the log will say of it.
    pub(super) fn answered(&mut self, tenant: &Tenant, status: u16, received_bytes: u64, sent_bytes: u64) {
        tenant.counters.answered(self.worker.index, status, received_bytes, sent_bytes);
        self.outcome = Outcome { status, received_bytes, sent_bytes };
    }

    /// Whether a plugin will get a record of the request.
    pub(super) fn is_logged(&self) -> bool {
        self.facts.later.as_ref().is_some_and(|later| later.has(Phases::LOG))
    }

    /// Runs `log` and forgets the request's facts.
    pub(super) fn finish(&mut self) {
        if let Some(later) = &self.facts.later {
            let Outcome { status, received_bytes, sent_bytes } = take(&mut self.outcome);
            let record = Record {
                request: &self.request,
                request_id: &self.request_id,
                response: &self.response,
                status,
                received_bytes,
                sent_bytes,
                latency: self.latency,
                elapsed: self.started.elapsed(),
                consumer: self.facts.consumer.as_ref(),
                credential: self.facts.credential.as_ref(),
                values: &self.facts.values,
                tenant: &later.tenant,
                route: later.routed.as_ref().map(Routed::route),
                peer: &self.peer,
                account: &self.account,
                started: self.started,
                worker: &self.worker,
                document: OnceCell::new(),
            };
            for instance in later.instances().filter(|instance| instance.phases.has(Phases::LOG)) {
                instance.plugin.log(&record);
            }
        }
        self.facts.clear();
    }

    /// Whether the request has no body that is still to come.
    pub(super) fn has_no_body(&self) -> bool {
        self.framing.framing == Framing::None
    }
}

/// The answer where something of the gateway itself went wrong.
fn unavailable() -> Response {
    Response::message(500, "An unexpected error occurred")
}
