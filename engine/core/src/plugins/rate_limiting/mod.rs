//! rate-limiting: so many requests per second, minute, hour, day, month and year.
//!
//! Counters are in memory, one set for all threads of the process. All periods of a request are checked and counted under
//! one short lock of one of many shards, so that no more requests than allowed get through at the same time.
//!
//! Source: the behaviour of Kong Gateway's plugin of the same name; draft-ietf-httpapi-ratelimit-headers.

pub(in crate::plugins) mod periods;
pub(in crate::plugins) mod windows;

use std::sync::Arc;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use self::periods::{PERIODS, Period, window};
use self::windows::{Bound, Usage};
pub use self::windows::{LastCaller, Windows};
use super::{Compiled, Place, read};
use crate::error::FieldError;
use crate::message::{Headers, Known, Request, Response, Version};
use crate::phases::{Exchange, Flow, Phases, Plugin};

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
    #[serde(rename = "fault_tolerant", default)]
    _fault_tolerant: IgnoredAny,
    #[serde(rename = "redis", default)]
    _redis: IgnoredAny,
    #[serde(rename = "sync_rate", default)]
    _sync_rate: IgnoredAny,
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

struct RateLimiting {
    limits: Box<[Limit]>,
    by: LimitBy,
    /// The header's name or the path.
    operand: Box<str>,
    /// What instances with counters of their own differ in: a digest of it, since it is hashed with every request.
    place: u128,
    hide: bool,
    error_code: u16,
    error_message: Box<str>,
}

/// Compiles an instance.
pub(super) fn compile(config: Value, place: &Place) -> Compiled {
    let config: Config = read(config)?;
    if config.policy != "local" {
        let message = format!("policy '{}' is not available on this engine", config.policy);
        return Err(vec![FieldError::new("policy", message)]);
    }
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
    let id = |id: &Option<String>| id.clone().unwrap_or_default();
    Ok(Arc::new(RateLimiting {
        limits,
        by: config.limit_by,
        operand: operand.into(),
        place: digest(&format!("{}\n{}", id(&place.route), id(&place.service))),
        hide: config.hide_client_headers,
        error_code: config.error_code,
        error_message: config.error_message.into(),
    }))
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

    fn count(&self, request: &Request, exchange: &mut Exchange<'_>, now: u64) -> Usage {
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
        windows.take(key, bounds, 1)
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

impl Plugin for RateLimiting {
    fn phases(&self) -> Phases {
        Phases::ACCESS
    }

    fn access(&self, request: &mut Request, exchange: &mut Exchange<'_>) -> Flow {
        let now = exchange.clock.since_epoch().as_secs();
        let usage = self.count(request, exchange, now);
        let reset = (!self.hide).then(|| self.tell(&usage, now, &mut exchange.facts.response_headers));
        if !usage.denied {
            return Flow::Continue;
        }
        let refusal = Response::message(self.error_code, self.error_message.to_string());
        Flow::Respond(match reset {
            Some(reset) => refusal.with_header("Retry-After", reset.to_string()),
            None => refusal,
        })
    }
}
