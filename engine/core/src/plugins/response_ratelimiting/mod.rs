//! response-ratelimiting: the upstream says how much of a limit a response has used up.
//!
//! Counters are those of `rate-limiting`. A response is checked and counted when its head is there, all of its limits or
//! none, so that what was left is used up once, however many responses come at the same time. Where counters are on a
//! server, a response is checked against what its request has found there, and counted there after it was sent.
//!
//! Source: the behaviour of Kong Gateway's plugin of the same name.

mod there;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use self::there::{Found, There};
use super::rate_limiting::periods::{NAMES, PERIODS, Period, window};
use super::rate_limiting::shared::{self, Names};
use super::rate_limiting::windows::{Bound, Usage, Windows};
use super::rate_limiting::{digest, not_available, whole};
use super::{Compiled, Place, read};
use crate::error::FieldError;
use crate::gateway::forward::Digits;
use crate::message::{Headers, Request, Response, ResponseHead};
use crate::phases::outside::Outside;
use crate::phases::passage::{Change, Unfit};
use crate::phases::{Exchange, Flow, Passage, Phases, Plugin, Record, Waiting};
use crate::redis::counting::Counter;
use crate::redis::{self, RedisConfig};

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
    fault_tolerant: bool,
    redis: Option<RedisConfig>,
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
    /// Where counters are, if not in this process.
    there: Option<There>,
    fault_tolerant: bool,
    header: Box<str>,
    by: LimitBy,
    blocks_at_once: bool,
    hide: bool,
}

/// Something that is limited.
struct Limit {
    /// As the upstream calls it.
    name: Box<str>,
    /// As a part of counters' names on a server.
    name_there: Box<str>,
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
    if !matches!(config.policy.as_str(), "local" | "redis") {
        errors.push(not_available(&config.policy));
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
    let limits: Box<[Limit]> =
        config.limits.into_iter().map(|(name, limits)| Limit::new(name, &limits, place)).collect();
    let there = match config.policy.as_str() {
        "redis" => Some(There::new(redis::server(config.redis)?, &limits, place)),
        _ => None,
    };
    Ok(Arc::new(ResponseRatelimiting {
        limits,
        there,
        fault_tolerant: config.fault_tolerant,
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
            name_there: format!(":{name}").into(),
            name: name.into(),
        }
    }

    fn bounds(&self, now: u64) -> impl Iterator<Item = Bound> + Clone {
        self.periods.iter().map(move |limit| {
            let (start, _) = window(limit.period, now);
            Bound { period: limit.period.index, most: limit.most, start }
        })
    }

    /// Its counters on a server.
    fn counters(&self, names: &Names, now: u64, amount: u64) -> impl Iterator<Item = Counter> {
        let of_period = move |limit: &OfPeriod| names.counter(&self.name_there, limit.period, now, limit.most, amount);
        self.periods.iter().map(of_period)
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
    /// What a request is counted by, unless that is the client's address.
    fn identifier<'e>(&self, exchange: &'e Exchange<'_>) -> Option<&'e Arc<str>> {
        let facts = &*exchange.facts;
        let credential = || facts.credential.as_ref().map(|credential| &credential.id);
        match self.by {
            LimitBy::Consumer => facts.consumer.as_ref().map(|consumer| &consumer.id).or_else(credential),
            LimitBy::Credential => credential(),
            LimitBy::Ip => None,
        }
    }

    fn key(&self, limit: &Limit, request: &Request, exchange: &Exchange<'_>) -> (u64, u64) {
        match self.identifier(exchange) {
            Some(identifier) => exchange.tenant.windows.key((limit.place, self.by as u8, identifier)),
            None => exchange.tenant.windows.key((limit.place, request.client_ip)),
        }
    }

    /// Tells the upstream what is left, or refuses the request.
    fn admit<'u>(&self, usages: impl Iterator<Item = &'u Usage>, request: &mut Request) -> Option<Response> {
        for (limit, usage) in self.limits.iter().zip(usages) {
            if self.blocks_at_once && usage.denied {
                return Some(Response::message(429, format!("API rate limit exceeded for '{}'", limit.name)));
            }
            let least = limit.remaining(usage).map(|(_, remaining)| remaining).min().unwrap_or_default();
            let _ = request.head.headers.set(&limit.remaining_header, Digits::default().of(least));
        }
        None
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
        let phases = Phases::ACCESS.and(Phases::RESPONSE).and(Phases::RESPONSE_PASSAGE);
        if self.there.is_some() { phases.and(Phases::LOG) } else { phases }
    }

    fn access(&self, request: &mut Request, exchange: &mut Exchange<'_>) -> Flow {
        if self.there.is_some() {
            return Flow::Later;
        }
        let now = exchange.clock.since_epoch().as_secs();
        let callers: Box<[(u64, u64)]> = self.limits.iter().map(|limit| self.key(limit, request, exchange)).collect();
        let windows = &exchange.tenant.windows;
        let found = self.limits.iter().zip(&callers).map(|(limit, caller)| windows.look(*caller, limit.bounds(now)));
        let usages: Vec<Usage> = found.collect();
        let refusal = self.admit(usages.iter(), request);
        if refusal.is_none() {
            exchange.facts.values.set(Callers(callers));
        }
        refusal.map_or(Flow::Continue, Flow::Respond)
    }

    fn access_later<'a>(
        &'a self,
        request: &'a mut Request,
        exchange: &'a mut Exchange<'_>,
        outside: Outside<'a>,
    ) -> Waiting<'a> {
        Box::pin(async move {
            let there = self.there.as_ref()?;
            let address = request.client_ip.to_string();
            let who = match self.identifier(exchange) {
                Some(id) => shared::Caller::Id(self.by.name(), id),
                None => shared::Caller::Id("ip", &address),
            };
            let Some(found) = there.look(&self.limits, &who, exchange, outside).await else {
                outside.not_counted();
                return (!self.fault_tolerant).then(shared::unreachable);
            };
            let refusal = self.admit(found.usages.iter(), request);
            if refusal.is_none() {
                exchange.facts.values.set(found);
            }
            refusal
        })
    }

    fn response(&self, _: &Request, response: &mut ResponseHead, exchange: &mut Exchange<'_>) {
        let amounts = self.amounts(&response.headers);
        let now = exchange.clock.since_epoch().as_secs();
        let values = &mut exchange.facts.values;
        let (usages, counted) = if let Some(Callers(callers)) = values.get() {
            self.count(&exchange.tenant.windows, callers, &amounts, now)
        } else if let Some(found) = values.get_mut::<Found>() {
            let counted = found.add(&self.limits, &amounts);
            (std::mem::take(&mut found.usages), counted)
        } else {
            // It is only for the plugin's eyes, also where it could not look.
            if self.there.is_some() {
                response.headers.remove(&self.header);
            }
            return;
        };
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

    fn log(&self, record: &Record<'_>) {
        if let (Some(there), Some(found)) = (&self.there, record.values.get::<Found>()) {
            there.add(found, record);
        }
    }
}

impl LimitBy {
    /// As a part of counters' names.
    fn name(self) -> &'static str {
        match self {
            Self::Consumer => "consumer",
            Self::Credential => "credential",
            Self::Ip => "ip",
        }
    }
}

/// Makes nothing of a body.
struct Nothing;

impl Change for Nothing {
    fn piece(&mut self, _: &[u8], _: &mut Vec<u8>) -> Result<(), Unfit> {
        Ok(())
    }
}
