//! response-ratelimiting: the upstream says how much of a limit a response has used up.
//!
//! Counters are those of `rate-limiting`. A response is checked and counted when its head is there, all of its limits or
//! none, so that what was left is used up once, however many responses come at the same time.
//!
//! Source: the behaviour of Kong Gateway's plugin of the same name.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::rate_limiting::periods::{PERIODS, Period, window};
use super::rate_limiting::windows::{Bound, Usage, Windows};
use super::rate_limiting::{digest, whole};
use super::{Compiled, Place, read};
use crate::error::FieldError;
use crate::gateway::forward::Digits;
use crate::message::{Headers, Request, Response, ResponseHead};
use crate::phases::passage::{Change, Unfit};
use crate::phases::{Exchange, Flow, Passage, Phases, Plugin};

/// Names of periods in headers.
const NAMES: [&str; PERIODS.len()] = ["second", "minute", "hour", "day", "month", "year"];

/// The configuration as the control plane sends it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    limits: BTreeMap<String, Limits>,
    header_name: String,
    limit_by: LimitBy,
    policy: String,
    block_on_first_violation: bool,
    hide_client_headers: bool,
    #[serde(rename = "fault_tolerant", default)]
    _fault_tolerant: IgnoredAny,
    #[serde(rename = "redis", default)]
    _redis: IgnoredAny,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Limits {
    second: Option<f64>,
    minute: Option<f64>,
    hour: Option<f64>,
    day: Option<f64>,
    month: Option<f64>,
    year: Option<f64>,
}

/// What responses are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum LimitBy {
    Consumer,
    Credential,
    Ip,
}

struct ResponseRatelimiting {
    limits: Box<[Limit]>,
    header: Box<str>,
    by: LimitBy,
    blocks_at_once: bool,
    hide: bool,
}

/// Something that is limited.
struct Limit {
    /// As the upstream calls it.
    name: Box<str>,
    /// What the upstream is told under.
    remaining_header: Box<str>,
    periods: Box<[OfPeriod]>,
    /// What its counters differ in from those of other limits and instances.
    place: u128,
}

/// How much of it in a period, with what clients are told.
struct OfPeriod {
    period: &'static Period,
    most: u64,
    /// As users wrote it.
    text: Box<str>,
    limit_header: Box<str>,
    remaining_header: Box<str>,
}

/// Compiles an instance.
pub(super) fn compile(config: Value, place: &Place) -> Compiled {
    let config: Config = read(config)?;
    let mut errors = Vec::new();
    if config.policy != "local" {
        errors.push(FieldError::new("policy", format!("policy '{}' is not available on this engine", config.policy)));
    }
    if Headers::new().append(&config.header_name, "").is_err() {
        errors.push(FieldError::new("header_name", "not a valid header"));
    }
    for name in config.limits.keys().filter(|name| Headers::new().append(name, "").is_err()) {
        errors.push(FieldError::new("limits", format!("'{name}' cannot be part of a header's name")));
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    Ok(Arc::new(ResponseRatelimiting {
        limits: config.limits.into_iter().map(|(name, limits)| Limit::new(name, &limits, place)).collect(),
        header: config.header_name.into(),
        by: config.limit_by,
        blocks_at_once: config.block_on_first_violation,
        hide: config.hide_client_headers,
    }))
}

impl Limit {
    fn new(name: String, limits: &Limits, place: &Place) -> Self {
        let given = [limits.second, limits.minute, limits.hour, limits.day, limits.month, limits.year];
        let of_period = |(period, most): (&'static Period, Option<f64>)| {
            let most = most?;
            let in_header = NAMES[period.index];
            Some(OfPeriod {
                period,
                most: whole(most)?,
                text: most.to_string().into(),
                limit_header: format!("X-RateLimit-Limit-{name}-{in_header}").into(),
                remaining_header: format!("X-RateLimit-Remaining-{name}-{in_header}").into(),
            })
        };
        let id = |id: &Option<String>| id.clone().unwrap_or_default();
        let place = format!("response\n{}\n{}\n{name}", id(&place.route), id(&place.service));
        Self {
            remaining_header: format!("X-RateLimit-Remaining-{name}").into(),
            periods: PERIODS.iter().zip(given).filter_map(of_period).collect(),
            place: digest(&place),
            name: name.into(),
        }
    }

    fn bounds(&self, now: u64) -> impl Iterator<Item = Bound> + Clone {
        self.periods.iter().map(move |limit| {
            let (start, _) = window(limit.period, now);
            Bound { period: limit.period.index, most: limit.most, start }
        })
    }

    fn remaining(&self, usage: &Usage) -> impl Iterator<Item = (&OfPeriod, u64)> {
        self.periods.iter().zip(usage.used()).map(|(limit, used)| (limit, limit.most.saturating_sub(used)))
    }
}

/// What the limits of a request are counted by, in their order. There is none before the plugin's turn.
struct Callers(Box<[(u64, u64)]>);

/// The response used up what was not there any more.
struct Exhausted;

impl ResponseRatelimiting {
    fn key(&self, limit: &Limit, request: &Request, exchange: &Exchange<'_>) -> (u64, u64) {
        let facts = &*exchange.facts;
        let credential = || facts.credential.as_ref().map(|credential| &credential.id);
        let identifier = match self.by {
            LimitBy::Consumer => facts.consumer.as_ref().map(|consumer| &consumer.id).or_else(credential),
            LimitBy::Credential => credential(),
            LimitBy::Ip => None,
        };
        match identifier {
            Some(identifier) => exchange.tenant.windows.key((limit.place, self.by as u8, identifier)),
            None => exchange.tenant.windows.key((limit.place, request.client_ip)),
        }
    }

    /// What the upstream says that the response has used up, by limit; of several amounts the last one.
    fn amounts(&self, headers: &Headers) -> Vec<u64> {
        let mut amounts = vec![0; self.limits.len()];
        let items = headers.get_all(&self.header).flat_map(|line| line.split(|byte| *byte == b','));
        for item in items {
            let Some(equals) = memchr::memchr(b'=', item) else { continue };
            let (name, amount) = (item[..equals].trim_ascii(), item[equals + 1..].trim_ascii());
            let amount = std::str::from_utf8(amount).ok().and_then(|amount| amount.parse().ok());
            let place = self.limits.iter().position(|limit| limit.name.as_bytes() == name);
            if let (Some(place), Some(amount)) = (place, amount) {
                amounts[place] = amount;
            }
        }
        amounts
    }

    /// Counts amounts, all or none; returns what was used before.
    fn count(&self, windows: &Windows, callers: &[(u64, u64)], amounts: &[u64], now: u64) -> (Vec<Usage>, bool) {
        let mut usages: Vec<Usage> = Vec::with_capacity(self.limits.len());
        for (index, limit) in self.limits.iter().enumerate() {
            let usage = match amounts[index] {
                0 => windows.look(callers[index], limit.bounds(now)),
                amount => windows.take(callers[index], limit.bounds(now), amount),
            };
            let denied = usage.denied && amounts[index] > 0;
            usages.push(usage);
            if denied {
                for (earlier, limit) in self.limits.iter().enumerate().take(index) {
                    windows.give_back(callers[earlier], limit.bounds(now), amounts[earlier]);
                }
                let rest = self.limits.iter().enumerate().skip(index + 1);
                usages.extend(rest.map(|(index, limit)| windows.look(callers[index], limit.bounds(now))));
                return (usages, false);
            }
        }
        (usages, true)
    }
}

impl Plugin for ResponseRatelimiting {
    fn phases(&self) -> Phases {
        Phases::ACCESS.and(Phases::RESPONSE).and(Phases::RESPONSE_PASSAGE)
    }

    fn access(&self, request: &mut Request, exchange: &mut Exchange<'_>) -> Flow {
        let now = exchange.clock.since_epoch().as_secs();
        let callers: Box<[(u64, u64)]> = self.limits.iter().map(|limit| self.key(limit, request, exchange)).collect();
        for (limit, caller) in self.limits.iter().zip(&callers) {
            let usage = exchange.tenant.windows.look(*caller, limit.bounds(now));
            if self.blocks_at_once && usage.denied {
                return Flow::Respond(Response::message(429, format!("API rate limit exceeded for '{}'", limit.name)));
            }
            let least = limit.remaining(&usage).map(|(_, remaining)| remaining).min().unwrap_or_default();
            let _ = request.head.headers.set(&limit.remaining_header, Digits::default().of(least));
        }
        exchange.facts.values.set(Callers(callers));
        Flow::Continue
    }

    fn response(&self, _: &Request, response: &mut ResponseHead, exchange: &mut Exchange<'_>) {
        let Some(Callers(callers)) = exchange.facts.values.get() else { return };
        let amounts = self.amounts(&response.headers);
        let now = exchange.clock.since_epoch().as_secs();
        let (usages, counted) = self.count(&exchange.tenant.windows, callers, &amounts, now);
        response.headers.remove(&self.header);
        if !self.hide {
            let limits = self.limits.iter().zip(&usages).zip(&amounts);
            for ((limit, usage), amount) in limits {
                for (of_period, remaining) in limit.remaining(usage) {
                    let _ = response.headers.set(&of_period.limit_header, of_period.text.as_bytes());
                    let after = remaining.saturating_sub(*amount);
                    let _ = response.headers.set(&of_period.remaining_header, Digits::default().of(after));
                }
            }
        }
        if !counted {
            response.status = 429;
            response.reason = b"Too Many Requests".to_vec();
            for name in ["content-type", "content-encoding", "etag", "last-modified"] {
                response.headers.remove(name);
            }
            exchange.facts.values.set(Exhausted);
        }
    }

    fn response_passage(&self, _: &mut ResponseHead, exchange: &mut Exchange<'_>) -> Option<Passage> {
        exchange.facts.values.get::<Exhausted>().map(|_| Passage::Change(Box::new(Nothing)))
    }
}

/// Makes nothing of a body.
struct Nothing;

impl Change for Nothing {
    fn piece(&mut self, _: &[u8], _: &mut Vec<u8>) -> Result<(), Unfit> {
        Ok(())
    }
}
