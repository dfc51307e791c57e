//! How slowly a client may send a body. Silence is bounded elsewhere; this bounds a client that sends a byte just before
//! it would be too long, again and again.

use std::time::{Duration, Instant};

/// How long a client may still keep the gateway waiting for its body. It begins with a whole window; waiting uses it up,
/// and every byte gives some of it back. Time in which the gateway waits for something else does not count.
#[derive(Debug, Default)]
pub struct Pace {
    left: Duration,
    seen: u64,
    since: Option<Instant>,
}

/// The slowest pace that is allowed.
#[derive(Debug, Clone, Copy)]
pub struct SlowestPace {
    /// Average bytes per second; 0 for any.
    pub bytes_per_second: u64,
    /// What the average is taken over: as long as that a body may lag behind.
    pub window: Duration,
}

impl Pace {
    /// Makes ready for another body.
    pub(crate) fn start(&mut self, slowest: SlowestPace) {
        *self = Self { left: slowest.window, seen: 0, since: None };
    }

    /// The gateway waits for the client from now on; returns how long it may. `bytes` of the body have come so far.
    pub(crate) fn wait(&mut self, now: Instant, bytes: u64, slowest: SlowestPace) -> Duration {
        if slowest.bytes_per_second == 0 {
            return Duration::MAX;
        }
        self.rest(now);
        let millis = bytes.saturating_sub(self.seen).saturating_mul(1000) / slowest.bytes_per_second;
        // Less than a millisecond's worth is counted with what comes next.
        if millis > 0 {
            self.seen = bytes;
        }
        self.left = self.left.saturating_add(Duration::from_millis(millis)).min(slowest.window);
        self.since = Some(now);
        self.left
    }

    /// The gateway waits for something else from now on.
    pub(crate) fn rest(&mut self, now: Instant) {
        if let Some(since) = self.since.take() {
            self.left = self.left.saturating_sub(now.saturating_duration_since(since));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOWEST: SlowestPace = SlowestPace { bytes_per_second: 100, window: Duration::from_secs(10) };

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn a_trickle_runs_out() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        pace.start(SLOWEST);
        assert_eq!(pace.wait(start, 0, SLOWEST), seconds(10));
        assert_eq!(pace.wait(start + seconds(9), 1, SLOWEST), Duration::from_millis(1010));
        assert_eq!(pace.wait(start + seconds(10), 2, SLOWEST), Duration::from_millis(20));
        assert_eq!(pace.wait(start + seconds(11), 3, SLOWEST), Duration::from_millis(10));
    }

    #[test]
    fn who_keeps_pace_may_go_on() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        pace.start(SLOWEST);
        for second in 0..100 {
            assert_eq!(pace.wait(start + seconds(second), second * 100, SLOWEST), seconds(10));
        }
        // What was sent quickly before buys no more than a window.
        assert_eq!(pace.wait(start + seconds(108), 9900, SLOWEST), seconds(1));
    }

    #[test]
    fn waiting_for_others_does_not_count() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        pace.start(SLOWEST);
        assert_eq!(pace.wait(start, 0, SLOWEST), seconds(10));
        pace.rest(start + seconds(4));
        assert_eq!(pace.wait(start + seconds(100), 0, SLOWEST), seconds(6));
    }

    #[test]
    fn any_pace_will_do() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        let any = SlowestPace { bytes_per_second: 0, ..SLOWEST };
        pace.start(any);
        assert_eq!(pace.wait(start, 0, any), Duration::MAX);
        assert_eq!(pace.wait(start + seconds(1000), 0, any), Duration::MAX);
    }
}
