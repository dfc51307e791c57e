//! correlation-id: gives every request an id that all logs can have in common.
//!
//! Source: the behaviour of Kong Gateway's plugin of the same name.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use ring::rand::{SecureRandom, SystemRandom};
use serde::Deserialize;
use serde_json::Value;

use super::{Compiled, Place, read};
use crate::clock::Clock;
use crate::error::FieldError;
use crate::gateway::forward::Digits;
use crate::message::{Arrival, Headers, Request, ResponseHead};
use crate::phases::{Exchange, Facts, Flow, Phases, Plugin};

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

/// Where the ids of a process come from: two random numbers that nobody else has, and a counter.
struct Source {
    seed: [u64; 2],
    counter: AtomicU64,
    /// The id of the process itself.
    process: Uuid,
}

/// A UUID as text (RFC 9562 section 5.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Uuid([u8; 36]);

impl Source {
    fn get() -> &'static Self {
        static SOURCE: OnceLock<Source> = OnceLock::new();
        SOURCE.get_or_init(|| {
            let mut bytes = [0; 32];
            // Without randomness of the system, the process' ids are as good as the address of its code.
            let _ = SystemRandom::new().fill(&mut bytes);
            let word = |at: usize| bytes[at..at + 8].iter().fold(0, |word, byte| (word << 8) | u64::from(*byte));
            Self { seed: [word(0), word(8)], counter: AtomicU64::new(1), process: Uuid::of([word(16), word(24)]) }
        })
    }

    fn next(&self) -> u64 {
        self.counter.fetch_add(1, Ordering::Relaxed)
    }

    /// A UUID that this process has not given yet: both halves run through all numbers in an order of their own.
    fn uuid(&self) -> Uuid {
        let number = self.next();
        Uuid::of(self.seed.map(|seed| mixed(seed.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)))))
    }
}

/// The last steps of `SplitMix64`: another number for each number.
fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

impl Uuid {
    /// Version 4 of 122 of these bits.
    fn of([high, low]: [u64; 2]) -> Self {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let high = (high & !0xf000) | 0x4000;
        let low = (low & (u64::MAX >> 2)) | (1 << 63);
        let halves = [high.to_be_bytes(), low.to_be_bytes()];
        let digits = halves.as_flattened().iter().flat_map(|byte| [byte >> 4, byte & 15]);
        let mut text = [b'-'; 36];
        let places = text.iter_mut().enumerate().filter(|(place, _)| ![8, 13, 18, 23].contains(place));
        for ((_, place), digit) in places.zip(digits) {
            *place = HEX[usize::from(digit)];
        }
        Self(text)
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl CorrelationId {
    /// An id for a request.
    fn generate(&self, request: &Request, clock: &Clock) -> String {
        let source = Source::get();
        let mut id = String::with_capacity(64);
        match self.generator {
            Generator::Uuid => id.push_str(source.uuid().as_str()),
            Generator::UuidCounter => {
                id.push_str(source.process.as_str());
                id.push('#');
                id.push_str(std::str::from_utf8(Digits::default().of(source.next())).unwrap_or_default());
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn uuids_have_their_form_and_differ() {
        assert_eq!(Uuid::of([0, 0]).as_str(), "00000000-0000-4000-8000-000000000000");
        assert_eq!(Uuid::of([u64::MAX; 2]).as_str(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(
            Uuid::of([0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210]).as_str(),
            "01234567-89ab-4def-bedc-ba9876543210"
        );
        let source = Source::get();
        assert_eq!((0..10_000).map(|_| source.uuid().0).collect::<HashSet<_>>().len(), 10_000);
    }
}
