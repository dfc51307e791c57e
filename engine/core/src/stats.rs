//! Counters per tenant, sharded by thread so that counting never contends, and its budget, which is one for all threads.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use crate::budget::Budget;
use crate::departure::Departure;
use crate::overload::Recent;

/// One thread's part, alone on its cache lines.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    requests: AtomicU64,
    status: [AtomicU64; 5],
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    upstream_errors: AtomicU64,
    upstream_refused: AtomicU64,
    upstream_retries: AtomicU64,
    streams: AtomicU64,
    stream_bytes_in: AtomicU64,
    stream_bytes_out: AtomicU64,
    over_budget: AtomicU64,
    unroutable: AtomicU64,
    shed: AtomicU64,
    not_counted: AtomicU64,
    records_sent: AtomicU64,
    records_dropped: AtomicU64,
    failed_deliveries: AtomicU64,
    recent: Recent,
}

/// What is counted of a tenant; it outlives its configurations.
#[derive(Debug)]
pub struct Counters {
    /// What it may use.
    pub budget: Budget,
    /// Whether it is still there.
    pub departure: Departure,
    shards: Box<[Shard]>,
}

/// The sums over all threads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Requests answered.
    pub requests_total: u64,
    /// Answers by class of status.
    pub responses_total: Classes,
    /// Request body bytes received from clients.
    pub request_bytes_total: u64,
    /// Response body bytes sent to clients.
    pub response_bytes_total: u64,
    /// Requests whose upstream could not be reached or broke off.
    pub upstream_errors_total: u64,
    /// Requests whose upstream has an address that the tenant may not reach.
    pub upstream_refused_total: u64,
    /// Further tries after a failed one.
    pub upstream_retries_total: u64,
    /// Connections other than HTTP that have reached their service.
    pub streams_total: u64,
    /// Bytes that their clients have sent; counted when they end.
    pub stream_bytes_in_total: u64,
    /// Bytes that their services have sent.
    pub stream_bytes_out_total: u64,
    /// Requests turned away because the tenant's own budget was spent.
    pub requests_over_budget_total: u64,
    /// Requests and other connections turned away because there are too many routes that only asking each of them can tell
    /// apart.
    pub requests_unroutable_total: u64,
    /// Requests turned away because the machine could not keep up.
    pub requests_shed_total: u64,
    /// Requests whose limits could not be asked for, because the server that keeps their counters did not answer.
    pub requests_not_counted_total: u64,
    /// Records of requests that plugins have delivered.
    pub records_sent_total: u64,
    /// Records that were lost: their queue was full, or their receiver did not take them in time.
    pub records_dropped_total: u64,
    /// Deliveries that were not taken, and maybe tried again.
    pub record_deliveries_failed_total: u64,
    /// Memory in bytes that records take which wait for delivery now.
    pub records_waiting_bytes: u64,
    /// Memory in bytes that stored responses take now.
    pub responses_cached_bytes: u64,
}

/// Numbers of answers by class of status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Classes {
    #[serde(rename = "1xx")]
    pub informational: u64,
    #[serde(rename = "2xx")]
    pub successful: u64,
    #[serde(rename = "3xx")]
    pub redirected: u64,
    #[serde(rename = "4xx")]
    pub client_errors: u64,
    #[serde(rename = "5xx")]
    pub server_errors: u64,
}

impl Counters {
    /// Counters for so many threads.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        let shards = (0..threads.max(1)).map(|_| Shard::default()).collect();
        Self { budget: Budget::default(), departure: Departure::default(), shards }
    }

    /// Counts an answered request. `thread` numbers the calling worker.
    pub fn answered(&self, thread: usize, status: u16, bytes_in: u64, bytes_out: u64) {
        let shard = self.shard(thread);
        shard.requests.fetch_add(1, Ordering::Relaxed);
        if let Some(class) = shard.status.get(usize::from(status / 100).wrapping_sub(1)) {
            class.fetch_add(1, Ordering::Relaxed);
        }
        if bytes_in > 0 {
            shard.bytes_in.fetch_add(bytes_in, Ordering::Relaxed);
        }
        shard.bytes_out.fetch_add(bytes_out, Ordering::Relaxed);
    }

    /// Counts a request whose upstream failed.
    pub fn upstream_error(&self, thread: usize) {
        self.shard(thread).upstream_errors.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request whose upstream's address is forbidden.
    pub fn upstream_refused(&self, thread: usize) {
        self.shard(thread).upstream_refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a connection other than HTTP.
    pub fn stream_began(&self, thread: usize) {
        self.shard(thread).streams.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts what went through it.
    pub fn stream_ended(&self, thread: usize, bytes_in: u64, bytes_out: u64) {
        let shard = self.shard(thread);
        shard.stream_bytes_in.fetch_add(bytes_in, Ordering::Relaxed);
        shard.stream_bytes_out.fetch_add(bytes_out, Ordering::Relaxed);
    }

    /// Counts a further try.
    pub fn upstream_retry(&self, thread: usize) {
        self.shard(thread).upstream_retries.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request that the tenant's budget had no room for.
    pub fn over_budget(&self, thread: usize) {
        self.shard(thread).over_budget.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request whose route cost too much to find.
    pub fn unroutable(&self, thread: usize) {
        self.shard(thread).unroutable.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request that the machine had no time for.
    pub fn shed(&self, thread: usize) {
        self.shard(thread).shed.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request whose limits could not be asked for.
    pub(crate) fn not_counted(&self, thread: usize) {
        self.shard(thread).not_counted.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts records that were delivered.
    pub(crate) fn records_sent(&self, thread: usize, count: u64) {
        self.shard(thread).records_sent.fetch_add(count, Ordering::Relaxed);
    }

    /// Counts records that were lost.
    pub(crate) fn records_dropped(&self, thread: usize, count: u64) {
        self.shard(thread).records_dropped.fetch_add(count, Ordering::Relaxed);
    }

    /// Counts a delivery that was not taken.
    pub(crate) fn delivery_failed(&self, thread: usize) {
        self.shard(thread).failed_deliveries.fetch_add(1, Ordering::Relaxed);
    }

    /// What the tenant asked of a thread lately.
    pub(crate) fn recent(&self, thread: usize) -> &Recent {
        &self.shard(thread).recent
    }

    /// The sums.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let sum = |pick: fn(&Shard) -> &AtomicU64| -> u64 {
            self.shards.iter().map(|shard| pick(shard).load(Ordering::Relaxed)).sum()
        };
        Totals {
            requests_total: sum(|shard| &shard.requests),
            responses_total: Classes {
                informational: sum(|shard| &shard.status[0]),
                successful: sum(|shard| &shard.status[1]),
                redirected: sum(|shard| &shard.status[2]),
                client_errors: sum(|shard| &shard.status[3]),
                server_errors: sum(|shard| &shard.status[4]),
            },
            request_bytes_total: sum(|shard| &shard.bytes_in),
            response_bytes_total: sum(|shard| &shard.bytes_out),
            upstream_errors_total: sum(|shard| &shard.upstream_errors),
            upstream_refused_total: sum(|shard| &shard.upstream_refused),
            upstream_retries_total: sum(|shard| &shard.upstream_retries),
            streams_total: sum(|shard| &shard.streams),
            stream_bytes_in_total: sum(|shard| &shard.stream_bytes_in),
            stream_bytes_out_total: sum(|shard| &shard.stream_bytes_out),
            requests_over_budget_total: sum(|shard| &shard.over_budget),
            requests_unroutable_total: sum(|shard| &shard.unroutable),
            requests_shed_total: sum(|shard| &shard.shed),
            requests_not_counted_total: sum(|shard| &shard.not_counted),
            records_sent_total: sum(|shard| &shard.records_sent),
            records_dropped_total: sum(|shard| &shard.records_dropped),
            record_deliveries_failed_total: sum(|shard| &shard.failed_deliveries),
            records_waiting_bytes: self.budget.waiting_bytes(),
            responses_cached_bytes: self.budget.cached_bytes(),
        }
    }

    /// Number of threads that count.
    pub(crate) fn threads(&self) -> usize {
        self.shards.len()
    }

    fn shard(&self, thread: usize) -> &Shard {
        &self.shards[thread % self.shards.len()]
    }
}
