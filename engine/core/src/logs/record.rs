//! The document that records of requests are sent as. Fields and their meanings are those of Kong Gateway's log
//! serializer, so that whatever reads one reads the other.

use std::time::Duration;

use bytes::Bytes;

use super::account::Try;
use super::json::{self, Object};
use crate::config::directory::Consumer;
use crate::phases::{Record, StreamRecord};
use crate::plugins::Correlation;
use crate::query;
use crate::tls::server::Spoken;

/// Headers, and arguments of a query, that a record has at most: as many as others show.
const MOST_FIELDS: usize = 100;
/// Request headers whose values no record shows.
const REDACTED: [&str; 2] = ["authorization", "proxy-authorization"];
/// The name of the only workspace that a control plane has.
const WORKSPACE: &str = "default";

impl Record<'_> {
    /// The record as a JSON object. It is written when the first plugin asks, and shared by all of them.
    #[must_use]
    pub fn document(&self) -> &Bytes {
        self.document.get_or_init(|| {
            let mut out = Vec::with_capacity(2048);
            Object::write(&mut out, |whole| self.write(whole));
            out.into()
        })
    }

    /// Milliseconds from the request's head to the end of the response.
    #[must_use]
    pub fn request_millis(&self) -> u64 {
        millis(self.elapsed)
    }

    /// Milliseconds from the service's response head to the end of the response.
    #[must_use]
    pub fn receive_millis(&self) -> u64 {
        match self.latency {
            Some((before, waiting)) if self.account.is_upstreams => {
                self.request_millis().saturating_sub(before + waiting)
            }
            _ => 0,
        }
    }

    /// Milliseconds that the gateway took, receiving the response among them.
    #[must_use]
    pub fn gateway_millis(&self) -> u64 {
        self.latency.map_or_else(|| self.request_millis(), |(before, _)| before) + self.receive_millis()
    }

    /// Bytes of the request, its head among them.
    #[must_use]
    pub fn request_bytes(&self) -> u64 {
        self.account.head_bytes + self.received_bytes
    }

    /// Bytes of the response, its head among them.
    #[must_use]
    pub fn response_bytes(&self) -> u64 {
        self.account.sent_head.len() as u64 + self.sent_bytes
    }

    /// Whose response it is: `upstream` or `kong`.
    #[must_use]
    pub fn source(&self) -> &'static str {
        if self.account.is_upstreams { "upstream" } else { "kong" }
    }

    fn write(&self, whole: &mut Object<'_>) {
        let workspace = &*self.tenant.control_plane_id;
        whole.object("request", |request| self.write_request(request));
        whole.object("response", |response| {
            response.number("status", self.status.into());
            response.object("headers", |headers| write_fields(headers, lines(&self.account.sent_head), &[]));
            response.number("size", self.response_bytes());
        });
        whole.object("latencies", |latencies| {
            latencies.number("request", self.request_millis());
            latencies.number("kong", self.gateway_millis());
            match self.latency {
                Some((_, waiting)) => latencies.number("proxy", waiting),
                None => latencies.raw("proxy", "-1"),
            }
            latencies.number("receive", self.receive_millis());
        });
        whole.text("upstream_uri", self.upstream_uri());
        whole.text("upstream_status", self.upstream_status());
        let began = self.worker.shared.clock.since_epoch().saturating_sub(self.elapsed);
        json::list(whole.key(b"tries"), self.account.tries.iter(), |out, attempt| {
            Object::write(out, |object| write_try(object, attempt, began + (attempt.began - self.started)));
        });
        whole.text("client_ip", self.request.client_ip.to_string());
        if let Some(Correlation(id)) = self.values.get() {
            whole.text("correlation_id", id);
        }
        whole.number("started_at", millis(began));
        whole.text("source", self.source());
        whole.text("workspace", workspace);
        whole.text("workspace_name", WORKSPACE);
        if let Some(route) = self.route {
            whole.raw("route", route.logged.text(workspace));
            if let Some(service) = &route.service {
                whole.raw("service", service.logged.text(workspace));
            }
        }
        if let Some(consumer) = self.consumer {
            whole.object("consumer", |object| write_consumer(object, consumer, workspace));
        }
        if let Some(credential) = self.credential {
            whole.object("authenticated_entity", |entity| {
                entity.text("id", &*credential.id);
                if let Some(consumer) = self.consumer {
                    entity.text("consumer_id", &*consumer.id);
                }
            });
        }
    }

    fn write_request(&self, object: &mut Object<'_>) {
        let head = &self.request.head;
        let mut uri = head.path().to_vec();
        if let Some(query) = head.query() {
            uri.push(b'?');
            uri.extend_from_slice(query);
        }
        let (scheme, port) = (self.request.scheme.as_str(), self.peer.local.port());
        let origin = format!("{scheme}://{}:{port}", self.request.host);
        object.text("id", self.request_id);
        object.text("method", head.method());
        object.text("url", [origin.as_bytes(), &uri].concat());
        object.text("uri", uri);
        object.object("querystring", |arguments| write_arguments(arguments, head.query().unwrap_or_default()));
        object.object("headers", |headers| write_fields(headers, head.headers.iter(), &REDACTED));
        object.number("size", self.request_bytes());
        if let Some(spoken) = self.peer.handshake.spoken {
            write_tls(object, spoken);
        }
    }

    /// Path and query that the service was asked for; empty if nobody was.
    fn upstream_uri(&self) -> Vec<u8> {
        let upstream = &self.request.upstream;
        let mut uri = Vec::new();
        if self.account.is_proxied {
            uri.extend_from_slice(&upstream.path);
            if let Some(query) = &upstream.query {
                uri.push(b'?');
                uri.extend_from_slice(query);
            }
        }
        uri
    }

    /// What came of each try, in order.
    fn upstream_status(&self) -> String {
        let failures = self.account.tries.iter().filter_map(|attempt| attempt.failure);
        let answer = self.account.is_upstreams.then_some(self.account.upstream_status);
        failures.chain(answer).map(|status| status.to_string()).collect::<Vec<_>>().join(", ")
    }
}

impl StreamRecord<'_> {
    /// The record as a JSON object, written when the first plugin asks.
    #[must_use]
    pub fn document(&self) -> &Bytes {
        self.document.get_or_init(|| {
            let mut out = Vec::with_capacity(1024);
            Object::write(&mut out, |whole| self.write(whole));
            out.into()
        })
    }

    fn write(&self, whole: &mut Object<'_>) {
        let workspace = &*self.tenant.control_plane_id;
        let began = self.worker.shared.clock.since_epoch().saturating_sub(self.elapsed);
        let (received, sent) = self.bytes;
        whole.object("session", |session| {
            session.number("received", received);
            session.number("sent", sent);
            session.number("status", self.status.into());
            session.number("server_port", self.port.into());
            if let Some(spoken) = self.spoken {
                write_tls(session, spoken);
            }
        });
        whole.object("upstream", |upstream| {
            let reached = self.service_at.is_some();
            upstream.number("received", if reached { sent } else { 0 });
            upstream.number("sent", if reached { received } else { 0 });
        });
        whole.object("latencies", |latencies| {
            latencies.number("session", millis(self.elapsed));
            latencies.number("kong", millis(self.connecting));
        });
        json::list(whole.key(b"tries"), self.service_at.iter(), |out, address| {
            Object::write(out, |attempt| {
                attempt.number("balancer_start", millis(began));
                attempt.number("balancer_latency", millis(self.connecting));
                attempt.text("ip", address.ip().to_string());
                attempt.number("port", address.port().into());
            });
        });
        whole.text("client_ip", self.client.to_string());
        whole.number("started_at", millis(began));
        whole.text("workspace", workspace);
        whole.text("workspace_name", WORKSPACE);
        whole.raw("route", self.route.logged.text(workspace));
        if let Some(service) = &self.route.service {
            whole.raw("service", service.logged.text(workspace));
        }
    }
}

fn write_tls(object: &mut Object<'_>, spoken: Spoken) {
    object.object("tls", |tls| {
        tls.text("version", spoken.version);
        tls.text("cipher", spoken.cipher);
        tls.text("client_verify", "NONE");
    });
}

fn write_try(object: &mut Object<'_>, attempt: &Try, began: Duration) {
    let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    object.number("balancer_start", millis(began));
    object.number("balancer_start_ns", nanos(began));
    object.number("balancer_latency", millis(attempt.choosing));
    object.number("balancer_latency_ns", nanos(attempt.choosing));
    object.text("ip", attempt.address.ip().to_string());
    object.number("port", attempt.address.port().into());
    object.truth("keepalive", attempt.kept_alive);
    if let Some(status) = attempt.failure {
        object.text("state", "failed");
        object.number("code", status.into());
    }
}

fn write_consumer(object: &mut Object<'_>, consumer: &Consumer, workspace: &str) {
    object.text("id", &*consumer.id);
    if let Some(name) = &consumer.username {
        object.text("username", &**name);
    }
    if let Some(own) = &consumer.custom_id {
        object.text("custom_id", &**own);
    }
    object.text("ws_id", workspace);
}

/// Writes header lines by their names in lower case; those of one name as a list.
fn write_fields<'h>(object: &mut Object<'_>, lines: impl Iterator<Item = (&'h [u8], &'h [u8])>, redacted: &[&str]) {
    let lines: Vec<_> = lines.take(MOST_FIELDS).collect();
    for (index, (name, value)) in lines.iter().enumerate() {
        let is_same = |other: &&(&[u8], &[u8])| other.0.eq_ignore_ascii_case(name);
        if lines[..index].iter().any(|other| is_same(&other)) {
            continue;
        }
        let out = object.key(&name.to_ascii_lowercase());
        if redacted.iter().any(|secret| name.eq_ignore_ascii_case(secret.as_bytes())) {
            json::text(out, b"REDACTED");
        } else if lines[index + 1..].iter().any(|other| is_same(&other)) {
            json::list(out, lines[index..].iter().filter(is_same), |out, (_, value)| json::text(out, value));
        } else {
            json::text(out, value);
        }
    }
}

/// Writes the arguments of a query; those of one name as a list, and one without a value as `true`.
fn write_arguments(object: &mut Object<'_>, query: &[u8]) {
    let write = |out: &mut Vec<u8>, value: Option<&[u8]>| match value {
        Some(value) => json::text(out, value),
        None => out.extend_from_slice(b"true"),
    };
    let pairs: Vec<_> = query::pairs(query).take(MOST_FIELDS).collect();
    for (index, (name, value)) in pairs.iter().enumerate() {
        if pairs[..index].iter().any(|other| other.0 == *name) {
            continue;
        }
        let out = object.key(name);
        let same = pairs[index..].iter().filter(|other| other.0 == *name);
        if same.clone().count() > 1 {
            json::list(out, same, |out, (_, value)| write(out, value.as_deref()));
        } else {
            write(out, value.as_deref());
        }
    }
}

/// Name and value of the lines of a head, after its first one.
fn lines(head: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let lines = head.split(|byte| *byte == b'\n').skip(1);
    lines.filter_map(|line| {
        let colon = memchr::memchr(b':', line)?;
        Some((line.get(..colon)?, line.get(colon + 1..)?.trim_ascii()))
    })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
