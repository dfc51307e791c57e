//! opentelemetry: tells services of the trace that a request belongs to, and sends its spans, and records of requests, over
//! OTLP/HTTP.
//!
//! Source: the behaviour of Kong Gateway's plugin of the same name; the OpenTelemetry Protocol, version 1.

mod spans;
mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use self::wire::Message;
use super::logging::policy;
use super::logging::posts::Posts;
use super::zipkin::check_header;
use super::{Compiled, Place, read};
use crate::error::FieldError;
use crate::logs::queue::{Queue, QueueConfig};
use crate::message::{Headers, Request, ResponseHead};
use crate::phases::{Exchange, Facts, Flow, Phases, Plugin, Record};
use crate::traces::context::{Found, Trace, TraceId};
use crate::traces::propagation::{HeaderType, Propagation, PropagationConfig};
use crate::unique;
use crate::upstream::destination::{Destination, NoDestination};

/// The part of requests that is traced where the configuration does not say.
const USUAL_RATE: f64 = 0.01;
/// Whoever made the spans.
const SCOPE: (&str, &str) = ("kong-internal", "0.1.0");

/// The configuration as the control plane sends it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    traces_endpoint: Option<String>,
    logs_endpoint: Option<String>,
    access_logs: AccessLogs,
    metrics: Metrics,
    headers: Option<BTreeMap<String, String>>,
    resource_attributes: Option<BTreeMap<String, String>>,
    queue: QueueConfig,
    batch_span_count: Option<usize>,
    batch_flush_delay: Option<f64>,
    connect_timeout: u64,
    send_timeout: u64,
    read_timeout: u64,
    http_response_header_for_traceid: Option<String>,
    header_type: HeaderType,
    sampling_rate: Option<f64>,
    sampling_strategy: Strategy,
    propagation: PropagationConfig,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AccessLogs {
    endpoint: Option<String>,
    custom_attributes_by_lua: Option<BTreeMap<String, String>>,
}

/// Nothing of it is done here: the control plane refuses an endpoint, without which the rest means nothing.
#[derive(Deserialize)]
struct Metrics {
    endpoint: Option<String>,
    #[serde(flatten)]
    _rest: IgnoredAny,
}

/// What a caller's decision counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Strategy {
    /// It holds if it says no.
    ParentDropProbabilityFallback,
    /// It holds.
    ParentProbabilityFallback,
}

struct Opentelemetry {
    traces: Option<Queue>,
    records: Option<Queue>,
    propagation: Propagation,
    rate: f64,
    strategy: Strategy,
    response_header: Option<String>,
}

/// The trace of a request, from the plugin's turn to its log.
struct Known(Trace);

/// Compiles an instance.
pub(super) fn compile(config: Value, _: &Place) -> Compiled {
    let config: Config = read(config)?;
    for (field, endpoint) in [("logs_endpoint", &config.logs_endpoint), ("metrics.endpoint", &config.metrics.endpoint)]
    {
        if endpoint.is_some() {
            return Err(vec![FieldError::new(field, "this gateway sends traces and records of requests only")]);
        }
    }
    if config.access_logs.custom_attributes_by_lua.as_ref().is_some_and(|fields| !fields.is_empty()) {
        return Err(vec![FieldError::new("access_logs.custom_attributes_by_lua", "this gateway runs no Lua")]);
    }
    check_header("http_response_header_for_traceid", config.http_response_header_for_traceid.as_deref())?;
    let settings = config.queue.clone().with_old(config.batch_span_count, config.batch_flush_delay);
    let resource = resource(config.resource_attributes.as_ref());
    let queue = |field: &str, endpoint: &Option<String>| match endpoint {
        Some(endpoint) => {
            exporter(&config, field, endpoint, &resource).map(|posts| Some(Queue::new(&settings, Box::new(posts))))
        }
        None => Ok(None),
    };
    Ok(Arc::new(Opentelemetry {
        traces: queue("traces_endpoint", &config.traces_endpoint)?,
        records: queue("access_logs.endpoint", &config.access_logs.endpoint)?,
        propagation: Propagation::new(config.propagation, config.header_type, None)?,
        rate: config.sampling_rate.unwrap_or(USUAL_RATE),
        strategy: config.sampling_strategy,
        response_header: config.http_response_header_for_traceid,
    }))
}

/// What whoever reports is called: a `Resource` and nothing else of what is around it.
fn resource(own: Option<&BTreeMap<String, String>>) -> Vec<u8> {
    let instance = unique::process();
    let mut attributes = BTreeMap::from([
        ("service.name", "kong"),
        ("service.instance.id", instance.as_str()),
        ("service.version", env!("CARGO_PKG_VERSION")),
    ]);
    attributes.extend(own.into_iter().flatten().map(|(name, value)| (&**name, &**value)));
    let mut message = Message::default();
    message.message(1, |resource| {
        for (name, value) in attributes {
            resource.attribute(1, name, value);
        }
    });
    message.finish()
}

/// Sends batches to an endpoint: what they hold is of one resource and one scope, for spans as for records.
fn exporter(config: &Config, field: &str, endpoint: &str, resource: &[u8]) -> Result<Posts, Vec<FieldError>> {
    let to =
        Destination::of_url(endpoint, &policy(true)).map_err(|NoDestination(why)| vec![FieldError::new(field, why)])?;
    let mut headers = Headers::new();
    let own = config.headers.iter().flatten().map(|(name, value)| (&**name, &**value));
    for (name, value) in [("Content-Type", "application/x-protobuf")].into_iter().chain(own) {
        let broken = |error| vec![FieldError::new(format!("headers.{name}"), format!("{error}"))];
        headers.set(name, value).map_err(broken)?;
    }
    let resource = resource.to_vec();
    let pack = move |batch: &[Bytes]| {
        let mut whole = Message::default();
        whole.message(1, |of_resource| {
            of_resource.fields(&resource);
            of_resource.message(2, |of_scope| {
                of_scope.message(1, |scope| {
                    scope.text(1, SCOPE.0);
                    scope.text(2, SCOPE.1);
                });
                for entry in batch {
                    of_scope.fields(entry);
                }
            });
        });
        whole.finish()
    };
    Ok(Posts {
        target: to.target().to_owned(),
        to,
        method: "POST".to_owned(),
        headers,
        connect: Duration::from_millis(config.connect_timeout.max(1)),
        answer: Duration::from_millis((config.send_timeout + config.read_timeout).max(1)),
        keep_alive: true,
        pack: Box::new(pack),
    })
}

impl Opentelemetry {
    fn begin(&self, headers: &Headers) -> (Trace, Option<Found>) {
        let found = self.propagation.read(headers);
        let decides = |decision: Option<bool>, id: &TraceId| match (decision, self.strategy) {
            (Some(false), _) => false,
            (Some(true), Strategy::ParentProbabilityFallback) => true,
            _ => id.is_among(self.rate),
        };
        (Trace::of(found.as_ref(), false, decides), found)
    }

    fn tell(&self, trace: &Trace, facts: &mut Facts) {
        if let Some(name) = &self.response_header {
            let _ = facts.response_headers.set(name, trace.id.padded());
        }
        if facts.later.is_some() {
            facts.values.set(Known(*trace));
        }
    }
}

impl Plugin for Opentelemetry {
    fn phases(&self) -> Phases {
        let turns = if self.traces.is_some() { Phases::TURNS } else { Phases::default() };
        let response = if self.response_header.is_some() { Phases::RESPONSE } else { Phases::default() };
        Phases::ACCESS.and(Phases::LOG).and(turns).and(response)
    }

    fn access(&self, request: &mut Request, exchange: &mut Exchange<'_>) -> Flow {
        let headers = &mut request.head.headers;
        let (trace, found) = self.begin(headers);
        self.propagation.write(headers, &trace, found);
        self.tell(&trace, exchange.facts);
        Flow::Continue
    }

    fn response(&self, request: &Request, response: &mut ResponseHead, exchange: &mut Exchange<'_>) {
        let Some(name) = self.response_header.as_deref().filter(|_| exchange.facts.values.get::<Known>().is_none())
        else {
            return;
        };
        // The response was made before the plugin's turn, or without one.
        let (trace, _) = self.begin(&request.head.headers);
        let _ = response.headers.set(name, trace.id.padded());
        exchange.facts.values.set(Known(trace));
    }

    fn log(&self, record: &Record<'_>) {
        let known = record.values.get::<Known>().map(|known| known.0);
        let trace = known.unwrap_or_else(|| self.begin(&record.request.head.headers).0);
        if let Some(queue) = self.traces.as_ref().filter(|_| trace.is_sampled) {
            queue.push(record, spans::of(&trace, record).into());
        }
        if let Some(queue) = &self.records {
            queue.push(record, spans::record(&trace, record).into());
        }
    }
}
