//! Counters that gateways share: what they are called on the server, and counts that travel there after their requests.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::periods::{NAMES, Period, window};
use crate::logs::queue::{Queue, QueueConfig};
use crate::logs::sender::{Delivering, Delivery, Line, Undelivered};
use crate::message::Response;
use crate::phases::outside::Outside;
use crate::plugins::Place;
use crate::redis::Server;
use crate::redis::counting::{Counter, MOST_COUNTERS};

/// Seconds for which a counter outlives its window: for gateways whose clocks are late.
const GRACE_SECONDS: u64 = 10;
/// Requests whose counts travel together, at most.
const MOST_TOGETHER: usize = 512;
/// A limit that nothing reaches: what has been let through is counted, whatever was counted meanwhile.
const NO_LIMIT: u64 = 1 << 62;
/// The most that is added at once: the largest limit there is.
const MOST_ADDED: u64 = 1 << 53;
/// Stands where an instance has no route or service.
const NOWHERE: &str = "00000000-0000-0000-0000-000000000000";

/// What the counters of one caller and instance are called. A control plane belongs to one organization, so nobody meets
/// another one's counters, not even on the same server. Braces have a cluster keep together what is counted together.
pub(in crate::plugins) struct Names(String);

impl Names {
    /// `kind` is what counts, `place` where it does.
    pub(in crate::plugins) fn new(kind: &str, control_plane: &str, place: &str, caller: &Caller<'_>) -> Self {
        let mut name = format!("{kind}:{{{control_plane}:{place}:");
        // A string takes whatever is written to it.
        let _ = match caller {
            Caller::Id(what, id) => write!(name, "{what}:{id}"),
            Caller::Secret(what, bytes) => {
                let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
                let _ = write!(name, "{what}:");
                digest.as_ref().iter().try_for_each(|byte| write!(name, "{byte:02x}"))
            }
        };
        name.push('}');
        Self(name)
    }

    /// The counter of a period at a time; `limit` tells apart what is limited separately.
    pub(in crate::plugins) fn counter(
        &self,
        limit: &str,
        period: &Period,
        now: u64,
        most: u64,
        amount: u64,
    ) -> Counter {
        let (start, elapsed) = window(period, now);
        let key = format!("{}{limit}:{start}:{}", self.0, NAMES[period.index]);
        let seconds = period.seconds.saturating_sub(elapsed).max(1) + GRACE_SECONDS;
        Counter { key, most, seconds, amount }
    }
}

/// Whom something is counted for.
pub(in crate::plugins) enum Caller<'c> {
    /// What it is, and its id or address.
    Id(&'static str, &'c str),
    /// What it is, and bytes that a client has sent: of any length, and maybe its key.
    Secret(&'static str, &'c [u8]),
}

/// Where an instance counts, as a part of names.
pub(in crate::plugins) fn place_name(place: &Place) -> String {
    let id = |id: &Option<String>| id.clone().unwrap_or_else(|| NOWHERE.to_owned());
    format!("{}:{}", id(&place.route), id(&place.service))
}

/// The answer where counters cannot be reached, and that is not tolerated.
pub(in crate::plugins) fn unreachable() -> Response {
    Response::message(500, "An unexpected error occurred")
}

/// What one request adds to a counter.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::plugins) struct Tally {
    key: String,
    seconds: u64,
    amount: u64,
    copy: Option<Copied>,
}

/// The counter of this process that stands in for it between two deliveries.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(in crate::plugins) struct Copied {
    pub(super) caller: (u64, u64),
    pub(super) period: usize,
    pub(super) start: u64,
}

impl Tally {
    pub(in crate::plugins) fn new(counter: Counter, copy: Option<Copied>) -> Self {
        Self { key: counter.key, seconds: counter.seconds, amount: counter.amount, copy }
    }
}

/// What a request adds, as it travels.
pub(in crate::plugins) fn entry(tallies: &[Tally]) -> Bytes {
    serde_json::to_vec(tallies).unwrap_or_default().into()
}

/// A queue of what requests add. `most_counters` is how many one of them adds to; what is added travels after so many
/// seconds. It is tried again for as long as it may matter to windows that are worth it.
pub(in crate::plugins) fn travelling(server: Arc<Server>, most_counters: usize, seconds: f64) -> Queue {
    let config = QueueConfig {
        max_batch_size: (MOST_COUNTERS / most_counters.max(1)).clamp(1, MOST_TOGETHER),
        max_coalescing_delay: seconds,
        max_entries: 10_000,
        max_bytes: None,
        max_retry_time: 60.0,
        initial_retry_delay: 0.1,
        max_retry_delay: 5.0,
        concurrency_limit: 1,
    };
    Queue::new(&config, Box::new(Adding(server)))
}

/// Adds up at the server.
struct Adding(Arc<Server>);

impl Delivery for Adding {
    fn deliver<'a>(&'a self, batch: &'a [Bytes], _: &'a mut Line, outside: Outside<'a>) -> Delivering<'a> {
        Box::pin(async move {
            let tallies: Vec<Tally> =
                batch.iter().filter_map(|entry| serde_json::from_slice::<Vec<Tally>>(entry).ok()).flatten().collect();
            let mut sums: BTreeMap<&str, Counter> = BTreeMap::new();
            for Tally { key, seconds, amount, .. } in &tallies {
                let counter = sums.entry(key).or_insert_with(|| Counter {
                    key: key.clone(),
                    most: NO_LIMIT,
                    seconds: *seconds,
                    amount: 0,
                });
                counter.amount = counter.amount.saturating_add(*amount).min(MOST_ADDED);
            }
            let counters: Vec<Counter> = sums.into_values().collect();
            let before = self.0.count(outside, &counters).await.map_err(|_| Undelivered)?;
            let totals: BTreeMap<&str, u64> = counters
                .iter()
                .zip(before)
                .map(|(counter, before)| (counter.key.as_str(), before.saturating_add(counter.amount)))
                .collect();
            for Tally { key, copy, .. } in &tallies {
                if let (Some(Copied { caller, period, start }), Some(total)) = (copy, totals.get(key.as_str())) {
                    outside.windows().raise(*caller, *period, *start, *total);
                }
            }
            Ok(0)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::periods::PERIODS;
    use super::*;

    #[test]
    fn names_tell_tenants_places_callers_and_windows_apart() {
        let name = |control_plane, place: &Place, caller: &Caller<'_>, limit, period: usize| {
            Names::new("ratelimit", control_plane, &place_name(place), caller)
                .counter(limit, &PERIODS[period], 1_710_509_862, 1, 1)
                .key
        };
        let (nowhere, here) = (Place::default(), Place { route: Some("r".into()), service: None });
        let id = Caller::Id("ip", "192.0.2.1");
        assert_eq!(
            name("cp", &nowhere, &id, "", 1),
            format!("ratelimit:{{cp:{NOWHERE}:{NOWHERE}:ip:192.0.2.1}}:1710509820:minute")
        );
        assert_eq!(
            name("cp", &here, &id, ":video", 5),
            format!("ratelimit:{{cp:r:{NOWHERE}:ip:192.0.2.1}}:video:1704067200:year")
        );
        let secret = name("cp", &here, &Caller::Secret("header", b"}:192.0.2.1"), "", 0);
        assert!(!secret.contains("192.0.2.1") && secret.matches('}').count() == 1 && secret.len() < 200, "{secret}");
    }

    #[test]
    fn counters_outlive_their_window_by_little() {
        let names = Names::new("ratelimit", "cp", "r:s", &Caller::Id("ip", "::1"));
        let seconds = |period: usize, now| names.counter("", &PERIODS[period], now, 1, 1).seconds;
        assert_eq!([seconds(0, 60), seconds(1, 60), seconds(1, 119), seconds(3, 86_399)], [11, 70, 11, 11]);
        // The 31st of a month is beyond the 30 days that it counts as.
        assert_eq!(seconds(4, 1_711_886_400), 11);
    }
}
