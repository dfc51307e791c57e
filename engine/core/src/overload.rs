//! Shedding load that a thread cannot serve in time. A thread measures how late it is by how late its own timer fires:
//! that is how long a ready connection waits for its turn. While that is too long for a second or more, some requests are turned away at
//! once, first those of the tenants that ask for more than their part.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How often a thread measures.
pub const TICK: Duration = Duration::from_millis(100);
/// So many late ticks in a row are no hiccup (a machine that was busy with something else for a moment) but a load.
const PERSISTENT: u32 = 10;
/// How much less is let in after a late tick, and how much more after one in time.
const LESS: f64 = 0.8;
const MORE: f64 = 0.05;
/// Something is always let in, or nothing would show that the load is over.
const LEAST: f64 = 0.05;

/// A tenant's requests to one thread in the present tick: the tick's number in the upper half, the count in the lower.
#[derive(Debug, Default)]
pub struct Recent(AtomicU64);

/// The load of one thread.
#[derive(Debug)]
pub struct Load {
    tick: Cell<u32>,
    requests: Cell<u32>,
    tenants: Cell<u32>,
    /// Requests per tenant that had any, in the tick before.
    usual: Cell<f64>,
    /// Late ticks in a row.
    late: Cell<u32>,
    /// Part of an average tenant's requests that is let in; 1 lets everything in.
    open: Cell<f64>,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            tick: Cell::new(1),
            requests: Cell::new(0),
            tenants: Cell::new(0),
            usual: Cell::new(0.0),
            late: Cell::new(0),
            open: Cell::new(1.0),
        }
    }
}

impl Load {
    /// Ends a tick that was so late; `bound` is what is still in time, zero for no bound.
    pub fn tick(&self, late: Duration, bound: Duration) {
        self.tick.set(self.tick.get().wrapping_add(1));
        self.usual.set(f64::from(self.requests.take()) / f64::from(self.tenants.take().max(1)));
        let is_late = !bound.is_zero() && late > bound;
        self.late.set(if is_late { self.late.get() + 1 } else { 0 });
        let open = self.open.get();
        self.open.set(match self.late.get() {
            0 => (open + MORE).min(1.0),
            1..PERSISTENT => open,
            _ => (open * LESS).max(LEAST),
        });
    }

    /// Counts a request of a tenant and decides whether it is served; `random` is uniform in 0..1.
    pub fn admits(&self, recent: &Recent, random: impl FnOnce() -> f64) -> bool {
        let tick = u64::from(self.tick.get()) << 32;
        let before = recent.0.load(Ordering::Relaxed);
        // Only this thread writes here.
        let count = if before & !u64::from(u32::MAX) == tick { before + 1 } else { tick + 1 };
        recent.0.store(count, Ordering::Relaxed);
        let own = u32::try_from(count & u64::from(u32::MAX)).unwrap_or(u32::MAX);
        self.requests.set(self.requests.get().saturating_add(1));
        self.tenants.set(self.tenants.get() + u32::from(own == 1));
        let (open, usual) = (self.open.get(), self.usual.get());
        // Whoever is late while nobody asks is not late because of what is asked.
        if open >= 1.0 || usual <= 0.0 {
            return true;
        }
        // A tenant's first requests of a tick are within everybody's part; the further beyond it, the less gets in.
        let part = usual * open;
        f64::from(own) <= part || random() < part / f64::from(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Duration = Duration::from_millis(100);
    const LATE: Duration = Duration::from_millis(101);

    /// Requests admitted per tenant in one tick; the tenants take turns until each has asked for its number.
    fn served(load: &Load, tenants: &[Recent], asked: &[u32]) -> Vec<u32> {
        let mut served = vec![0; tenants.len()];
        let mut state = 1_u32;
        for turn in 0..asked.iter().copied().max().unwrap_or(0) {
            for (index, recent) in tenants.iter().enumerate() {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                if turn < asked[index] && load.admits(recent, || f64::from(state) / f64::from(u32::MAX)) {
                    served[index] += 1;
                }
            }
        }
        served
    }

    fn tenants(count: usize) -> Vec<Recent> {
        (0..count).map(|_| Recent::default()).collect()
    }

    #[test]
    fn in_time_everything_is_served() {
        let (load, tenants) = (Load::default(), tenants(2));
        for _ in 0..10 {
            assert_eq!(served(&load, &tenants, &[10, 1_000]), [10, 1_000]);
            load.tick(BOUND, BOUND);
            load.tick(LATE, Duration::ZERO);
        }
    }

    #[test]
    fn a_hiccup_turns_nobody_away() {
        let (load, tenants) = (Load::default(), tenants(1));
        for _ in 0..20 {
            for _ in 1..PERSISTENT {
                load.tick(LATE, BOUND);
                assert_eq!(served(&load, &tenants, &[1_000])[0], 1_000);
            }
            load.tick(BOUND, BOUND);
        }
    }

    #[test]
    fn late_the_greedy_one_is_shed_first() {
        let (load, tenants) = (Load::default(), tenants(11));
        let mut asked = vec![100; 10];
        asked.push(10_000);
        let mut last = Vec::new();
        for _ in 0..PERSISTENT + 3 {
            last = served(&load, &tenants, &asked);
            load.tick(LATE, BOUND);
        }
        assert_eq!(last[..10], [100; 10], "{last:?}");
        assert!(last[10] < 5_000, "{last:?}");
    }

    #[test]
    fn a_thread_that_others_keep_from_running_sheds_no_lone_request() {
        let (load, tenants) = (Load::default(), tenants(1));
        for _ in 0..100 {
            load.tick(LATE, BOUND);
        }
        assert_eq!(served(&load, &tenants, &[1]), [1]);
    }

    #[test]
    fn a_lone_tenant_is_shed_and_comes_back() {
        let (load, tenants) = (Load::default(), tenants(1));
        for _ in 0..100 {
            served(&load, &tenants, &[1_000]);
            load.tick(LATE, BOUND);
        }
        let few = served(&load, &tenants, &[1_000])[0];
        assert!(few > 0 && few < 400, "{few}");
        for _ in 0..25 {
            load.tick(Duration::ZERO, BOUND);
        }
        assert_eq!(served(&load, &tenants, &[1_000])[0], 1_000);
    }
}
