//! What plugins share about one request.

use std::sync::Arc;

use super::Phases;
use super::chain::{Chain, Instance};
use super::values::Values;
use crate::clock::Clock;
use crate::config::directory::{Consumer, LastKey};
use crate::config::tenant::{Route, Tenant};
use crate::gateway::decide::Routed;
use crate::message::{Headers, Response};
use crate::plugins::{Identity, LastCaller};

/// One request's surroundings, as a plugin sees them during its turn.
pub struct Exchange<'a> {
    /// The configuration that the request is served from.
    pub tenant: &'a Tenant,
    /// The route; `None` in `rewrite`, and later if there is none.
    pub route: Option<&'a Route>,
    /// The time. Reading it is a system call's worth: only who needs it does.
    pub clock: &'a Clock,
    /// What plugins have found out so far.
    pub facts: &'a mut Facts,
}

/// Who a request was authenticated with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// The credential entity's id.
    pub id: Arc<str>,
    /// What upstreams see of it.
    pub identifier: Arc<str>,
}

/// How long a request's body may be, and what is said of a longer one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyLimit {
    /// Bytes.
    pub bytes: u64,
    /// Whether the client has asked before sending it.
    pub expects: bool,
}

impl BodyLimit {
    /// The answer to a client whose body is longer.
    #[must_use]
    pub fn refusal(self) -> Response {
        Response::message(if self.expects { 417 } else { 413 }, "Request size limit exceeded")
    }
}

/// What is found out about a request while it is served. A connection reuses it; as long as nothing is found out,
/// neither filling nor clearing it costs anything.
#[derive(Default)]
pub struct Facts {
    /// The consumer; the anonymous one, too.
    pub consumer: Option<Arc<Consumer>>,
    /// The credential; none for the anonymous consumer.
    pub credential: Option<Credential>,
    /// Headers that whatever response the client gets has, instead of those that it has of the same name.
    pub response_headers: Headers,
    /// What one plugin leaves for another.
    pub values: Values,
    /// What plugins allow its body, beside the bound of the tenant. Whoever reads the body after their turn keeps to it.
    pub body_limit: Option<BodyLimit>,
    /// The key that the connection's last request was authenticated with. It outlives the request.
    pub(crate) last_key: Option<LastKey>,
    /// How the connection's last caller was introduced. It outlives the request.
    pub(crate) last_identity: Option<Box<Identity>>,
    /// Whom the connection's last request was counted for. It outlives the request.
    pub(crate) last_caller: Option<Box<LastCaller>>,
    /// Set if plugins take part in later phases.
    pub(crate) later: Option<Later>,
}

/// Where the later phases find their plugins.
pub(crate) struct Later {
    pub(crate) tenant: Arc<Tenant>,
    pub(crate) routed: Option<Routed>,
    pub(crate) chain: Arc<Chain>,
    /// Instances that depend on the consumer, as they were when their turn came, by place in the chain.
    pub(crate) chosen: Vec<(usize, Arc<Instance>)>,
}

impl Facts {
    /// Has the request's body be no longer than this, and no longer than was said before.
    pub fn limit_body(&mut self, limit: BodyLimit) {
        if self.body_limit.is_none_or(|known| limit.bytes < known.bytes) {
            self.body_limit = Some(limit);
        }
    }

    /// Forgets the request, but not what is remembered of the connection.
    pub(crate) fn clear(&mut self) {
        if self.consumer.is_some() || self.credential.is_some() {
            (self.consumer, self.credential) = (None, None);
        }
        self.body_limit = None;
        if !self.response_headers.is_empty() {
            self.response_headers.clear();
        }
        if !self.values.is_empty() {
            self.values.clear();
        }
        if self.later.is_some() {
            self.later = None;
        }
    }

    /// Whether a response has to be looked at before it goes to the client.
    pub(crate) fn touches_response(&self) -> bool {
        self.later.is_some() || !self.response_headers.is_empty()
    }
}

impl Later {
    /// Whether an instance takes part in one of the phases.
    pub(crate) fn has(&self, phases: Phases) -> bool {
        self.instances().any(|instance| instance.phases.has(phases))
    }

    /// The instances that take part in later phases, in order of priority.
    pub(crate) fn instances(&self) -> impl Iterator<Item = &Arc<Instance>> {
        self.chain.later.iter().filter_map(|place| {
            let chosen = self.chosen.iter().find(|(index, _)| index == place).map(|(_, instance)| instance);
            match &self.chain.slots[*place] {
                slot if slot.scoped => chosen,
                slot => slot.fixed.as_ref().map(|(instance, _)| instance),
            }
        })
    }
}
