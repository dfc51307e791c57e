//! What all authentication plugins have in common: how they combine, and what upstreams learn.
//!
//! Plugins without `anonymous` must all succeed, and the last one decides who asks. Plugins with it need not: the first
//! that succeeds decides, and if none does, the anonymous consumer asks.
//!
//! Source: Kong Gateway docs, authentication reference ("multiple authentication", "anonymous access").

use std::sync::Arc;

use crate::config::directory::Consumer;
use crate::message::{Headers, Known, Request, Response, Version};
use crate::phases::exchange::Credential;
use crate::phases::{Exchange, Flow};

/// Names of groups that an authentication plugin has found out without asking the configuration, in order.
#[derive(Debug, Default)]
pub struct AuthenticatedGroups(pub Box<[Box<str>]>);

/// Whether an earlier plugin has found a credential and this one does not insist on one.
pub(super) fn is_settled(anonymous: Option<&str>, exchange: &Exchange<'_>) -> bool {
    anonymous.is_some() && exchange.facts.credential.is_some()
}

/// What upstreams were told of whom a connection's last request came from, so that the same lines need not be made again.
pub struct Identity {
    consumer: Arc<Consumer>,
    identifier: Arc<str>,
    lines: Headers,
}

/// Makes a found consumer the one who asks.
pub(super) fn accept(
    request: &mut Request,
    exchange: &mut Exchange<'_>,
    consumer: Arc<Consumer>,
    credential: Credential,
) {
    let facts = &mut *exchange.facts;
    match &mut facts.last_identity {
        Some(last) if last.is(&consumer, &credential) => introduce(&mut request.head.headers, &last.lines),
        last => {
            let lines = identity(&consumer, Some(&credential));
            introduce(&mut request.head.headers, &lines);
            // A stream of HTTP/2 ends with its request: there is nothing to remember for.
            if request.head.version != Version::Http2 {
                let (consumer, identifier) = (consumer.clone(), credential.identifier.clone());
                *last = Some(Box::new(Identity { consumer, identifier, lines }));
            }
        }
    }
    (facts.consumer, facts.credential) = (Some(consumer), Some(credential));
}

/// Makes a credential the one who asks that no consumer belongs to.
pub(super) fn accept_alone(request: &mut Request, exchange: &mut Exchange<'_>, credential: Credential) {
    let mut lines = Headers::new();
    // A name that is no header value is not told.
    let _ = lines.append_known(IDENTITY[3], &*credential.identifier);
    introduce(&mut request.head.headers, &lines);
    (exchange.facts.consumer, exchange.facts.credential) = (None, Some(credential));
}

impl Identity {
    /// Whether these very objects were introduced: they live as long as they are remembered, so nobody else takes their place.
    fn is(&self, consumer: &Arc<Consumer>, credential: &Credential) -> bool {
        Arc::ptr_eq(&self.consumer, consumer) && Arc::ptr_eq(&self.identifier, &credential.identifier)
    }
}

/// What becomes of a request without a valid credential.
pub(super) fn reject(
    anonymous: Option<&str>,
    request: &mut Request,
    exchange: &mut Exchange<'_>,
    refusal: Response,
) -> Option<Response> {
    let Some(anonymous) = anonymous else { return Some(refusal) };
    let Some(consumer) = exchange.tenant.directory.consumer(anonymous).cloned() else {
        let message = format!("anonymous consumer {anonymous} is configured but doesn't exist");
        return Some(Response::message(500, message));
    };
    introduce(&mut request.head.headers, &identity(&consumer, None));
    (exchange.facts.consumer, exchange.facts.credential) = (Some(consumer), None);
    None
}

/// The same as the end of a turn.
pub(super) fn flow(response: Option<Response>) -> Flow {
    response.map_or(Flow::Continue, Flow::Respond)
}

/// The headers that tell the upstream who asks.
const IDENTITY: [Known; 5] = [
    Known::new("X-Consumer-ID"),
    Known::new("X-Consumer-Custom-ID"),
    Known::new("X-Consumer-Username"),
    Known::new("X-Credential-Identifier"),
    Known::new("X-Anonymous-Consumer"),
];

/// Tells the upstream who asks. What the client says about that is taken out: nobody introduces himself.
fn introduce(headers: &mut Headers, identity: &Headers) {
    headers.remove_all(&IDENTITY);
    headers.append_all(identity);
}

fn identity(consumer: &Consumer, credential: Option<&Credential>) -> Headers {
    let mut lines = Headers::new();
    let values = [
        Some(&*consumer.id),
        consumer.custom_id.as_deref(),
        consumer.username.as_deref(),
        credential.map(|credential| &*credential.identifier),
        if credential.is_none() { Some("true") } else { None },
    ];
    for (name, value) in IDENTITY.into_iter().zip(values) {
        // A name that is no header value is not told.
        let _ = value.map(|value| lines.append_known(name, value));
    }
    lines
}

/// An `anonymous` of the configuration; an empty one is none.
pub(super) fn anonymous(configured: Option<String>) -> Option<Box<str>> {
    configured.filter(|anonymous| !anonymous.is_empty()).map(Into::into)
}
