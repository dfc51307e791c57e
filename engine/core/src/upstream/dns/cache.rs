//! Answers that are remembered.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Answer, Record};

/// Names remembered.
const MOST: usize = 32_768;
/// Names below which nothing is tidied up.
const FEW: usize = 256;
/// Names remembered for one tenant.
const MOST_PER_TENANT: usize = 2_048;

#[derive(Debug)]
struct Known {
    tenant: u64,
    answer: Arc<Answer>,
    found: Duration,
}

impl Known {
    fn is_stale(&self, now: Duration, longest: Duration) -> bool {
        self.answer.records.is_empty() || now.saturating_sub(self.found) > longest
    }
}

/// The answers by name, each on the account of the tenant that asked first.
#[derive(Debug, Default)]
pub struct Cache {
    known: HashMap<Box<str>, Known>,
    counts: HashMap<u64, usize>,
    /// How many names there are when they are tidied up.
    tidy_at: usize,
}

impl Cache {
    /// An answer that is still good.
    #[must_use]
    pub fn fresh(&self, key: &str, now: Duration) -> Option<Arc<Answer>> {
        self.known.get(key).filter(|known| now < known.answer.expires).map(|known| known.answer.clone())
    }

    /// The records of an answer that was good not too long ago.
    #[must_use]
    pub fn stale(&self, key: &str, now: Duration, longest: Duration) -> Vec<Record> {
        let known = self.known.get(key).filter(|known| !known.is_stale(now, longest));
        known.map(|known| known.answer.records.clone()).unwrap_or_default()
    }

    /// Remembers an answer; `found` is when its records were, unless they are those of an earlier answer. A tenant with
    /// too many names loses its own ones. `longest` is how old the records of an answer may get.
    pub fn put(&mut self, tenant: u64, key: &str, answer: Arc<Answer>, found: Option<Duration>, longest: Duration) {
        if let Some(known) = self.known.get_mut(key) {
            known.found = found.unwrap_or(known.found);
            known.answer = answer;
            return;
        }
        if self.counts.get(&tenant).is_some_and(|count| *count >= MOST_PER_TENANT) {
            self.forget(|known| known.tenant == tenant);
        }
        // With the names that nobody asks for any more gone, there are not many more than those that somebody does.
        if self.known.len() >= self.tidy_at.max(FEW) {
            let now = found.unwrap_or(answer.expires);
            self.forget(|known| known.answer.expires <= now && known.is_stale(now, longest));
            if self.known.len() >= MOST {
                self.forget(|known| known.answer.expires <= now);
            }
            self.tidy_at = (2 * self.known.len()).min(MOST);
        }
        if self.known.len() >= MOST {
            return;
        }
        *self.counts.entry(tenant).or_default() += 1;
        let found = found.unwrap_or(answer.expires);
        self.known.insert(key.into(), Known { tenant, answer, found });
    }

    fn forget(&mut self, is_dropped: impl Fn(&Known) -> bool) {
        self.known.retain(|_, known| !is_dropped(known));
        self.counts.clear();
        for known in self.known.values() {
            *self.counts.entry(known.tenant).or_default() += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_secs(100);

    fn put(cache: &mut Cache, tenant: u64, name: usize, now: u64, records: usize) {
        let record = Record::plain("192.0.2.1".parse().unwrap());
        let answer = Answer { records: vec![record; records], expires: Duration::from_secs(now + 10) };
        cache.put(tenant, &name.to_string(), Arc::new(answer), Some(Duration::from_secs(now)), LONGEST);
    }

    #[test]
    fn names_of_the_past_do_not_add_up() {
        let mut cache = Cache::default();
        for name in 0..100_000 {
            // One a second, each of another tenant; each second one is none.
            put(&mut cache, name as u64, name, name as u64, name % 2);
            assert!(cache.known.len() <= FEW && cache.counts.len() <= FEW, "{}", cache.known.len());
        }
    }

    #[test]
    fn an_answer_stays_for_as_long_as_it_may_serve() {
        let mut cache = Cache::default();
        for name in 0..10_000 {
            put(&mut cache, name as u64, name, 0, 1);
        }
        put(&mut cache, 0, 10_000, 50, 1);
        let has = |name: usize, now| !cache.stale(&name.to_string(), Duration::from_secs(now), LONGEST).is_empty();
        assert!((0..=10_000).all(|name| has(name, 100)) && !has(0, 101) && has(10_000, 101));
    }
}
