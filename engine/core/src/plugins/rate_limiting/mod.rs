//! rate-limiting: so many requests per second, minute, hour, day, month and year.
//!
//! Counters are in memory, one set for all threads of the process. All periods of a request are checked and counted under
//! one short lock of one of many shards, so that no more requests than allowed get through at the same time.
//!
//! Or they are on a server that several gateways share: then a script there does the same in one round trip. With a
//! `sync_rate` requests do not wait for it. They are counted in memory, and what they add travels every so often, against
//! what the others have added: until it has arrived, each gateway lets through what it would alone.
//!
//! Source: the behaviour of Kong Gateway's plugin of the same name; draft-ietf-httpapi-ratelimit-headers.

pub(in crate::plugins) mod periods;
pub(in crate::plugins) mod shared;
pub(in crate::plugins) mod windows;

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use self::periods::{PERIODS, Period, window};
use self::shared::{Caller, Copied, Names, Tally};
use self::windows::{Bound, Usage};
pub use self::windows::{LastCaller, Windows};
use super::{Compiled, Place, read};
use crate::error::FieldError;
use crate::logs::queue::Queue;
use crate::message::{Headers, Known, Request, Response, Version};
use crate::phases::outside::Outside;
use crate::phases::{Exchange, Flow, Phases, Plugin, Record, Waiting};
use crate::redis::counting::Counter;
use crate::redis::{self, RedisConfig, Server};

/// What is said of the tightest period.
const LIMIT: Known = Known::new("RateLimit-Limit");
const REMAINING: Known = Known::new("RateLimit-Remaining");
const RESET: Known = Known::new("RateLimit-Reset");

/// The configuration as the control plane sends it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    second: Option<f64>,
    minute: Option<f64>,
    hour: Option<f64>,
    day: Option<f64>,
    month: Option<f64>,
    year: Option<f64>,
    limit_by: LimitBy,
    header_name: Option<String>,
    path: Option<String>,
    policy: String,
    error_code: u16,
    error_message: String,
    hide_client_headers: bool,
    fault_tolerant: bool,
    redis: Option<RedisConfig>,
    sync_rate: f64,
}

/// What requests are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum LimitBy {
    Consumer,
    ConsumerGroup,
    Credential,
    Ip,
    Service,
    Header,
    Path,
}

/// A limit of one period, with what is said of it.
struct Limit {
    period: &'static Period,
    most: u64,
    /// What is always said of it.
    told: Headers,
    /// What else is said of it where it is the tightest one.
    tightest: Headers,
}

/// Where counters are.
enum Counters {
    /// In this process.
    Here,
    /// On a server.
    There(Server),
    /// On a server, and in this process between two deliveries.
    Both(Queue),
}

struct RateLimiting {
    limits: Box<[Limit]>,
    by: LimitBy,
    /// The header's name or the path.
    operand: Box<str>,
    /// What instances with counters of their own differ in: a digest of it, since it is hashed with every request.
    place: u128,
    /// The same, as servers know it.
    place_name: Box<str>,
    counters: Counters,
    fault_tolerant: bool,
    hide: bool,
    error_code: u16,
    error_message: Box<str>,
}

/// What a request that was let through adds on the server; left for its log.
struct Let(Vec<Tally>);

/// Compiles an instance.
pub(super) fn compile(config: Value, place: &Place) -> Compiled {
    let config: Config = read(config)?;
    let given = [config.second, config.minute, config.hour, config.day, config.month, config.year];
    let limits: Box<[Limit]> = PERIODS.iter().zip(given).filter_map(|(period, most)| limit(period, most?)).collect();
    if limits.is_empty() {
        return Err(vec![FieldError::whole("at least one period must have a limit")]);
    }
    let operand = match config.limit_by {
        LimitBy::Header => {
            config.header_name.ok_or_else(|| vec![FieldError::new("header_name", "required field missing")])?
        }
        LimitBy::Path => config.path.ok_or_else(|| vec![FieldError::new("path", "required field missing")])?,
        _ => String::new(),
    };
    let counters = match config.policy.as_str() {
        "local" => Counters::Here,
        "redis" if config.sync_rate < 0.0 => Counters::There(redis::server(config.redis)?),
        "redis" => {
            Counters::Both(shared::travelling(Arc::new(redis::server(config.redis)?), limits.len(), config.sync_rate))
        }
        policy => return Err(vec![not_available(policy)]),
    };
    let id = |id: &Option<String>| id.clone().unwrap_or_default();
    Ok(Arc::new(RateLimiting {
        limits,
        by: config.limit_by,
        operand: operand.into(),
        place: digest(&format!("{}\n{}", id(&place.route), id(&place.service))),
        place_name: shared::place_name(place).into(),
        counters,
        fault_tolerant: config.fault_tolerant,
        hide: config.hide_client_headers,
        error_code: config.error_code,
        error_message: config.error_message.into(),
    }))
}

/// What is wrong with a policy that there is none of.
pub(super) fn not_available(policy: &str) -> FieldError {
    FieldError::new("policy", format!("policy '{policy}' is not available on this engine"))
}

/// What tells texts apart, in the size of a number.
pub(super) fn digest(text: &str) -> u128 {
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    digest.as_ref().iter().take(16).fold(0, |number, byte| (number << 8) | u128::from(*byte))
}

fn limit(period: &'static Period, most: f64) -> Option<Limit> {
    // As users wrote it; digits and a point are fit for a header.
    let line = |name: Known| {
        let mut lines = Headers::new();
        lines.append_known(name, most.to_string()).map(|()| lines).unwrap_or_default()
    };
    Some(Limit { period, most: whole(most)?, told: line(period.limit_header), tightest: line(LIMIT) })
}

/// A fraction of a request is one more request that is let through.
pub(super) fn whole(most: f64) -> Option<u64> {
    const LARGEST: f64 = 9_007_199_254_740_992.0;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 2 to the 53rd")]
    (most > 0.0 && most <= LARGEST).then(|| most.ceil() as u64)
}

impl RateLimiting {
    /// What the request is counted by; whatever is missing falls back to the client's address.
    fn identifier<'r>(&self, request: &'r Request, exchange: &'r Exchange<'_>) -> Option<&'r [u8]> {
        let facts = &*exchange.facts;
        let credential = || facts.credential.as_ref().map(|credential| credential.id.as_bytes());
        let consumer = || facts.consumer.as_ref().map(|consumer| consumer.id.as_bytes());
        match self.by {
            LimitBy::Ip => None,
            LimitBy::Consumer => consumer().or_else(credential),
            LimitBy::Credential => credential(),
            LimitBy::ConsumerGroup => {
                facts.consumer.as_ref().and_then(|consumer| consumer.groups.first()).map(|group| group.id.as_bytes())
            }
            LimitBy::Service => exchange.route.and_then(|route| route.service_id.as_ref()).map(|id| id.as_bytes()),
            LimitBy::Header => request.head.headers.get(&self.operand),
            LimitBy::Path => {
                let path = request.head.path();
                (*path == *self.operand.as_bytes()).then_some(path)
            }
        }
    }

    /// Counts a request in this process; says under which key.
    fn count(&self, request: &Request, exchange: &mut Exchange<'_>, now: u64) -> ((u64, u64), Usage) {
        let bounds = self.limits.iter().map(|limit| {
            let (start, _) = window(limit.period, now);
            Bound { period: limit.period.index, most: limit.most, start }
        });
        let (tenant, by) = (exchange.tenant, self.by as u8);
        let windows = &tenant.windows;
        let mut last = exchange.facts.last_caller.take();
        let key = match self.identifier(request, exchange) {
            // A stream of HTTP/2 ends with its request: there is nothing to remember for.
            Some(identifier) if request.head.version != Version::Http2 => {
                let place = (self.place, by);
                let find = || windows.key((self.place, by, identifier));
                last.get_or_insert_default().key(tenant.number, place, identifier, find)
            }
            Some(identifier) => windows.key((self.place, by, identifier)),
            None => windows.key((self.place, request.client_ip)),
        };
        exchange.facts.last_caller = last;
        (key, windows.take(key, bounds, 1))
    }

    /// The counters of a request on the server, in the order of the limits.
    fn counters(&self, request: &Request, exchange: &Exchange<'_>, now: u64) -> Vec<Counter> {
        let address = request.client_ip.to_string();
        let caller = match (self.by, self.identifier(request, exchange)) {
            (LimitBy::Header, Some(value)) => Caller::Secret("header", value),
            (LimitBy::Path, Some(path)) => Caller::Secret("path", path),
            (by, Some(id)) => Caller::Id(by.name(), std::str::from_utf8(id).unwrap_or_default()),
            (_, None) => Caller::Id("ip", &address),
        };
        let names = Names::new("ratelimit", &exchange.tenant.control_plane_id, &self.place_name, &caller);
        self.limits.iter().map(|limit| names.counter("", limit.period, now, limit.most, 1)).collect()
    }

    /// Tells the client, and refuses it if a limit is reached.
    fn decide(&self, usage: &Usage, now: u64, exchange: &mut Exchange<'_>) -> Option<Response> {
        let reset = (!self.hide).then(|| self.tell(usage, now, &mut exchange.facts.response_headers));
        if !usage.denied {
            return None;
        }
        let refusal = Response::message(self.error_code, self.error_message.to_string());
        Some(match reset {
            Some(reset) => refusal.with_header("Retry-After", reset.to_string()),
            None => refusal,
        })
    }

    /// Writes the headers of all periods; returns the seconds until the tightest one begins anew.
    fn tell(&self, usage: &Usage, now: u64, headers: &mut Headers) -> u64 {
        let mut tightest: Option<(u64, &Limit)> = None;
        for (limit, used) in self.limits.iter().zip(usage.used()) {
            // Only the request that was counted, or the period that refuses it, takes one more.
            let taken = u64::from(!usage.denied || used >= limit.most);
            let remaining = limit.most.saturating_sub(used).saturating_sub(taken);
            headers.append_all(&limit.told);
            headers.append_number(limit.period.remaining_header, remaining);
            // Of equally tight ones the longest counts; they are in order of length.
            if tightest.is_none_or(|(least, _)| remaining <= least) {
                tightest = Some((remaining, limit));
            }
        }
        let Some((remaining, limit)) = tightest else { return 1 };
        let (_, elapsed) = window(limit.period, now);
        let reset = limit.period.seconds.saturating_sub(elapsed).max(1);
        headers.append_all(&limit.tightest);
        headers.append_number(REMAINING, remaining);
        headers.append_number(RESET, reset);
        reset
    }
}

impl LimitBy {
    /// As a part of counters' names.
    fn name(self) -> &'static str {
        match self {
            Self::Consumer => "consumer",
            Self::ConsumerGroup => "consumer-group",
            Self::Credential => "credential",
            Self::Ip => "ip",
            Self::Service => "service",
            Self::Header => "header",
            Self::Path => "path",
        }
    }
}

impl Plugin for RateLimiting {
    fn phases(&self) -> Phases {
        match self.counters {
            Counters::Here | Counters::There(_) => Phases::ACCESS,
            Counters::Both(_) => Phases::ACCESS.and(Phases::LOG),
        }
    }

    fn access(&self, request: &mut Request, exchange: &mut Exchange<'_>) -> Flow {
        if matches!(self.counters, Counters::There(_)) {
            return Flow::Later;
        }
        let now = exchange.clock.since_epoch().as_secs();
        let (caller, usage) = self.count(request, exchange, now);
        if matches!(self.counters, Counters::Both(_)) && !usage.denied {
            let copy = |limit: &Limit| {
                let (start, _) = window(limit.period, now);
                Copied { caller, period: limit.period.index, start }
            };
            let tallies = self.counters(request, exchange, now).into_iter().zip(&self.limits);
            let tallies = tallies.map(|(counter, limit)| Tally::new(counter, Some(copy(limit)))).collect();
            exchange.facts.values.set(Let(tallies));
        }
        self.decide(&usage, now, exchange).map_or(Flow::Continue, Flow::Respond)
    }

    fn access_later<'a>(
        &'a self,
        request: &'a mut Request,
        exchange: &'a mut Exchange<'_>,
        outside: Outside<'a>,
    ) -> Waiting<'a> {
        Box::pin(async move {
            let Counters::There(server) = &self.counters else { return None };
            let now = exchange.clock.since_epoch().as_secs();
            let counters = self.counters(request, exchange, now);
            if let Ok(used) = server.count(outside, &counters).await {
                let most = self.limits.iter().map(|limit| limit.most);
                return self.decide(&Usage::of(most.zip(used)), now, exchange);
            }
            outside.not_counted();
            (!self.fault_tolerant).then(shared::unreachable)
        })
    }

    fn log(&self, record: &Record<'_>) {
        if let (Counters::Both(queue), Some(Let(tallies))) = (&self.counters, record.values.get()) {
            queue.push(record, shared::entry(tallies));
        }
    }
}
