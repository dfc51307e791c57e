//! Counters and reservations that belong to no tenant.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Most pieces of work that are under way aside at once, in the whole process. Each occupies a thread.
const MOST_ASIDE: usize = 8;

/// So many at once; the others wait, first come, first served.
#[derive(Debug)]
pub(crate) struct Turns<const MOST: usize>(Arc<Semaphore>);

impl<const MOST: usize> Default for Turns<MOST> {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MOST)))
    }
}

impl<const MOST: usize> Turns<MOST> {
    /// A turn, once it has come; it ends when it is dropped.
    pub(crate) async fn next(&self) -> Option<OwnedSemaphorePermit> {
        self.0.clone().acquire_owned().await.ok()
    }
}

/// Counters of the process.
#[derive(Debug, Default)]
pub struct Counts {
    opened: AtomicU64,
    closed: AtomicU64,
    refused: AtomicU64,
    malformed: AtomicU64,
    without_tenant: AtomicU64,
    panics: AtomicU64,
    upstream: Arc<AtomicU64>,
    buffered: Arc<AtomicU64>,
    aside: Turns<MOST_ASIDE>,
    waiting: Arc<AtomicU64>,
}

/// The counters at a moment.
#[derive(Debug, Serialize)]
pub struct CountTotals {
    /// Client connections so far.
    pub connections_total: u64,
    /// Client connections now.
    pub connections_open: u64,
    /// Client connections that were turned away because there were too many.
    pub connections_refused_total: u64,
    /// Connections to upstreams now, idle ones included.
    pub upstream_connections_open: u64,
    /// Memory in bytes that buffered request bodies take now.
    pub buffered_bytes: u64,
    /// Memory in bytes that records take which wait for delivery now.
    pub records_waiting_bytes: u64,
    /// Requests that were no valid HTTP.
    pub malformed_requests_total: u64,
    /// Requests for hosts of no tenant.
    pub requests_without_tenant_total: u64,
    /// Exchanges that ended in a panic.
    pub panics_total: u64,
}

/// A part of something bounded; given back when dropped.
#[derive(Debug)]
pub struct Share {
    total: Arc<AtomicU64>,
    own: u64,
}

impl Share {
    /// One of so many, if there is one left.
    pub(crate) fn take(total: &Arc<AtomicU64>, most: u64) -> Option<Self> {
        let mut share = Self::none_of(total);
        share.grow(1, most).then_some(share)
    }

    pub(crate) fn none_of(total: &Arc<AtomicU64>) -> Self {
        Self { total: total.clone(), own: 0 }
    }

    /// Takes more, unless all together would then have more than `most`. Returns whether it was there.
    pub(crate) fn grow(&mut self, by: u64, most: u64) -> bool {
        let before = self.total.fetch_add(by, Ordering::Relaxed);
        self.own += by;
        if before.saturating_add(by) > most {
            self.total.fetch_sub(by, Ordering::Relaxed);
            self.own -= by;
            return false;
        }
        true
    }

    /// Gives a part back.
    pub(crate) fn shrink(&mut self, by: u64) {
        let by = by.min(self.own);
        self.own -= by;
        self.total.fetch_sub(by, Ordering::Relaxed);
    }

    /// What all shares take together.
    pub(crate) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.total.fetch_sub(self.own, Ordering::Relaxed);
    }
}

impl Counts {
    pub(crate) fn opened(&self) {
        self.opened.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn closed(&self) {
        self.closed.fetch_add(1, Ordering::Relaxed);
    }

    /// Client connections now.
    pub(crate) fn open(&self) -> u64 {
        self.opened.load(Ordering::Relaxed).saturating_sub(self.closed.load(Ordering::Relaxed))
    }

    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn malformed(&self) {
        self.malformed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn panicked(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn without_tenant(&self) {
        self.without_tenant.fetch_add(1, Ordering::Relaxed);
    }

    /// One more connection to an upstream, if there may be one.
    pub(crate) fn upstream(&self, most: u64) -> Option<Share> {
        Share::take(&self.upstream, most)
    }

    /// No bytes of buffered bodies yet.
    pub(crate) fn buffered(&self) -> Share {
        Share::none_of(&self.buffered)
    }

    /// No bytes of waiting records yet.
    pub(crate) fn waiting(&self) -> Share {
        Share::none_of(&self.waiting)
    }

    /// The turns of work aside.
    pub(crate) const fn aside(&self) -> &Turns<MOST_ASIDE> {
        &self.aside
    }

    /// All of them.
    pub(crate) fn totals(&self) -> CountTotals {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CountTotals {
            connections_total: get(&self.opened),
            connections_open: self.open(),
            connections_refused_total: get(&self.refused),
            upstream_connections_open: get(&self.upstream),
            buffered_bytes: get(&self.buffered),
            records_waiting_bytes: get(&self.waiting),
            malformed_requests_total: get(&self.malformed),
            requests_without_tenant_total: get(&self.without_tenant),
            panics_total: get(&self.panics),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_bounded_and_given_back() {
        let counts = Counts::default();
        let first = counts.upstream(1);
        assert!(first.is_some() && counts.upstream(1).is_none());
        drop(first);
        assert!(counts.upstream(1).is_some());

        let mut share = counts.buffered();
        assert!(share.grow(60, 100) && !share.grow(50, 100) && share.grow(40, 100));
        assert_eq!(counts.totals().buffered_bytes, 100);
        drop(share);
        assert_eq!(counts.totals().buffered_bytes, 0);
    }
}
