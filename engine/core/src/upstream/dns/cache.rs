//! Answers that are remembered.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Answer, Key, Record};

/// Names remembered.
const MOST: usize = 32_768;
/// Names remembered for one tenant.
const MOST_PER_TENANT: usize = 2_048;

#[derive(Debug)]
struct Known {
    tenant: u64,
    answer: Arc<Answer>,
    found: Duration,
}

/// The answers by name, each on the account of the tenant that asked first.
#[derive(Debug, Default)]
pub struct Cache {
    known: HashMap<Key, Known>,
    counts: HashMap<u64, usize>,
}

impl Cache {
    /// An answer that is still good.
    #[must_use]
    pub fn fresh(&self, key: &Key, now: Duration) -> Option<Arc<Answer>> {
        self.known.get(key).filter(|known| now < known.answer.expires).map(|known| known.answer.clone())
    }

    /// The records of an answer that was good not too long ago.
    #[must_use]
    pub fn stale(&self, key: &Key, now: Duration, longest: Duration) -> Vec<Record> {
        let known = self.known.get(key).filter(|known| now.saturating_sub(known.found) <= longest);
        known.map(|known| known.answer.records.clone()).unwrap_or_default()
    }

    /// Remembers an answer; `found` is when its records were, unless they are those of an earlier answer. A tenant with
    /// too many names loses its own ones.
    pub fn put(&mut self, tenant: u64, key: Key, answer: Arc<Answer>, found: Option<Duration>) {
        if let Some(known) = self.known.get_mut(&key) {
            known.found = found.unwrap_or(known.found);
            known.answer = answer;
            return;
        }
        if self.counts.get(&tenant).is_some_and(|count| *count >= MOST_PER_TENANT) {
            self.forget(|known| known.tenant == tenant);
        }
        if self.known.len() >= MOST {
            let now = found.unwrap_or(answer.expires);
            self.forget(|known| known.answer.expires <= now);
        }
        if self.known.len() >= MOST {
            return;
        }
        *self.counts.entry(tenant).or_default() += 1;
        let found = found.unwrap_or(answer.expires);
        self.known.insert(key, Known { tenant, answer, found });
    }

    fn forget(&mut self, is_dropped: impl Fn(&Known) -> bool) {
        self.known.retain(|_, known| !is_dropped(known));
        self.counts.clear();
        for known in self.known.values() {
            *self.counts.entry(known.tenant).or_default() += 1;
        }
    }
}
