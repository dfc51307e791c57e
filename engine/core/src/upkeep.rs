//! The engine's own thread for what no request may wait for: looking names up and probing targets.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::MissedTickBehavior;

use crate::clock::Clock;
use crate::upstream::dns::Dns;
use crate::upstream::tls::ClientConfigs;
use crate::worker::Stop;

/// Addresses that are remembered as gone until the workers have looked.
const MOST_RETIRED: usize = 65_536;

/// How often it is looked whether the system's name servers are others.
const READING: Duration = Duration::from_secs(1);
/// Probes under way at once.
const MOST_PROBES: usize = 256;
/// Probes of one tenant under way at once.
const MOST_PROBES_OF_ONE: usize = 16;

type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What the thread shares with the others.
pub struct Upkeep {
    /// Time.
    pub clock: Clock,
    /// Names.
    pub dns: Dns,
    /// Addresses that have left their upstream.
    pub retired: Retired,
    /// The right to probe.
    pub probes: Probes,
    /// TLS towards upstreams.
    pub tls: ClientConfigs,
    jobs: mpsc::UnboundedSender<Job>,
    waiting: Mutex<Option<mpsc::UnboundedReceiver<Job>>>,
}

impl std::fmt::Debug for Upkeep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upkeep").field("dns", &self.dns).finish_non_exhaustive()
    }
}

impl Default for Upkeep {
    fn default() -> Self {
        Self::new(Clock::default(), Dns::default())
    }
}

impl Upkeep {
    /// Upkeep by this clock. Jobs wait until it runs.
    #[must_use]
    pub fn new(clock: Clock, dns: Dns) -> Self {
        let (jobs, waiting) = mpsc::unbounded_channel();
        Self {
            clock,
            dns,
            retired: Retired::default(),
            probes: Probes::default(),
            tls: ClientConfigs::default(),
            jobs,
            waiting: Mutex::new(Some(waiting)),
        }
    }

    /// Has something done. Whoever calls sees to it that what waits is bounded.
    pub fn spawn(&self, job: impl Future<Output = ()> + Send + 'static) {
        // The receiver is kept for as long as this is.
        let _ = self.jobs.send(Box::pin(job));
    }

    /// Does what is asked for until told to stop; jobs under way are dropped then.
    pub async fn run(&self, mut stop: watch::Receiver<Stop>) {
        let taken = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut jobs) = taken else { return };
        let mut reading = tokio::time::interval(READING);
        reading.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                job = jobs.recv() => match job {
                    Some(job) => drop(tokio::spawn(job)),
                    None => break,
                },
                _ = reading.tick() => self.dns.keep_up(),
                changed = stop.changed() => if changed.is_err() || *stop.borrow() != Stop::No { break },
            }
        }
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some(jobs);
    }
}

/// Bounds of the probes under way. One tenant takes no more than its part, so that a tenant whose targets answer late
/// keeps no other's probes waiting.
#[derive(Debug)]
pub struct Probes {
    /// Those of all tenants.
    pub all: Semaphore,
    tenants: Mutex<HashMap<u64, Weak<Semaphore>>>,
}

impl Default for Probes {
    fn default() -> Self {
        Self { all: Semaphore::new(MOST_PROBES), tenants: Mutex::default() }
    }
}

impl Probes {
    /// Those of a tenant.
    #[must_use]
    pub fn of(&self, tenant: u64) -> Arc<Semaphore> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = tenants.get(&tenant).and_then(Weak::upgrade) {
            return known;
        }
        if tenants.len() >= MOST_PROBES * 2 {
            tenants.retain(|_, own| own.strong_count() > 0);
        }
        let own = Arc::new(Semaphore::new(MOST_PROBES_OF_ONE));
        tenants.insert(tenant, Arc::downgrade(&own));
        own
    }
}

/// Addresses that have left their upstream: workers close their idle connections to them.
#[derive(Debug, Default)]
pub struct Retired {
    count: AtomicU64,
    last: Mutex<VecDeque<(u64, SocketAddr)>>,
}

impl Retired {
    /// Adds an address of a tenant.
    pub fn add(&self, tenant: u64, address: SocketAddr) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() == MOST_RETIRED {
            last.pop_front();
        }
        last.push_back((tenant, address));
        self.count.fetch_add(1, Ordering::Release);
    }

    /// What was added since `seen`, which is moved on.
    pub fn since(&self, seen: &mut u64) -> Vec<(u64, SocketAddr)> {
        let before = *seen;
        if self.count.load(Ordering::Acquire) == before {
            return Vec::new();
        }
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = self.count.load(Ordering::Acquire);
        let fresh = usize::try_from(*seen - before).unwrap_or(usize::MAX).min(last.len());
        last.iter().skip(last.len() - fresh).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_sees_every_retirement_once() {
        let retired = Retired::default();
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let (mut a, mut b) = (0, 0);
        retired.add(1, address(1));
        assert_eq!(retired.since(&mut a), [(1, address(1))]);
        assert!(retired.since(&mut a).is_empty());
        retired.add(2, address(2));
        assert_eq!(retired.since(&mut a), [(2, address(2))]);
        assert_eq!(retired.since(&mut b), [(1, address(1)), (2, address(2))]);
    }
}
