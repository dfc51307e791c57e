//! Whether an address of a target is fit for use: counters that outcomes move, and thresholds that flip the state.

pub mod probe;

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use crate::config::entities::{ActiveSpec, CheckKind, FailureSpec, HealthchecksSpec, SuccessSpec};

const UNHEALTHY: u64 = 1 << 32;
/// Statuses that can be listed.
const STATUSES: usize = 1024;

/// What a try or a probe brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A response.
    Status(u16),
    /// A connection, which is all that a TCP probe asks for.
    Connected,
    /// No connection, or one that ended too early.
    TcpFailure,
    /// Nothing in time.
    Timeout,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Success,
    Failure(Kind),
}

/// Kinds of counters; the place of each in the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Success = 0,
    Http = 8,
    Tcp = 16,
    Timeout = 24,
}

/// The thresholds of one kind of check; 0 switches a criterion off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thresholds {
    successes: u8,
    http_failures: u8,
    tcp_failures: u8,
    timeouts: u8,
    good: Statuses,
    bad: Statuses,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Statuses(Box<[u64; STATUSES / 64]>);

impl Statuses {
    fn new(list: &[u16]) -> Self {
        let mut bits = Box::new([0; STATUSES / 64]);
        for status in list {
            if let Some(word) = bits.get_mut(usize::from(*status) / 64) {
                *word |= 1 << (status % 64);
            }
        }
        Self(bits)
    }

    fn has(&self, status: u16) -> bool {
        self.0.get(usize::from(status) / 64).is_some_and(|word| word & (1 << (status % 64)) != 0)
    }
}

impl Thresholds {
    fn new(good: &SuccessSpec, bad: &FailureSpec) -> Self {
        Self {
            successes: good.successes,
            http_failures: bad.http_failures,
            tcp_failures: bad.tcp_failures,
            timeouts: bad.timeouts,
            good: Statuses::new(&good.http_statuses),
            bad: Statuses::new(&bad.http_statuses),
        }
    }

    /// Whether any criterion is on.
    #[must_use]
    pub fn are_on(&self) -> bool {
        self.successes | self.http_failures | self.tcp_failures | self.timeouts != 0
    }

    fn event(&self, outcome: Outcome) -> Option<Event> {
        match outcome {
            Outcome::Connected => Some(Event::Success),
            Outcome::Status(status) if self.good.has(status) => Some(Event::Success),
            Outcome::Status(status) if self.bad.has(status) => Some(Event::Failure(Kind::Http)),
            Outcome::Status(_) => None,
            Outcome::TcpFailure => Some(Event::Failure(Kind::Tcp)),
            Outcome::Timeout => Some(Event::Failure(Kind::Timeout)),
        }
    }

    fn limit(&self, kind: Kind) -> u8 {
        match kind {
            Kind::Success => self.successes,
            Kind::Http => self.http_failures,
            Kind::Tcp => self.tcp_failures,
            Kind::Timeout => self.timeouts,
        }
    }

    /// The state after an event; `None` if nothing changes.
    fn step(&self, state: u64, event: Event) -> Option<u64> {
        let (kind, target) = match event {
            Event::Success => (Kind::Success, 0),
            Event::Failure(kind) => (kind, UNHEALTHY),
        };
        let limit = self.limit(kind);
        let there = state & UNHEALTHY == target;
        // A healthy address needs successes only to forget its failures; an unhealthy one cannot get worse.
        if limit == 0 || (there && (target != 0 || state == 0)) {
            return None;
        }
        let count = count(state, kind).saturating_add(1);
        if count >= limit {
            return Some(target);
        }
        let kept = if kind == Kind::Success { state } else { state & !0xff };
        Some(kept & !(0xff << kind as u32) | u64::from(count) << kind as u32)
    }
}

fn count(state: u64, kind: Kind) -> u8 {
    state.to_le_bytes()[kind as usize / 8]
}

/// The health of one address, shared by all threads and all versions of the configuration that have it.
#[derive(Debug, Default)]
pub struct Health(AtomicU64);

/// Outcomes since the state last changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct HealthCounters {
    pub successes: u8,
    pub http_failures: u8,
    pub tcp_failures: u8,
    pub timeouts: u8,
}

impl Health {
    /// Whether requests may go there.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.0.load(Ordering::Relaxed) & UNHEALTHY == 0
    }

    /// Takes an outcome in; returns whether the state flipped.
    pub fn report(&self, outcome: Outcome, thresholds: &Thresholds) -> bool {
        let Some(event) = thresholds.event(outcome) else { return false };
        let step = |state| thresholds.step(state, event);
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, step)
            .is_ok_and(|before| step(before).is_some_and(|after| (before ^ after) & UNHEALTHY != 0))
    }

    /// Sets the state, as an operator does, and resets the counters.
    pub fn set(&self, healthy: bool) {
        self.0.store(if healthy { 0 } else { UNHEALTHY }, Ordering::Relaxed);
    }

    /// The counters.
    #[must_use]
    pub fn counters(&self) -> HealthCounters {
        let state = self.0.load(Ordering::Relaxed);
        HealthCounters {
            successes: count(state, Kind::Success),
            http_failures: count(state, Kind::Http),
            tcp_failures: count(state, Kind::Tcp),
            timeouts: count(state, Kind::Timeout),
        }
    }
}

/// All checks of an upstream.
#[derive(Debug, Clone, PartialEq)]
pub struct Checks {
    /// Judges the traffic.
    pub passive: Thresholds,
    /// Whether any response counts as a success there.
    pub passive_is_tcp: bool,
    /// Judges the probes.
    pub probed: Thresholds,
    /// Probes.
    pub active: ActiveSpec,
    /// Per cent of the weight that must be more than available.
    pub threshold: f64,
}

impl Checks {
    /// The checks that a specification describes.
    #[must_use]
    pub fn new(spec: &HealthchecksSpec) -> Self {
        Self {
            passive: Thresholds::new(&spec.passive.healthy, &spec.passive.unhealthy),
            passive_is_tcp: spec.passive.r#type == CheckKind::Tcp,
            probed: Thresholds::new(&spec.active.healthy, &spec.active.unhealthy),
            active: spec.active.clone(),
            threshold: spec.threshold,
        }
    }

    /// Whether targets are probed.
    #[must_use]
    pub fn are_active(&self) -> bool {
        self.active.healthy.interval > 0.0 || self.active.unhealthy.interval > 0.0
    }

    /// Whether there is any check at all.
    #[must_use]
    pub fn are_on(&self) -> bool {
        self.are_active() || self.passive.are_on()
    }

    /// Whether so much available weight of a total is enough.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "weights are far below 2^52")]
    pub fn suffices(&self, available: u64, total: u64) -> bool {
        available > 0 && (available == total || available as f64 * 100.0 > self.threshold * total as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thresholds(successes: u8, http_failures: u8, tcp_failures: u8, timeouts: u8) -> Thresholds {
        let good = SuccessSpec { successes, http_statuses: vec![200], ..SuccessSpec::default() };
        let bad =
            FailureSpec { http_failures, tcp_failures, timeouts, http_statuses: vec![500], ..FailureSpec::default() };
        Thresholds::new(&good, &bad)
    }

    #[test]
    fn thresholds_flip_the_state_and_reset_the_counters() {
        let limits = thresholds(2, 3, 2, 1);
        let health = Health::default();
        assert!(!health.report(Outcome::Status(500), &limits));
        assert!(!health.report(Outcome::TcpFailure, &limits));
        assert_eq!((health.counters().http_failures, health.counters().tcp_failures), (1, 1));
        assert!(health.report(Outcome::TcpFailure, &limits));
        assert!(!health.is_healthy());
        assert_eq!(health.counters().http_failures, 0);
        assert!(!health.report(Outcome::Timeout, &limits), "it cannot get worse");
        assert!(!health.report(Outcome::Status(200), &limits));
        assert!(health.report(Outcome::Status(200), &limits));
        assert!(health.is_healthy());
        assert!(health.report(Outcome::Timeout, &limits));
    }

    #[test]
    fn successes_reset_failures_and_failures_reset_successes() {
        let limits = thresholds(1, 2, 0, 0);
        let health = Health::default();
        for _ in 0..5 {
            assert!(!health.report(Outcome::Status(500), &limits));
            assert!(!health.report(Outcome::Status(200), &limits));
        }
        let limits = thresholds(2, 9, 0, 0);
        health.set(false);
        health.report(Outcome::Status(200), &limits);
        health.set(true);
        health.report(Outcome::Status(500), &limits);
        health.report(Outcome::Status(200), &limits);
        health.report(Outcome::Status(500), &limits);
        assert_eq!(health.counters(), HealthCounters { successes: 0, http_failures: 2, tcp_failures: 0, timeouts: 0 });
    }

    #[test]
    fn criteria_that_are_off_and_statuses_in_no_list_change_nothing() {
        let limits = thresholds(0, 0, 0, 0);
        assert!(!limits.are_on());
        let health = Health::default();
        for outcome in [Outcome::Status(500), Outcome::TcpFailure, Outcome::Timeout, Outcome::Connected] {
            assert!(!health.report(outcome, &limits));
        }
        assert!(!health.report(Outcome::Status(418), &thresholds(1, 1, 1, 1)));
        assert!(health.is_healthy());
    }

    #[test]
    fn the_threshold_is_exceeded_not_reached() {
        let with = |threshold| Checks::new(&HealthchecksSpec { threshold, ..HealthchecksSpec::default() });
        assert!(with(0.0).suffices(1, 100) && !with(0.0).suffices(0, 100));
        assert!(with(50.0).suffices(51, 100) && !with(50.0).suffices(50, 100));
        assert!(with(100.0).suffices(100, 100) && !with(100.0).suffices(99, 100));
    }
}
