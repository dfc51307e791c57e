//! What all authentication plugins have in common: how they combine, and what upstreams learn.
//!
//! Plugins without `anonymous` must all succeed, and the last one decides who asks. Plugins with it need not: the first
//! that succeeds decides, and if none does, the anonymous consumer asks.
//!
//! Source: Kong Gateway docs, authentication reference ("multiple authentication", "anonymous access").

use std::sync::Arc;

use crate::config::directory::Consumer;
use crate::message::{Headers, Request, Response};
use crate::phases::exchange::Credential;
use crate::phases::{Exchange, Flow};

/// Whether an earlier plugin has found a credential and this one does not insist on one.
pub(super) fn is_settled(anonymous: Option<&str>, exchange: &Exchange<'_>) -> bool {
    anonymous.is_some() && exchange.facts.credential.is_some()
}

/// Makes a found consumer the one who asks.
pub(super) fn accept(
    request: &mut Request,
    exchange: &mut Exchange<'_>,
    consumer: Arc<Consumer>,
    credential: Credential,
) {
    identify(&mut request.head.headers, &consumer, Some(&credential));
    (exchange.facts.consumer, exchange.facts.credential) = (Some(consumer), Some(credential));
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
    identify(&mut request.head.headers, &consumer, None);
    (exchange.facts.consumer, exchange.facts.credential) = (Some(consumer), None);
    None
}

/// The same as the end of a turn.
pub(super) fn flow(response: Option<Response>) -> Flow {
    response.map_or(Flow::Continue, Flow::Respond)
}

/// Tells the upstream who asks. What the client says about that is taken out: nobody introduces himself.
fn identify(headers: &mut Headers, consumer: &Consumer, credential: Option<&Credential>) {
    let mut tell = |name: &str, value: Option<&str>| {
        // A name that is no header value is not told; a client's own word must not stand in its place.
        if value.is_none_or(|value| headers.set(name, value).is_err()) {
            headers.remove(name);
        }
    };
    tell("X-Consumer-ID", Some(&consumer.id));
    tell("X-Consumer-Custom-ID", consumer.custom_id.as_deref());
    tell("X-Consumer-Username", consumer.username.as_deref());
    tell("X-Credential-Identifier", credential.map(|credential| &*credential.identifier));
    tell("X-Anonymous-Consumer", if credential.is_none() { Some("true") } else { None });
}

/// An `anonymous` of the configuration; an empty one is none.
pub(super) fn anonymous(configured: Option<String>) -> Option<Box<str>> {
    configured.filter(|anonymous| !anonymous.is_empty()).map(Into::into)
}
