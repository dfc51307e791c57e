//! zipkin: tells services of the trace that a request belongs to, and sends its spans to a Zipkin server.
//!
//! Source: the behaviour of Kong Gateway's plugin of the same name; Zipkin API v2.

mod spans;

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::logging::policy;
use super::logging::posts::{Posts, list};
use super::{Compiled, Place, read};
use crate::error::FieldError;
use crate::logs::queue::{Queue, QueueConfig};
use crate::message::{Headers, Request, ResponseHead};
use crate::phases::{Exchange, Facts, Flow, Phases, Plugin, Record};
use crate::traces::context::{Found, Trace, TraceId};
use crate::traces::formats::Format;
use crate::traces::propagation::{HeaderType, Propagation, PropagationConfig};
use crate::upstream::destination::{Destination, NoDestination};

/// The configuration as the control plane sends it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    local_service_name: String,
    http_endpoint: Option<String>,
    sample_ratio: f64,
    default_service_name: Option<String>,
    include_credential: bool,
    traceid_byte_count: u8,
    header_type: HeaderType,
    default_header_type: Format,
    tags_header: String,
    static_tags: Option<Vec<StaticTag>>,
    http_span_name: SpanName,
    connect_timeout: u64,
    send_timeout: u64,
    read_timeout: u64,
    http_response_header_for_traceid: Option<String>,
    phase_duration_flavor: Flavor,
    queue: QueueConfig,
    propagation: PropagationConfig,
}

/// A tag of every span.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StaticTag {
    name: String,
    value: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SpanName {
    Method,
    MethodPath,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Flavor {
    Annotations,
    Tags,
}

struct Zipkin {
    queue: Option<Queue>,
    propagation: Propagation,
    ratio: f64,
    is_short: bool,
    response_header: Option<String>,
    /// What is said in spans.
    words: Words,
}

/// What the configuration has spans say.
struct Words {
    local: String,
    default_service: Option<String>,
    has_credential: bool,
    tags_header: String,
    static_tags: Box<[StaticTag]>,
    name: SpanName,
    flavor: Flavor,
}

/// The trace of a request, from the plugin's turn to its log.
struct Known(Trace);

/// Compiles an instance.
pub(super) fn compile(config: Value, _: &Place) -> Compiled {
    let config: Config = read(config)?;
    let old_default = Some(config.default_header_type).filter(|format| *format != Format::B3);
    let propagation = Propagation::new(config.propagation, config.header_type, old_default)?;
    check_header("tags_header", Some(&config.tags_header))?;
    check_header("http_response_header_for_traceid", config.http_response_header_for_traceid.as_deref())?;
    let queue = match &config.http_endpoint {
        None => None,
        Some(endpoint) => {
            let to = Destination::of_url(endpoint, &policy(true))
                .map_err(|NoDestination(why)| vec![FieldError::new("http_endpoint", why)])?;
            let mut headers = Headers::new();
            let _ = headers.append("Content-Type", "application/json");
            let posts = Posts {
                target: to.target().to_owned(),
                to,
                method: "POST".to_owned(),
                headers,
                connect: Duration::from_millis(config.connect_timeout.max(1)),
                answer: Duration::from_millis((config.send_timeout + config.read_timeout).max(1)),
                keep_alive: true,
                pack: Box::new(list),
            };
            Some(Queue::new(&config.queue, Box::new(posts)))
        }
    };
    Ok(Arc::new(Zipkin {
        queue,
        propagation,
        ratio: config.sample_ratio,
        is_short: config.traceid_byte_count == 8,
        response_header: config.http_response_header_for_traceid,
        words: Words {
            local: config.local_service_name,
            default_service: config.default_service_name,
            has_credential: config.include_credential,
            tags_header: config.tags_header,
            static_tags: config.static_tags.unwrap_or_default().into(),
            name: config.http_span_name,
            flavor: config.phase_duration_flavor,
        },
    }))
}

/// A name that headers may have.
pub(super) fn check_header(field: &str, name: Option<&str>) -> Result<(), Vec<FieldError>> {
    match name {
        Some(name) if Headers::new().append(name, "").is_err() => Err(vec![FieldError::new(field, "bad header name")]),
        _ => Ok(()),
    }
}

impl Zipkin {
    /// The trace of a request, where nobody has asked for it before.
    fn begin(&self, headers: &Headers) -> (Trace, Option<Found>) {
        let found = self.propagation.read(headers);
        let decides = |decision: Option<bool>, id: &TraceId| decision.unwrap_or_else(|| id.is_among(self.ratio));
        (Trace::of(found.as_ref(), self.is_short, decides), found)
    }

    fn tell(&self, trace: &Trace, facts: &mut Facts) {
        if let Some(name) = &self.response_header {
            let _ = facts.response_headers.set(name, trace.id.to_string());
        }
        if facts.later.is_some() {
            facts.values.set(Known(*trace));
        }
    }
}

impl Plugin for Zipkin {
    fn phases(&self) -> Phases {
        let log = if self.queue.is_some() { Phases::LOG.and(Phases::TURNS) } else { Phases::default() };
        let response = if self.response_header.is_some() { Phases::RESPONSE } else { Phases::default() };
        Phases::ACCESS.and(log).and(response)
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
        let _ = response.headers.set(name, trace.id.to_string());
        exchange.facts.values.set(Known(trace));
    }

    fn log(&self, record: &Record<'_>) {
        let Some(queue) = &self.queue else { return };
        let known = record.values.get::<Known>().map(|known| known.0);
        let trace = known.unwrap_or_else(|| self.begin(&record.request.head.headers).0);
        if trace.is_sampled {
            queue.push(record, self.words.spans(&trace, record).into());
        }
    }
}
