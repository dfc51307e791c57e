//! The stored responses of a tenant: bounded in number and in bytes, of the tenant and of the process.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::key::Key;
use crate::budget::Budget;
use crate::counts::Share;

/// Largest body that is stored.
pub(super) const LARGEST_BODY: usize = 1024 * 1024;
/// Bytes of stored responses in the whole process.
const MOST_BYTES: u64 = 256 * 1024 * 1024;
/// Those of one tenant.
const MOST_BYTES_OF_ONE: u64 = 32 * 1024 * 1024;
/// Those of one tenant while more than half of the process's are taken: who fills the memory leaves some to the others.
const MOST_BYTES_OF_ONE_WHEN_SCARCE: u64 = 4 * 1024 * 1024;
/// Responses of one tenant.
const MOST_ENTRIES: usize = 16_384;
/// What an entry takes besides its text.
const OVERHEAD: u64 = 512;
/// Entries that are looked at to find one that is not missed.
const SAMPLE: usize = 8;
/// Entries that give way to one.
const MOST_EVICTED_AT_ONCE: usize = 256;

/// What all stored responses of the process take.
static TAKEN: LazyLock<Arc<AtomicU64>> = LazyLock::new(Arc::default);

/// A response as it was.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) status: u16,
    pub(super) headers: Vec<(Box<str>, Box<[u8]>)>,
    pub(super) content_type: Box<str>,
    pub(super) body: Bytes,
    /// Length of the body that an answer to `HEAD` speaks of.
    pub(super) head_length: Option<u64>,
    /// When it was stored, in seconds since the Unix epoch.
    pub(super) since: u64,
    /// How old it was then.
    pub(super) age: u64,
    /// For how many seconds it was good from then on.
    pub(super) lifetime: u64,
    /// Whether it must not be served when it is not good any more.
    pub(super) must_revalidate: bool,
}

/// What is stored under a key.
#[derive(Debug, Clone)]
pub(super) enum Kept {
    /// The response.
    Response(Arc<Stored>),
    /// The names of headers that responses vary by.
    Variants(Arc<[Box<str>]>),
}

/// The responses that are stored for a tenant. Takes no memory before there is one.
#[derive(Debug, Default)]
pub struct Responses(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    places: HashMap<Key, usize>,
    entries: Vec<Entry>,
    hand: usize,
    /// How often something was found; entries remember when they were.
    moment: u64,
}

#[derive(Debug)]
struct Entry {
    key: Key,
    kept: Kept,
    expires: u64,
    found: u64,
    _held: Held,
}

/// A part of the memory for stored responses, the tenant's and the process's.
#[derive(Debug)]
pub(super) struct Held {
    of_tenant: Share,
    of_process: Share,
}

impl Held {
    pub(super) fn nothing(budget: &Budget) -> Self {
        Self { of_tenant: budget.cached(), of_process: Share::none_of(&TAKEN) }
    }

    /// Takes more, if it is there.
    pub(super) fn grow(&mut self, by: u64) -> bool {
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
}

impl Kept {
    fn size(&self) -> u64 {
        let text = match self {
            Self::Response(stored) => {
                let headers = stored.headers.iter().map(|(name, value)| name.len() + value.len() + 32);
                headers.sum::<usize>() + stored.content_type.len()
            }
            Self::Variants(names) => names.iter().map(|name| name.len() + 16).sum(),
        };
        OVERHEAD + text as u64
    }
}

impl Responses {
    /// What is stored under a key.
    pub(super) fn find(&self, key: &Key, now: u64) -> Option<Kept> {
        let mut state = self.lock();
        let place = *state.places.get(key)?;
        if state.entries[place].expires <= now {
            state.remove(place);
            return None;
        }
        state.moment += 1;
        let moment = state.moment;
        let entry = &mut state.entries[place];
        entry.found = moment;
        Some(entry.kept.clone())
    }

    /// Stores something until a time, in place of what was there before. `held` is the memory that its body takes already.
    /// Others give way to it: what is over, or was not found for longest. Says whether it is stored.
    pub(super) fn put(&self, key: Key, kept: Kept, expires: u64, mut held: Held, now: u64) -> bool {
        let size = kept.size();
        let mut state = self.lock();
        if let Some(place) = state.places.get(&key).copied() {
            state.remove(place);
        }
        for _ in 0..MOST_EVICTED_AT_ONCE {
            if state.entries.len() < MOST_ENTRIES && held.grow(size) {
                state.moment += 1;
                let found = state.moment;
                let place = state.entries.len();
                state.entries.push(Entry { key, kept, expires, found, _held: held });
                state.places.insert(key, place);
                return true;
            }
            if !state.evict(now) {
                return false;
            }
        }
        false
    }

    /// Has one entry give way, if there is any.
    pub(super) fn make_room(&self, now: u64) -> bool {
        self.lock().evict(now)
    }

    /// Forgets what is over. Costs what there is.
    pub(crate) fn sweep(&self, now: u64) {
        let mut state = self.lock();
        if state.entries.is_empty() {
            return;
        }
        let mut place = 0;
        while place < state.entries.len() {
            if state.entries[place].expires <= now {
                state.remove(place);
            } else {
                place += 1;
            }
        }
        if state.entries.is_empty() {
            *state = State::default();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn remove(&mut self, place: usize) {
        let entry = self.entries.swap_remove(place);
        self.places.remove(&entry.key);
        if let Some(moved) = self.entries.get(place) {
            self.places.insert(moved.key, place);
        }
    }

    fn evict(&mut self, now: u64) -> bool {
        let count = self.entries.len();
        let sample = (self.hand..self.hand + SAMPLE.min(count)).map(|place| place % count.max(1));
        let worth = |place: &usize| {
            let entry = &self.entries[*place];
            (entry.expires > now, entry.found)
        };
        let Some(place) = sample.min_by_key(worth) else { return false };
        self.hand = (self.hand + SAMPLE) % count;
        self.remove(place);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(body: usize) -> Kept {
        Kept::Response(Arc::new(Stored {
            status: 200,
            headers: Vec::new(),
            content_type: "".into(),
            body: vec![b'x'; body].into(),
            head_length: None,
            since: 0,
            age: 0,
            lifetime: 10,
            must_revalidate: false,
        }))
    }

    fn put(responses: &Responses, budget: &Budget, number: u32, body: usize, expires: u64) -> bool {
        let mut held = Held::nothing(budget);
        while !held.grow(body as u64) {
            if !responses.make_room(0) {
                return false;
            }
        }
        responses.put(key(number), response(body), expires, held, 0)
    }

    fn key(number: u32) -> Key {
        let mut key = Key::default();
        key[..4].copy_from_slice(&number.to_be_bytes());
        key
    }

    #[test]
    fn what_is_over_is_gone() {
        let (responses, budget) = (Responses::default(), Budget::default());
        assert!(put(&responses, &budget, 1, 10, 5) && put(&responses, &budget, 2, 10, 7));
        assert!(responses.find(&key(1), 4).is_some() && responses.find(&key(1), 5).is_none());
        assert!(budget.cached_bytes() > 0);
        responses.sweep(7);
        assert_eq!(budget.cached_bytes(), 0);
        assert!(responses.find(&key(2), 6).is_none());
    }

    #[test]
    fn memory_is_bounded_and_what_is_asked_for_stays() {
        let (responses, budget) = (Responses::default(), Budget::default());
        assert!(put(&responses, &budget, 0, 1000, 100));
        for number in 1..200 {
            assert!(put(&responses, &budget, number, 512 * 1024, 100));
            assert!(responses.find(&key(0), 1).is_some(), "{number}");
            assert!(budget.cached_bytes() <= MOST_BYTES_OF_ONE);
        }
        assert!(!put(&responses, &budget, 500, 64 * 1024 * 1024, 100));
        drop(responses);
        assert_eq!(budget.cached_bytes(), 0);
    }

    #[test]
    fn so_many_responses_and_no_more() {
        let (responses, budget) = (Responses::default(), Budget::default());
        for number in 0..20_000 {
            assert!(put(&responses, &budget, number, 0, 100));
        }
        let state = responses.lock();
        assert_eq!((state.entries.len(), state.places.len()), (MOST_ENTRIES, MOST_ENTRIES));
        assert!(state.places.iter().all(|(key, place)| state.entries[*place].key == *key));
    }

    #[test]
    fn a_response_takes_the_place_of_the_one_before() {
        let (responses, budget) = (Responses::default(), Budget::default());
        assert!(put(&responses, &budget, 1, 1000, 100));
        let before = budget.cached_bytes();
        assert!(put(&responses, &budget, 1, 1000, 100));
        assert_eq!((budget.cached_bytes(), responses.lock().entries.len()), (before, 1));
    }
}
