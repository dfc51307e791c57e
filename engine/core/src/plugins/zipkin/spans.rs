//! The spans of a request: its own, that of what the service took, and one for each try.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::{Flavor, SpanName, Words};
use crate::logs::json::{self, Object};
use crate::message::Version;
use crate::phases::Record;
use crate::traces::context::{SpanId, Trace};

/// Tags that a client may give.
const MOST_TAGS: usize = 32;

/// When the phases of an exchange began and ended, since the epoch.
struct Times {
    began: Duration,
    /// When the route was known.
    routed: Duration,
    /// When the service was asked, or an answer made without it.
    asked: Duration,
    /// When the head of the answer was there.
    answered: Duration,
    ended: Duration,
}

/// A span that is written.
struct Span<'s> {
    id: SpanId,
    parent: Option<SpanId>,
    kind: &'static str,
    name: &'s str,
    began: Duration,
    ended: Duration,
    remote: Option<(Option<&'s str>, SocketAddr)>,
}

impl Times {
    fn of(record: &Record<'_>) -> Self {
        let ended = record.worker.shared.clock.since_epoch();
        let began = ended.saturating_sub(record.elapsed);
        let routed = record.account.routed.map_or(began, |moment| began + (moment - record.started));
        let (asked, answered) = match record.latency {
            Some((before, waiting)) => {
                let asked = (began + Duration::from_millis(before)).clamp(routed, ended.max(routed));
                (asked, (asked + Duration::from_millis(waiting)).min(ended))
            }
            None => (ended, ended),
        };
        Self { began, routed, asked, answered, ended }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl Words {
    /// The spans as JSON objects, with commas between.
    pub(super) fn spans(&self, trace: &Trace, record: &Record<'_>) -> Vec<u8> {
        let times = Times::of(record);
        let mut name = String::from_utf8_lossy(record.request.head.method()).into_owned();
        if self.name == SpanName::MethodPath {
            name.push(' ');
            name.push_str(&String::from_utf8_lossy(record.request.head.path()));
        }
        let mut out = Vec::with_capacity(2048);
        self.write_request(&mut out, trace, record, &times, &name);
        if record.account.is_proxied {
            out.push(b',');
            self.write_proxy(&mut out, trace, record, &times, &name);
            self.write_tries(&mut out, trace, record, &times, &name);
        }
        out
    }

    fn write_request(&self, out: &mut Vec<u8>, trace: &Trace, record: &Record<'_>, times: &Times, name: &str) {
        let client = SocketAddr::new(record.request.client_ip, record.peer.port);
        let span = Span {
            id: trace.root,
            parent: trace.parent,
            kind: "SERVER",
            name,
            began: times.began,
            ended: times.ended,
            remote: Some((None, client)),
        };
        let annotations = [("krs", times.began), ("krf", times.routed)];
        self.write(out, trace, &span, &annotations, |tags| {
            let head = &record.request.head;
            tags.text("lc", "kong");
            tags.text("http.method", head.method());
            tags.text("http.host", &record.request.host);
            tags.text("http.path", head.path());
            tags.text("http.protocol", if head.version == Version::Http2 { "HTTP/2" } else { "HTTP/1.1" });
            tags.text("http.status_code", record.status.to_string());
            if let Some(consumer) = record.consumer {
                tags.text("kong.consumer", &*consumer.id);
            }
            if let Some(credential) = record.credential.filter(|_| self.has_credential) {
                tags.text("kong.credential", &*credential.id);
            }
            for tag in &self.static_tags {
                tags.text(&tag.name, &tag.value);
            }
            self.write_clients_tags(tags, record);
            if self.flavor == Flavor::Tags {
                tags.text("kong.rewrite.duration_ms", times.routed.saturating_sub(times.began).as_millis().to_string());
            }
        });
    }

    /// Tags that the client gives, as `name=value; name=value`; none of those that are there already.
    fn write_clients_tags(&self, tags: &mut Object<'_>, record: &Record<'_>) {
        let Some(text) = record.request.head.headers.get(&self.tags_header) else { return };
        let text = String::from_utf8_lossy(text);
        let mut given: Vec<&str> = Vec::new();
        for (name, value) in text.split(';').filter_map(|tag| tag.split_once('=')).take(MOST_TAGS) {
            let (name, value) = (name.trim(), value.trim());
            let is_own = name == "lc" || name == "error" || name.starts_with("http.") || name.starts_with("kong.");
            let is_static = self.static_tags.iter().any(|tag| tag.name == name);
            if !name.is_empty() && !is_own && !is_static && !given.contains(&name) {
                tags.text(name, value);
                given.push(name);
            }
        }
    }

    fn write_proxy(&self, out: &mut Vec<u8>, trace: &Trace, record: &Record<'_>, times: &Times, name: &str) {
        let route = record.route.map(|route| &*route.id);
        let route_name = record.route.and_then(|route| route.logged.spec()).and_then(|route| route.name.as_deref());
        let service = record.route.and_then(|route| route.service.as_ref()).and_then(|service| service.logged.spec());
        let service_name = service.and_then(|service| service.name.as_deref()).or(self.default_service.as_deref());
        let span = Span {
            id: trace.outgoing,
            parent: Some(trace.root),
            kind: "CLIENT",
            name: &format!("{name} (proxy)"),
            began: times.routed,
            ended: times.ended,
            remote: record.account.tries.last().map(|attempt| (service_name, attempt.address)),
        };
        let annotations = [
            ("kas", times.routed),
            ("kaf", times.asked),
            ("khs", times.answered),
            ("khf", times.answered),
            ("kbs", times.answered),
            ("kbf", times.ended),
        ];
        self.write(out, trace, &span, &annotations, |tags| {
            tags.text("lc", "kong");
            if let Some(service) = service {
                tags.text("kong.service", &service.id);
                tags.text("peer.hostname", &service.host);
                if let Some(name) = &service.name {
                    tags.text("kong.service_name", name);
                }
            }
            if let Some(route) = route {
                tags.text("kong.route", route);
            }
            if let Some(name) = route_name {
                tags.text("kong.route_name", name);
            }
            if self.flavor == Flavor::Tags {
                tags.text("kong.access.duration_ms", times.asked.saturating_sub(times.routed).as_millis().to_string());
                tags.text("kong.header_filter.duration_ms", "0");
                tags.text(
                    "kong.body_filter.duration_ms",
                    times.ended.saturating_sub(times.answered).as_millis().to_string(),
                );
            }
        });
    }

    fn write_tries(&self, out: &mut Vec<u8>, trace: &Trace, record: &Record<'_>, times: &Times, name: &str) {
        let tries = &record.account.tries;
        let service = record.route.and_then(|route| route.service.as_ref()).and_then(|service| service.logged.spec());
        let service = service.and_then(|service| service.name.as_deref()).or(self.default_service.as_deref());
        for (index, attempt) in tries.iter().enumerate() {
            let began = times.began + (attempt.began - record.started);
            let next = tries.get(index + 1).map(|next| times.began + (next.began - record.started));
            let span = Span {
                id: SpanId::new(),
                parent: Some(trace.root),
                kind: "CLIENT",
                name: &format!("{name} (balancer try {})", index + 1),
                began,
                ended: next.unwrap_or(times.answered).max(began),
                remote: Some((service, attempt.address)),
            };
            out.push(b',');
            self.write(out, trace, &span, &[], |tags| {
                tags.text("kong.balancer.try", (index + 1).to_string());
                if let Some(status) = attempt.failure {
                    tags.text("error", "true");
                    tags.text("kong.balancer.state", "failed");
                    tags.text("http.status_code", status.to_string());
                }
            });
        }
    }

    fn write(
        &self,
        out: &mut Vec<u8>,
        trace: &Trace,
        span: &Span<'_>,
        annotations: &[(&str, Duration)],
        tags: impl FnOnce(&mut Object<'_>),
    ) {
        Object::write(out, |object| {
            object.text("traceId", trace.id.to_string());
            object.text("id", span.id.to_string());
            if let Some(parent) = span.parent {
                object.text("parentId", parent.to_string());
            }
            object.text("kind", span.kind);
            object.text("name", span.name);
            object.number("timestamp", micros(span.began));
            object.number("duration", micros(span.ended.saturating_sub(span.began)).max(1));
            object.object("localEndpoint", |local| local.text("serviceName", &self.local));
            if let Some((service, address)) = span.remote {
                object.object("remoteEndpoint", |remote| {
                    if let Some(service) = service {
                        remote.text("serviceName", service);
                    }
                    let family = if matches!(address.ip(), IpAddr::V4(_)) { "ipv4" } else { "ipv6" };
                    remote.text(family, address.ip().to_string());
                    remote.number("port", address.port().into());
                });
            }
            object.object("tags", tags);
            if self.flavor == Flavor::Annotations && !annotations.is_empty() {
                json::list(object.key(b"annotations"), annotations.iter(), |out, (value, moment)| {
                    Object::write(out, |annotation| {
                        annotation.number("timestamp", micros(*moment));
                        annotation.text("value", value);
                    });
                });
            }
        });
    }
}
