//! What waits to be delivered: one queue per instance of a plugin, shared by all threads.
//!
//! Requests' threads only put entries in, for which they need a lock for a moment. Whoever finds nobody attending has a
//! task of its own thread do so ([`super::sender`]), which ends when there is nothing left: a queue that is empty costs
//! nothing but itself, however many tenants have one.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::{Deserialize, Deserializer};
use tokio::sync::Notify;

use super::sender::{self, Delivery};
use crate::counts::Share;
use crate::phases::Noted;

/// Bytes that wait for delivery in the whole process.
const MOST_BYTES: u64 = 256 * 1024 * 1024;
/// Those of one tenant.
const MOST_BYTES_OF_ONE: u64 = 16 * 1024 * 1024;
/// Those of one tenant while more than half of the process's are taken: whoever's receiver is down leaves room to
/// neighbours whose receivers are up.
const MOST_BYTES_OF_ONE_WHEN_SCARCE: u64 = 1024 * 1024;
/// What an entry takes besides its bytes.
const OVERHEAD: u64 = 128;
/// Entries that give way to one. The bounds that they give way to may have shrunk a lot.
const MOST_DROPPED_AT_ONCE: u64 = 64;
/// Longest time of anything that is configured, so that times can be added up.
const LONGEST: Duration = Duration::from_secs(1_000_000);

/// How entries are gathered, bounded and tried again; `queue` in the configuration of plugins, null for the defaults.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct QueueConfig {
    /// Most entries that are delivered at once.
    pub max_batch_size: usize,
    /// Seconds that a batch waits for more.
    pub max_coalescing_delay: f64,
    /// Most entries that wait.
    pub max_entries: usize,
    /// Most bytes that wait.
    pub max_bytes: Option<u64>,
    /// Seconds for which a batch is tried again.
    pub max_retry_time: f64,
    /// Seconds before the first retry; they double with each further one.
    pub initial_retry_delay: f64,
    /// Most seconds before a retry.
    pub max_retry_delay: f64,
    /// Batches under way at once: 1, or -1 for many.
    pub concurrency_limit: i64,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self {
            max_batch_size: 1,
            max_coalescing_delay: 1.0,
            max_entries: 10_000,
            max_bytes: None,
            max_retry_time: 60.0,
            initial_retry_delay: 0.01,
            max_retry_delay: 60.0,
            concurrency_limit: 1,
        }
    }
}

impl<'de> Deserialize<'de> for QueueConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Stated(#[serde(with = "QueueConfig")] QueueConfig);
        let stated = Option::<Stated>::deserialize(deserializer)?;
        Ok(stated.map_or_else(Self::default, |Stated(config)| config))
    }
}

impl QueueConfig {
    /// The same with what old configurations say of it, where that is not what they say by default.
    #[must_use]
    pub fn with_old(mut self, queue_size: Option<usize>, flush_timeout: Option<f64>) -> Self {
        if let Some(size) = queue_size.filter(|size| *size > 1) {
            self.max_batch_size = size;
        }
        if let Some(seconds) = flush_timeout.filter(|seconds| (seconds - 2.0).abs() > f64::EPSILON) {
            self.max_coalescing_delay = seconds;
        }
        self
    }

    /// For plugins whose entries are lines of their own: what waits goes at once, and is not tried again.
    #[must_use]
    pub fn of_lines(max_batch_size: usize) -> Self {
        Self {
            max_batch_size,
            max_coalescing_delay: 0.0,
            max_entries: 10_000,
            max_bytes: None,
            max_retry_time: 0.0,
            initial_retry_delay: 0.01,
            max_retry_delay: 1.0,
            concurrency_limit: 1,
        }
    }
}

/// The queue of one instance. What waits when the instance goes is still delivered, for as long as a batch would be
/// tried again.
pub struct Queue {
    pub(super) shared: Arc<Shared>,
}

/// What requests' threads and the sender share.
pub(super) struct Shared {
    pub(super) delivery: Box<dyn Delivery>,
    pub(super) batch: usize,
    pub(super) coalescing: Duration,
    pub(super) retrying: Duration,
    pub(super) first_pause: Duration,
    pub(super) longest_pause: Duration,
    pub(super) is_concurrent: bool,
    pub(super) news: Notify,
    most_entries: usize,
    most_bytes: u64,
    state: Mutex<State>,
}

/// What waits.
#[derive(Default)]
pub(super) struct State {
    entries: VecDeque<Bytes>,
    bytes: u64,
    held: Option<Held>,
    /// Whether there is a sender.
    pub(super) is_attended: bool,
    /// The number of entries that the sender waits for, if it does.
    pub(super) wanted: Option<usize>,
    /// When the instance was gone.
    pub(super) closed: Option<Instant>,
}

/// The memory that entries take, those under way among them.
struct Held {
    of_tenant: Share,
    of_process: Share,
}

/// Entries on their way, and the memory that they take.
pub(super) struct Batch {
    pub(super) entries: Vec<Bytes>,
    shared: Arc<Shared>,
}

impl Queue {
    /// An empty queue.
    #[must_use]
    pub fn new(config: &QueueConfig, delivery: Box<dyn Delivery>) -> Self {
        let seconds = |seconds: f64| Duration::try_from_secs_f64(seconds).unwrap_or_default().min(LONGEST);
        let shared = Shared {
            delivery,
            batch: config.max_batch_size.max(1),
            coalescing: seconds(config.max_coalescing_delay),
            retrying: seconds(config.max_retry_time),
            first_pause: seconds(config.initial_retry_delay),
            longest_pause: seconds(config.max_retry_delay),
            is_concurrent: config.concurrency_limit < 0,
            news: Notify::new(),
            most_entries: config.max_entries.max(1),
            most_bytes: config.max_bytes.unwrap_or(u64::MAX),
            state: Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Puts an entry in; the oldest ones give way to it if there are too many. To be called from
    /// [`crate::phases::Plugin::log`] and [`crate::phases::Plugin::log_stream`].
    pub fn push(&self, record: &impl Noted, entry: Bytes) {
        let (worker, tenant) = record.of();
        let counters = &tenant.counters;
        let mut state = self.shared.lock();
        // Whose memory it is, nobody has told before.
        state.held.get_or_insert_with(|| Held {
            of_tenant: counters.budget.waiting(),
            of_process: worker.shared.counts.waiting(),
        });
        let (dropped, fits) = state.make_room(&entry, self.shared.most_entries, self.shared.most_bytes);
        let mut is_unattended = false;
        if fits {
            state.bytes += entry.len() as u64;
            state.entries.push_back(entry);
            is_unattended = !std::mem::replace(&mut state.is_attended, true);
        }
        let enough = state.entries.len();
        let is_news = state.wanted.take_if(|wanted| *wanted <= enough).is_some();
        drop(state);
        let lost = dropped + u64::from(!fits);
        if lost > 0 {
            counters.records_dropped(worker.index, lost);
        }
        if is_unattended {
            sender::attend(&self.shared, worker, tenant.number);
        } else if is_news {
            self.shared.news.notify_one();
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.shared.lock().closed = Some(Instant::now());
        self.shared.news.notify_one();
    }
}

impl State {
    /// Has older entries give way until there is room for one more, and takes the memory for it. Says how many were lost,
    /// and whether there is room.
    fn make_room(&mut self, entry: &Bytes, most_entries: usize, most_bytes: u64) -> (u64, bool) {
        let size = entry.len() as u64;
        let mut dropped = 0;
        if size > most_bytes {
            return (dropped, false);
        }
        loop {
            let is_full = self.entries.len() >= most_entries || self.bytes + size > most_bytes;
            let Some(held) = &mut self.held else { return (dropped, false) };
            if !is_full && held.grow(size + OVERHEAD) {
                return (dropped, true);
            }
            if dropped == MOST_DROPPED_AT_ONCE {
                return (dropped, false);
            }
            let Some(oldest) = self.entries.pop_front() else { return (dropped, false) };
            self.bytes -= oldest.len() as u64;
            held.shrink(oldest.len() as u64 + OVERHEAD);
            dropped += 1;
        }
    }

    /// Takes up to so many entries out; they go on taking memory.
    pub(super) fn take(&mut self, most: usize, shared: &Arc<Shared>) -> Batch {
        let count = self.entries.len().min(most);
        let entries: Vec<_> = self.entries.drain(..count).collect();
        self.bytes -= entries.iter().map(|entry| entry.len() as u64).sum::<u64>();
        Batch { entries, shared: shared.clone() }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Throws away whatever waits; says how much it was.
    pub(super) fn clear(self: &Arc<Self>) -> u64 {
        let all = self.lock().take(usize::MAX, self);
        all.entries.len() as u64
    }
}

impl Held {
    fn grow(&mut self, by: u64) -> bool {
        let is_scarce = self.of_process.total() > MOST_BYTES / 2;
        let most = if is_scarce { MOST_BYTES_OF_ONE_WHEN_SCARCE } else { MOST_BYTES_OF_ONE };
        if !self.of_tenant.grow(by, most) {
            return false;
        }
        let granted = self.of_process.grow(by, MOST_BYTES);
        if !granted {
            self.of_tenant.shrink(by);
        }
        granted
    }

    fn shrink(&mut self, by: u64) {
        self.of_tenant.shrink(by);
        self.of_process.shrink(by);
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        let size = self.entries.iter().map(|entry| entry.len() as u64 + OVERHEAD).sum();
        if let Some(held) = &mut self.shared.lock().held {
            held.shrink(size);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::QueueConfig;

    #[test]
    fn null_is_the_defaults_and_a_record_is_complete() {
        assert_eq!(from_value::<QueueConfig>(json!(null)).unwrap(), QueueConfig::default());
        let mut stated = json!({
            "max_batch_size": 7, "max_coalescing_delay": 1, "max_entries": 10_000, "max_bytes": null,
            "max_retry_time": 60, "initial_retry_delay": 0.01, "max_retry_delay": 60, "concurrency_limit": 1,
        });
        let wanted = QueueConfig { max_batch_size: 7, ..QueueConfig::default() };
        assert_eq!(from_value::<QueueConfig>(stated.clone()).unwrap(), wanted);
        stated["more"] = json!(1);
        assert!(from_value::<QueueConfig>(stated).is_err());
    }
}
