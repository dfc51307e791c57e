//! Counters of a tenant: exact, bounded, and kept when the configuration changes.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use super::periods::PERIODS;

/// Locks: requests of different callers seldom wait for each other.
const SHARDS: usize = 32;
/// Callers that a shard remembers; all together some 64,000 per tenant in 10 MB.
const MOST_PER_SHARD: usize = 2048;
/// Callers that are looked at to find one that can be forgotten.
const SAMPLE: usize = 8;

/// A limit as it applies to one request.
#[derive(Debug, Clone, Copy)]
pub(in crate::plugins) struct Bound {
    /// Index of the period.
    pub(in crate::plugins) period: usize,
    /// Requests in a window.
    pub(in crate::plugins) most: u64,
    /// Start of the present window.
    pub(in crate::plugins) start: u64,
}

/// What came of a request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::plugins) struct Usage {
    /// A limit had been reached already; nothing was counted.
    pub(in crate::plugins) denied: bool,
    used: [u64; PERIODS.len()],
}

impl Usage {
    /// Limits, with what was counted before elsewhere.
    pub(in crate::plugins) fn of(limits: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let mut usage = Self::default();
        for (own, (most, used)) in usage.used.iter_mut().zip(limits) {
            *own = used;
            usage.denied |= used >= most;
        }
        usage
    }

    /// Requests before this one, in the order of the bounds.
    pub(in crate::plugins) fn used(&self) -> impl Iterator<Item = u64> {
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

/// The last caller that a connection's requests were counted for, so that the same one need not be hashed again. Good for
/// the windows of the tenant that it was found in.
#[derive(Debug, Default)]
pub struct LastCaller {
    tenant: u64,
    place: (u128, u8),
    identifier: Vec<u8>,
    key: Option<(u64, u64)>,
}

/// Identifiers that are longer are not remembered.
const LONGEST_REMEMBERED: usize = 256;

impl LastCaller {
    /// What a caller is counted by; `find` is asked unless it is the last one.
    pub(in crate::plugins) fn key(
        &mut self,
        tenant: u64,
        place: (u128, u8),
        identifier: &[u8],
        find: impl FnOnce() -> (u64, u64),
    ) -> (u64, u64) {
        match self.key {
            Some(key) if (self.tenant, self.place) == (tenant, place) && self.identifier == identifier => key,
            _ if identifier.len() > LONGEST_REMEMBERED => find(),
            _ => {
                let key = find();
                (self.tenant, self.place, self.key) = (tenant, place, Some(key));
                self.identifier.clear();
                self.identifier.extend_from_slice(identifier);
                key
            }
        }
    }
}

impl Windows {
    /// What a caller is counted by. `who` is whatever tells callers apart.
    pub(in crate::plugins) fn key(&self, who: impl Hash) -> (u64, u64) {
        let [first, second] = self.table().hashers.each_ref().map(|hasher| hasher.hash_one(&who));
        (first, second)
    }

    /// Counts so much of a caller, unless a limit is reached.
    pub(in crate::plugins) fn take(
        &self,
        key: (u64, u64),
        bounds: impl Iterator<Item = Bound> + Clone,
        amount: u64,
    ) -> Usage {
        self.shard(key).caller(key).take(bounds, amount)
    }

    /// What is counted of a caller.
    pub(in crate::plugins) fn look(&self, key: (u64, u64), bounds: impl Iterator<Item = Bound> + Clone) -> Usage {
        self.shard(key).caller(key).look(bounds)
    }

    /// Takes back what was counted in windows that are still the present ones.
    pub(in crate::plugins) fn give_back(&self, key: (u64, u64), bounds: impl Iterator<Item = Bound>, amount: u64) {
        self.shard(key).caller(key).give_back(bounds, amount);
    }

    /// Has no less counted of a caller in a window, if that is still its present one.
    pub(in crate::plugins) fn raise(&self, key: (u64, u64), period: usize, start: u64, total: u64) {
        let mut shard = self.shard(key);
        let caller = shard.caller(key);
        if caller.starts[period] == start {
            caller.counts[period] = caller.counts[period].max(total);
        }
    }

    fn shard(&self, key: (u64, u64)) -> MutexGuard<'_, Shard> {
        let shard = usize::from(key.0.to_be_bytes()[0]) % SHARDS;
        // Counters are numbers only: there is nothing that a panic could have left half done.
        self.table().shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn table(&self) -> &Table {
        self.0.get_or_init(|| Table {
            hashers: [RandomState::new(), RandomState::new()],
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
        })
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

    fn take(&mut self, bounds: impl Iterator<Item = Bound> + Clone, amount: u64) -> Usage {
        let usage = self.look(bounds.clone());
        if !usage.denied {
            for Bound { period, .. } in bounds {
                self.counts[period] = self.counts[period].saturating_add(amount);
            }
        }
        usage
    }

    fn look(&mut self, bounds: impl Iterator<Item = Bound>) -> Usage {
        let mut usage = Usage::default();
        for (used, Bound { period, most, start }) in usage.used.iter_mut().zip(bounds) {
            if self.starts[period] != start {
                (self.starts[period], self.counts[period]) = (start, 0);
            }
            *used = self.counts[period];
            usage.denied |= *used >= most;
        }
        usage
    }

    fn give_back(&mut self, bounds: impl Iterator<Item = Bound>, amount: u64) {
        for Bound { period, start, .. } in bounds {
            if self.starts[period] == start {
                self.counts[period] = self.counts[period].saturating_sub(amount);
            }
        }
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
        let ask = |start| windows.take(windows.key("a"), [bound(0, 2, start), bound(1, 3, 0)].into_iter(), 1);
        let used = |usage: Usage| (usage.denied, usage.used[0], usage.used[1]);
        assert_eq!([ask(0), ask(0), ask(0)].map(used), [(false, 0, 0), (false, 1, 1), (true, 2, 2)]);
        assert_eq!([ask(1), ask(1)].map(used), [(false, 0, 2), (true, 1, 3)]);
        assert_eq!(
            used(windows.take(windows.key("b"), [bound(0, 2, 1), bound(1, 3, 0)].into_iter(), 1)),
            (false, 0, 0)
        );
    }

    #[test]
    fn amounts_are_counted_looked_at_and_given_back() {
        let windows = Windows::default();
        let (key, bounds) = (windows.key("a"), |start| [bound(0, 5, start), bound(1, 9, 0)].into_iter());
        let used = |usage: Usage| (usage.denied, usage.used[0], usage.used[1]);
        assert_eq!(used(windows.look(key, bounds(0))), (false, 0, 0));
        assert_eq!(used(windows.take(key, bounds(0), 4)), (false, 0, 0));
        assert_eq!(used(windows.take(key, bounds(0), 4)), (false, 4, 4));
        assert_eq!(used(windows.take(key, bounds(0), 1)), (true, 8, 8));
        windows.give_back(key, bounds(0), 4);
        assert_eq!(used(windows.look(key, bounds(0))), (false, 4, 4));
        assert_eq!(used(windows.look(key, bounds(7))), (false, 0, 4));
        windows.give_back(key, bounds(0), 3);
        assert_eq!(used(windows.look(key, bounds(7))), (false, 0, 1));
        windows.take(key, bounds(7), u64::MAX);
        assert_eq!(used(windows.take(key, bounds(7), u64::MAX)), (true, u64::MAX, u64::MAX));
    }

    #[test]
    fn the_last_caller_is_remembered_and_nobody_else() {
        let (windows, mut last) = (Windows::default(), LastCaller::default());
        let mut found = 0;
        let mut ask = |tenant: u64, place: (u128, u8), who: &[u8]| {
            let key = last.key(tenant, place, who, || {
                found += 1;
                windows.key((place, who))
            });
            assert_eq!(key, windows.key((place, who)));
            found
        };
        assert_eq!([ask(1, (1, 0), b"a"), ask(1, (1, 0), b"a")], [1, 1]);
        assert_eq!(
            [ask(2, (1, 0), b"a"), ask(2, (2, 0), b"a"), ask(2, (2, 1), b"a"), ask(2, (2, 1), b"b")],
            [2, 3, 4, 5]
        );
        assert_eq!(ask(2, (2, 1), b"b"), 5);
        assert_eq!([ask(2, (2, 1), &[b'x'; 257]), ask(2, (2, 1), &[b'x'; 257]), ask(2, (2, 1), b"b")], [6, 7, 7]);
    }

    #[test]
    fn no_more_than_allowed_at_the_same_time() {
        let windows = Arc::new(Windows::default());
        let ask = |windows: Arc<Windows>| {
            move || {
                (0..5_000)
                    .filter(|_| !windows.take(windows.key(7), [bound(1, 1_000, 60)].into_iter(), 1).denied)
                    .count()
            }
        };
        let threads: Vec<_> = (0..4).map(|_| thread::spawn(ask(windows.clone()))).collect();
        assert_eq!(threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>(), 1_000);
    }

    #[test]
    fn strangers_do_not_make_it_forget_who_has_asked_much() {
        let windows = Windows::default();
        let ask = |who: u64| windows.take(windows.key(who), [bound(1, 3, 0)].into_iter(), 1).denied;
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
