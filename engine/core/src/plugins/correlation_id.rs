//! correlation-id: gives every request an id that all logs can have in common.
//!
//! Source: the behaviour of Kong Gateway's plugin of the same name.

use std::fmt::Write;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::{Compiled, Place, read};
use crate::clock::Clock;
use crate::error::FieldError;
use crate::gateway::forward::Digits;
use crate::message::{Arrival, Headers, Request, ResponseHead};
use crate::phases::{Exchange, Facts, Flow, Phases, Plugin};
use crate::unique;

/// The configuration as the control plane sends it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    header_name: String,
    generator: Generator,
    echo_downstream: bool,
}

/// What an id is made of.
#[derive(Debug, Clone, Copy, Deserialize)]
enum Generator {
    #[serde(rename = "uuid")]
    Uuid,
    #[serde(rename = "uuid#counter")]
    UuidCounter,
    #[serde(rename = "tracker")]
    Tracker,
}

/// The id of a request, for its log.
pub struct Correlation(pub Box<[u8]>);

struct CorrelationId {
    header: Box<str>,
    generator: Generator,
    echo: bool,
}

/// Compiles an instance.
pub(super) fn compile(config: Value, _: &Place) -> Compiled {
    let Config { header_name, generator, echo_downstream: echo } = read(config)?;
    if Headers::new().append(&header_name, "").is_err() {
        return Err(vec![FieldError::new("header_name", "bad header name")]);
    }
    Ok(Arc::new(CorrelationId { header: header_name.into(), generator, echo }))
}

impl CorrelationId {
    /// An id for a request.
    fn generate(&self, request: &Request, clock: &Clock) -> String {
        let mut id = String::with_capacity(64);
        match self.generator {
            Generator::Uuid => id.push_str(unique::uuid().as_str()),
            Generator::UuidCounter => {
                id.push_str(unique::process().as_str());
                id.push('#');
                id.push_str(std::str::from_utf8(Digits::default().of(unique::count())).unwrap_or_default());
            }
            Generator::Tracker => {
                let Arrival { local, connection, requests } = request.arrival;
                let (address, port, process) = (local.ip().to_canonical(), local.port(), std::process::id());
                let now = clock.since_epoch();
                let (seconds, millis) = (now.as_secs(), now.subsec_millis());
                let _ = write!(id, "{address}-{port}-{process}-{connection}-{requests}-{seconds}.{millis:03}");
            }
        }
        id
    }

    /// Tells the client the id, and whoever logs the request.
    fn tell(&self, id: &[u8], facts: &mut Facts) {
        if self.echo {
            let _ = facts.response_headers.set(&self.header, id);
        }
        // Without plugins that come later, nobody asks.
        if facts.later.is_some() {
            facts.values.set(Correlation(id.into()));
        }
    }

    /// What the request carries already.
    fn carried<'r>(&self, request: &'r Request) -> Option<&'r [u8]> {
        request.head.headers.get(&self.header).filter(|id| !id.is_empty())
    }
}

impl Plugin for CorrelationId {
    fn phases(&self) -> Phases {
        if self.echo { Phases::ACCESS.and(Phases::RESPONSE) } else { Phases::ACCESS }
    }

    fn access(&self, request: &mut Request, exchange: &mut Exchange<'_>) -> Flow {
        if let Some(id) = self.carried(request) {
            self.tell(id, exchange.facts);
            return Flow::Continue;
        }
        let id = self.generate(request, exchange.clock);
        self.tell(id.as_bytes(), exchange.facts);
        let _ = request.head.headers.set(&self.header, &id);
        Flow::Continue
    }

    fn response(&self, request: &Request, response: &mut ResponseHead, exchange: &mut Exchange<'_>) {
        // A response that has none was made before the plugin's turn, or without one.
        if response.headers.contains(&self.header) {
            return;
        }
        let headers = &mut response.headers;
        let _ = match self.carried(request) {
            Some(id) => headers.set(&self.header, id),
            None => headers.set(&self.header, self.generate(request, exchange.clock)),
        };
    }
}
