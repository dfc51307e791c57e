//! Taking turns per tenant: updates of one follow each other, those of different ones do not wait for each other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Who is being worked on. Holds only those who are.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<HashMap<String, Arc<Mutex<()>>>>);

/// Clears up after a turn, also after one that panicked.
struct Place<'a> {
    turns: &'a Turns,
    id: &'a str,
}

impl Turns {
    /// Does something once nobody else does something for the same id.
    pub(super) fn take<T>(&self, id: &str, work: impl FnOnce() -> T) -> T {
        let own = self.lock().entry(id.to_owned()).or_default().clone();
        let _place = Place { turns: self, id };
        // Whoever panicked has left nothing behind that the next one could stumble over.
        let _turn = own.lock().unwrap_or_else(PoisonError::into_inner);
        work()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Mutex<()>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut waiting = self.turns.lock();
        // One reference is the table's and one that of the turn which ends; new ones are made under this lock only.
        if waiting.get(self.id).is_some_and(|turn| Arc::strong_count(turn) <= 2) {
            waiting.remove(self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn one_at_a_time_for_the_same_id() {
        let (turns, busy, done) = (Turns::default(), AtomicBool::new(false), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        turns.take("a", || {
                            assert!(!busy.swap(true, Ordering::SeqCst));
                            done.fetch_add(1, Ordering::Relaxed);
                            busy.store(false, Ordering::SeqCst);
                        });
                    }
                });
            }
        });
        assert_eq!(done.into_inner(), 2000);
        assert!(turns.lock().is_empty());
    }

    #[test]
    fn others_do_not_wait_and_a_panic_does_not_stay() {
        let turns = Turns::default();
        assert_eq!(turns.take("a", || turns.take("b", || turns.lock().len())), 2);
        let panicking = thread::scope(|scope| scope.spawn(|| turns.take("a", || panic!("as a bug would"))).join());
        assert!(panicking.is_err());
        assert_eq!(turns.take("a", || 1), 1);
        assert!(turns.lock().is_empty());
    }
}
