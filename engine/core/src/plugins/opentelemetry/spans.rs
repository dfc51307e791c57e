//! The spans and the record of a request, as fields of what is sent.

use std::time::{Duration, Instant};

use super::wire::Message;
use crate::message::Version;
use crate::phases::Record;
use crate::plugins::REGISTRY;
use crate::traces::context::{SpanId, Trace};

/// Kinds of spans, as OTLP numbers them.
#[derive(Clone, Copy)]
enum Kind {
    Internal = 1,
    Server = 2,
    Client = 3,
}

/// Something failed, as OTLP numbers it.
const ERROR: u64 = 2;
/// Severities of records: of those that tell of failures of services or of the gateway, and of all others.
const SEVERITIES: [(u64, &str); 2] = [(17, "ERROR"), (9, "INFO")];
/// The field that spans, and records, are of what is around them.
const ITEM: u32 = 2;
/// The fields of their attributes.
const OF_SPAN: u32 = 9;
const OF_RECORD: u32 = 6;

/// What every span says.
struct Span<'s> {
    trace: &'s Trace,
    id: SpanId,
    parent: Option<SpanId>,
    kind: Kind,
    name: &'s str,
    began: Duration,
    ended: Duration,
    is_error: bool,
}

impl Span<'_> {
    fn write(self, out: &mut Message, attributes: impl FnOnce(&mut Message)) {
        out.message(ITEM, |span| {
            span.bytes(1, self.trace.id.bytes());
            span.bytes(2, &self.id.0);
            if let Some(parent) = self.parent {
                span.bytes(4, &parent.0);
            }
            span.text(5, self.name);
            span.number(6, self.kind as u64);
            span.fixed64(7, nanos(self.began));
            span.fixed64(8, nanos(self.ended.max(self.began)));
            attributes(span);
            if self.is_error {
                span.message(15, |status| status.number(3, ERROR));
            }
        });
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// When a request ended and began, since the epoch.
fn bounds(record: &Record<'_>) -> (Duration, Duration) {
    let ended = record.worker.shared.clock.since_epoch();
    (ended.saturating_sub(record.elapsed), ended)
}

/// The tree of spans: the request's, and in it those of the router, of plugins and of tries.
pub(super) fn of(trace: &Trace, record: &Record<'_>) -> Vec<u8> {
    let (began, ended) = bounds(record);
    let at = |moment: Instant| began + (moment - record.started);
    let mut out = Message::default();
    let root = Span {
        trace,
        id: trace.root,
        parent: trace.parent,
        kind: Kind::Server,
        name: "kong",
        began,
        ended,
        is_error: record.status >= 500,
    };
    root.write(&mut out, |span| write_request(span, OF_SPAN, record));
    if let Some(routed) = record.account.routed {
        inner(trace, "kong.router", began, at(routed)).write(&mut out, |_| {});
    }
    for turn in &record.account.turns {
        let name = format!("kong.access.plugin.{}", REGISTRY[turn.kind].name);
        inner(trace, &name, at(turn.began), at(turn.began) + turn.took).write(&mut out, |_| {});
    }
    write_tries(&mut out, trace, record, (began, ended));
    out.finish()
}

/// A span of the gateway's own work.
fn inner<'s>(trace: &'s Trace, name: &'s str, began: Duration, ended: Duration) -> Span<'s> {
    let (id, parent) = (SpanId::new(), Some(trace.root));
    Span { trace, id, parent, kind: Kind::Internal, name, began, ended, is_error: false }
}

/// A span for each try. The last one is what the service was told of.
fn write_tries(out: &mut Message, trace: &Trace, record: &Record<'_>, (began, ended): (Duration, Duration)) {
    let tries = &record.account.tries;
    let answered = record.latency.map_or(ended, |(before, waiting)| began + Duration::from_millis(before + waiting));
    let service = record.route.and_then(|route| route.service.as_ref()).and_then(|service| service.logged.spec());
    for (index, attempt) in tries.iter().enumerate() {
        let next = tries.get(index + 1);
        let span = Span {
            trace,
            id: if next.is_none() { trace.outgoing } else { SpanId::new() },
            parent: Some(trace.root),
            kind: Kind::Client,
            name: "kong.balancer",
            began: began + (attempt.began - record.started),
            ended: next.map_or(answered.min(ended), |next| began + (next.began - record.started)),
            is_error: attempt.failure.is_some(),
        };
        span.write(out, |span| {
            span.attribute(OF_SPAN, "net.peer.ip", attempt.address.ip().to_string());
            span.number_attribute(OF_SPAN, "net.peer.port", attempt.address.port().into());
            if let Some(service) = service {
                span.attribute(OF_SPAN, "net.peer.name", &service.host);
            }
            span.number_attribute(OF_SPAN, "try_count", index as u64 + 1);
            if let Some(status) = attempt.failure {
                span.number_attribute(OF_SPAN, "http.status_code", status.into());
            }
        });
    }
}

/// What is known of a request, as attributes.
fn write_request(out: &mut Message, field: u32, record: &Record<'_>) {
    let (request, head) = (record.request, &record.request.head);
    let scheme = request.scheme.as_str();
    let mut url = format!("{scheme}://{}", request.host).into_bytes();
    url.extend_from_slice(head.path());
    if let Some(query) = head.query() {
        url.push(b'?');
        url.extend_from_slice(query);
    }
    let flavor = match head.version {
        Version::Http10 => "1.0",
        Version::Http11 => "1.1",
        Version::Http2 => "2.0",
    };
    out.attribute(field, "http.method", head.method());
    out.attribute(field, "http.url", url);
    out.attribute(field, "http.host", &request.host);
    out.attribute(field, "http.scheme", scheme);
    out.attribute(field, "http.flavor", flavor);
    out.attribute(field, "http.client_ip", request.client_ip.to_string());
    out.attribute(field, "net.peer.ip", record.peer.address.to_string());
    out.number_attribute(field, "http.status_code", record.status.into());
    out.attribute(field, "kong.request.id", record.request_id);
    let route = record.route.and_then(|route| route.logged.spec());
    if let Some(path) = route.and_then(|route| route.paths.as_ref()).and_then(|paths| paths.first()) {
        out.attribute(field, "http.route", path);
    }
}

/// The record of a request: the document that all log plugins send, with what is asked for most beside it.
pub(super) fn record(trace: &Trace, record: &Record<'_>) -> Vec<u8> {
    let (began, ended) = bounds(record);
    let (severity, text) = SEVERITIES[usize::from(record.status < 500)];
    let mut out = Message::default();
    out.message(ITEM, |log| {
        log.fixed64(1, nanos(began));
        log.fixed64(11, nanos(ended));
        log.number(2, severity);
        log.text(3, text);
        log.message(5, |body| body.text(1, record.document()));
        write_request(log, OF_RECORD, record);
        log.fixed32(8, u32::from(trace.is_sampled));
        log.bytes(9, trace.id.bytes());
        log.bytes(10, &trace.root.0);
    });
    out.finish()
}
