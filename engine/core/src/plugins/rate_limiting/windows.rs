//! Counters of a tenant: exact, bounded, and kept when the configuration changes.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState};
use std::sync::{Mutex, OnceLock, PoisonError};

use super::periods::PERIODS;

/// Locks: requests of different callers seldom wait for each other.
const SHARDS: usize = 32;
/// Callers that a shard remembers; all together some 64,000 per tenant in 10 MB.
const MOST_PER_SHARD: usize = 2048;
/// Callers that are looked at to find one that can be forgotten.
const SAMPLE: usize = 8;

/// A limit as it applies to one request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bound {
    /// Index of the period.
    pub(super) period: usize,
    /// Requests in a window.
    pub(super) most: u64,
    /// Start of the present window.
    pub(super) start: u64,
}

/// What came of a request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// A limit had been reached already; nothing was counted.
    pub(super) denied: bool,
    used: [u64; PERIODS.len()],
}

impl Usage {
    /// Requests before this one, in the order of the bounds.
    pub(super) fn used(&self) -> impl Iterator<Item = u64> {
        self.used.into_iter()
    }
}

/// What rate limits of a tenant have counted. Takes no memory before the first request is counted.
#[derive(Debug, Default)]
pub struct Windows(OnceLock<Table>);

#[derive(Debug)]
struct Table {
    /// Two, so that callers are told apart by 128 bits that nobody can foresee.
    hashers: [RandomState; 2],
    shards: Box<[Mutex<Shard>]>,
}

#[derive(Debug, Default)]
struct Shard {
    places: HashMap<(u64, u64), usize, BuildHasherDefault<Hashed>>,
    callers: Vec<Caller>,
    hand: usize,
}

/// The hash of keys that are keyed hashes already: their last word.
#[derive(Debug, Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| hash.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = word;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The counters of one caller.
#[derive(Debug)]
struct Caller {
    key: (u64, u64),
    starts: [u64; PERIODS.len()],
    counts: [u64; PERIODS.len()],
}

impl Windows {
    /// Counts a request of a caller, unless a limit is reached. `who` is whatever tells callers apart.
    pub(super) fn take(&self, who: impl Hash, bounds: impl Iterator<Item = Bound> + Clone) -> Usage {
        let table = self.0.get_or_init(|| Table {
            hashers: [RandomState::new(), RandomState::new()],
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
        });
        let [first, second] = table.hashers.each_ref().map(|hasher| hasher.hash_one(&who));
        let shard = usize::from(first.to_be_bytes()[0]) % SHARDS;
        // Counters are numbers only: there is nothing that a panic could have left half done.
        let mut shard = table.shards[shard].lock().unwrap_or_else(PoisonError::into_inner);
        shard.caller((first, second)).take(bounds)
    }
}

impl Shard {
    fn caller(&mut self, key: (u64, u64)) -> &mut Caller {
        let place = match self.places.get(&key) {
            Some(place) => *place,
            None => self.admit(key),
        };
        &mut self.callers[place]
    }

    /// Makes room for a caller, if necessary in the place of one who has asked little: whoever is close to a limit is
    /// remembered, however many strangers come by.
    fn admit(&mut self, key: (u64, u64)) -> usize {
        let caller = Caller { key, starts: [0; PERIODS.len()], counts: [0; PERIODS.len()] };
        let place = if self.callers.len() < MOST_PER_SHARD {
            self.callers.push(caller);
            self.callers.len() - 1
        } else {
            let sample = (self.hand..self.hand + SAMPLE).map(|place| place % self.callers.len());
            let place = sample.min_by_key(|place| self.callers[*place].weight()).unwrap_or_default();
            self.hand = (self.hand + SAMPLE) % self.callers.len();
            self.places.remove(&self.callers[place].key);
            self.callers[place] = caller;
            place
        };
        self.places.insert(key, place);
        place
    }
}

impl Caller {
    /// The time of the last window that counts, then how much is counted.
    fn weight(&self) -> (u64, u64) {
        let ends = self.starts.iter().zip(PERIODS).map(|(start, period)| start.saturating_add(period.seconds));
        let counted = ends.zip(self.counts).filter(|(_, count)| *count > 0);
        (counted.clone().map(|(end, _)| end).max().unwrap_or(0), self.counts.iter().sum())
    }

    fn take(&mut self, bounds: impl Iterator<Item = Bound> + Clone) -> Usage {
        let mut usage = Usage::default();
        for (used, Bound { period, most, start }) in usage.used.iter_mut().zip(bounds.clone()) {
            if self.starts[period] != start {
                (self.starts[period], self.counts[period]) = (start, 0);
            }
            *used = self.counts[period];
            usage.denied |= *used >= most;
        }
        if !usage.denied {
            bounds.for_each(|bound| self.counts[bound.period] += 1);
        }
        usage
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;

    fn bound(period: usize, most: u64, start: u64) -> Bound {
        Bound { period, most, start }
    }

    #[test]
    fn all_periods_count_together_or_none_does() {
        let windows = Windows::default();
        let ask = |start| windows.take("a", [bound(0, 2, start), bound(1, 3, 0)].into_iter());
        let used = |usage: Usage| (usage.denied, usage.used[0], usage.used[1]);
        assert_eq!([ask(0), ask(0), ask(0)].map(used), [(false, 0, 0), (false, 1, 1), (true, 2, 2)]);
        assert_eq!([ask(1), ask(1)].map(used), [(false, 0, 2), (true, 1, 3)]);
        assert_eq!(used(windows.take("b", [bound(0, 2, 1), bound(1, 3, 0)].into_iter())), (false, 0, 0));
    }

    #[test]
    fn no_more_than_allowed_at_the_same_time() {
        let windows = Arc::new(Windows::default());
        let ask = |windows: Arc<Windows>| {
            move || (0..5_000).filter(|_| !windows.take(7, [bound(1, 1_000, 60)].into_iter()).denied).count()
        };
        let threads: Vec<_> = (0..4).map(|_| thread::spawn(ask(windows.clone()))).collect();
        assert_eq!(threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>(), 1_000);
    }

    #[test]
    fn strangers_do_not_make_it_forget_who_has_asked_much() {
        let windows = Windows::default();
        let ask = |who: u64| windows.take(who, [bound(1, 3, 0)].into_iter()).denied;
        assert_eq!([ask(0), ask(0), ask(0), ask(0)], [false, false, false, true]);
        for stranger in 1..200_000 {
            assert!(!ask(stranger));
        }
        assert!(ask(0));
        let table = windows.0.get().unwrap();
        let remembered: usize = table.shards.iter().map(|shard| shard.lock().unwrap().callers.len()).sum();
        assert_eq!(remembered, SHARDS * MOST_PER_SHARD);
    }
}
