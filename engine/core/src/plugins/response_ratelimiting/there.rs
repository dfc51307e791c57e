//! Counters on a server: looked at with the request, added to when its response was sent.

use std::sync::Arc;

use super::super::rate_limiting::shared::{self, Caller, Names, Tally};
use super::super::rate_limiting::windows::Usage;
use super::Limit;
use crate::logs::queue::Queue;
use crate::phases::outside::Outside;
use crate::phases::{Exchange, Record};
use crate::plugins::Place;
use crate::redis::Server;

/// The server.
pub(super) struct There {
    server: Arc<Server>,
    adding: Queue,
    place: Box<str>,
}

/// What a request has found.
pub(super) struct Found {
    /// By limit.
    pub(super) usages: Vec<Usage>,
    names: Names,
    /// When it looked.
    now: u64,
    /// What its response adds.
    added: Vec<Tally>,
}

impl There {
    pub(super) fn new(server: Server, limits: &[Limit], place: &Place) -> Self {
        let server = Arc::new(server);
        let most_counters = limits.iter().map(|limit| limit.periods.len()).sum();
        let adding = shared::travelling(server.clone(), most_counters, 0.0);
        Self { server, adding, place: shared::place_name(place).into() }
    }

    /// Looks at all limits in one round trip.
    pub(super) async fn look(
        &self,
        limits: &[Limit],
        caller: &Caller<'_>,
        exchange: &Exchange<'_>,
        outside: Outside<'_>,
    ) -> Option<Found> {
        let now = exchange.clock.since_epoch().as_secs();
        let names = Names::new("response-ratelimit", &exchange.tenant.control_plane_id, &self.place, caller);
        let counters: Vec<_> = limits.iter().flat_map(|limit| limit.counters(&names, now, 0)).collect();
        let used = self.server.count(outside, &counters).await.ok()?;
        let mut used = used.into_iter();
        let usages = limits.iter().map(|limit| {
            let most = limit.periods.iter().map(|period| period.most);
            Usage::of(most.zip(used.by_ref()))
        });
        let usages = usages.collect();
        Some(Found { usages, names, now, added: Vec::new() })
    }

    /// Has what a response has used up added, now that it was sent.
    pub(super) fn add(&self, found: &Found, record: &Record<'_>) {
        if !found.added.is_empty() {
            self.adding.push(record, shared::entry(&found.added));
        }
    }
}

impl Found {
    /// Notes what a response has used up, unless it has used up what was not there any more.
    pub(super) fn add(&mut self, limits: &[Limit], amounts: &[u64]) -> bool {
        let mut by_limit = limits.iter().zip(&self.usages).zip(amounts);
        if by_limit.any(|((_, usage), amount)| *amount > 0 && usage.denied) {
            return false;
        }
        let adding = limits.iter().zip(amounts).filter(|(_, amount)| **amount > 0);
        let counters = adding.flat_map(|(limit, amount)| limit.counters(&self.names, self.now, *amount));
        self.added = counters.map(|counter| Tally::new(counter, None)).collect();
        true
    }
}
