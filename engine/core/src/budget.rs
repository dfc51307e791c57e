//! What one tenant may take of the machine: requests per second, requests at once, and client connections. A budget
//! outlives the tenant's configurations, as its counters do, so a change does not refill it.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::config::update::Limits;
use crate::counts::{Share, Turns};

/// Nanoseconds in a second: a tenant that was quiet may use its rate of one second at once.
const BURST: u64 = 1_000_000_000;
/// Tenants besides the latest one that a connection counts for.
const MOST_OTHERS: usize = 63;

/// Which part of its budget a tenant has used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spent {
    /// Requests per second.
    Rate,
    /// Requests at once.
    Concurrency,
    /// Client connections.
    Connections,
}

/// Most pieces of work that one tenant has under way aside: whoever floods it with guesses leaves some to its neighbours.
const MOST_ASIDE_OF_ONE: usize = 4;

/// What a tenant uses at the moment, over all threads.
#[derive(Debug, Default)]
pub struct Budget {
    /// When the next request would be due if requests came evenly, in nanoseconds of the engine's clock (the generic
    /// cell rate algorithm): one word holds the whole state, so that threads need no lock.
    due: AtomicU64,
    requests: Arc<AtomicU64>,
    connections: Arc<AtomicU64>,
    aside: Turns<MOST_ASIDE_OF_ONE>,
    calls: Arc<AtomicU64>,
    deliveries: Arc<AtomicU64>,
    waiting: Arc<AtomicU64>,
    cached: Arc<AtomicU64>,
}

/// The right to serve one request; ends with it.
#[derive(Debug, Default)]
pub struct Admission {
    _request: Option<Share>,
}

impl Budget {
    /// Takes one request from the budget, at a time of the engine's clock. Costs nothing where nothing is limited.
    pub fn admit(&self, limits: &Limits, now: impl FnOnce() -> Duration) -> Result<Admission, Spent> {
        let request = match limits.max_concurrent_requests {
            None => None,
            Some(most) => Some(Share::take(&self.requests, most).ok_or(Spent::Concurrency)?),
        };
        if let Some(rate) = limits.max_requests_per_second
            && !self.pace(rate, u64::try_from(now().as_nanos()).unwrap_or(u64::MAX))
        {
            return Err(Spent::Rate);
        }
        Ok(Admission { _request: request })
    }

    /// One more client connection.
    pub fn connect(&self, limits: &Limits) -> Result<Option<Share>, Spent> {
        match limits.max_connections {
            None => Ok(None),
            Some(most) => Share::take(&self.connections, most).map(Some).ok_or(Spent::Connections),
        }
    }

    /// The turns of the tenant's work on threads of its own.
    pub(crate) const fn aside(&self) -> &Turns<MOST_ASIDE_OF_ONE> {
        &self.aside
    }

    /// One more call of a plugin to another server, if the tenant may have one.
    pub(crate) fn call(&self, most: u64) -> Option<Share> {
        Share::take(&self.calls, most)
    }

    /// One more delivery of records, if the tenant may have one.
    pub(crate) fn delivery(&self, most: u64) -> Option<Share> {
        Share::take(&self.deliveries, most)
    }

    /// No bytes of waiting records yet.
    pub(crate) fn waiting(&self) -> Share {
        Share::none_of(&self.waiting)
    }

    /// Bytes that records take which wait for delivery.
    pub(crate) fn waiting_bytes(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// No bytes of stored responses yet.
    pub(crate) fn cached(&self) -> Share {
        Share::none_of(&self.cached)
    }

    /// Bytes that stored responses take.
    pub(crate) fn cached_bytes(&self) -> u64 {
        self.cached.load(Ordering::Relaxed)
    }

    fn pace(&self, rate: u64, now: u64) -> bool {
        let Some(interval) = 1_000_000_000_u64.checked_div(rate) else { return false };
        let taken =
            |due: u64| (due <= now.saturating_add(BURST - interval.min(BURST))).then(|| due.max(now) + interval);
        self.due.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_ok()
    }
}

/// The tenants that a client's connection counts for: the one that it last asked something of, or, where it carries
/// several requests at once, the last ones. Shared by all streams of an HTTP/2 connection.
#[derive(Debug, Default)]
pub struct Attachment {
    latest: RefCell<Option<Attached>>,
    /// The other ones, longest attached first, where there may be any.
    others: Option<RefCell<Vec<Attached>>>,
    refused: Cell<bool>,
}

/// A tenant, and a place among its connections where those are bounded.
type Attached = (u64, Option<Share>);

impl Attachment {
    /// One of a connection that serves several tenants at once.
    #[must_use]
    pub fn of_several() -> Self {
        Self { others: Some(RefCell::default()), ..Self::default() }
    }

    /// Counts the connection for a tenant, unless it is counted there already.
    pub fn attach(&self, tenant: u64, budget: &Budget, limits: &Limits) -> Result<(), Spent> {
        let mut latest = self.latest.borrow_mut();
        if latest.as_ref().is_some_and(|(number, _)| *number == tenant) {
            return Ok(());
        }
        let mut others = self.others.as_ref().map(RefCell::borrow_mut);
        let known = others.as_mut().and_then(|others| {
            let place = others.iter().position(|(number, _)| *number == tenant)?;
            Some(others.remove(place))
        });
        let attached = match known {
            Some(known) => known,
            None => (tenant, budget.connect(limits).inspect_err(|_| self.refused.set(latest.is_none()))?),
        };
        if let (Some(before), Some(mut others)) = (latest.replace(attached), others) {
            if others.len() >= MOST_OTHERS {
                others.remove(0);
            }
            others.push(before);
        }
        Ok(())
    }

    /// Whether a tenant has refused the connection, and it counts for no other: it is to end.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.refused.get()
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn limits(rate: Option<u64>, concurrent: Option<u64>, connections: Option<u64>) -> Limits {
        Limits {
            max_requests_per_second: rate,
            max_concurrent_requests: concurrent,
            max_connections: connections,
            ..Limits::default()
        }
    }

    fn admitted(budget: &Budget, limits: &Limits, millis: u64, tries: usize) -> usize {
        (0..tries).filter(|_| budget.admit(limits, || Duration::from_millis(millis)).is_ok()).count()
    }

    #[test]
    fn a_burst_of_one_second_then_the_rate() {
        let (budget, limits) = (Budget::default(), limits(Some(10), None, None));
        assert_eq!(admitted(&budget, &limits, 5_000, 100), 10);
        assert_eq!(admitted(&budget, &limits, 5_099, 100), 0);
        assert_eq!(admitted(&budget, &limits, 5_100, 100), 1);
        assert_eq!(admitted(&budget, &limits, 5_600, 100), 5);
        assert_eq!(admitted(&budget, &limits, 60_000, 100), 10);
    }

    #[test]
    fn high_rates_are_exact_and_zero_admits_nobody() {
        let (budget, limits_) = (Budget::default(), limits(Some(1_000_000), None, None));
        assert_eq!(admitted(&budget, &limits_, 1, 2_000_000), 1_000_000);
        assert_eq!(admitted(&Budget::default(), &limits(Some(0), None, None), 1, 10), 0);
        assert_eq!(admitted(&Budget::default(), &limits(None, None, None), 1, 10), 10);
    }

    #[test]
    fn never_more_than_the_rate_from_many_threads() {
        let (budget, limits) = (Budget::default(), limits(Some(1_000), None, None));
        let total: usize = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..4).map(|_| scope.spawn(|| admitted(&budget, &limits, 7, 1_000))).collect();
            workers.into_iter().map(|worker| worker.join().unwrap()).sum()
        });
        assert_eq!(total, 1_000);
    }

    #[test]
    fn requests_at_once_are_given_back() {
        let (budget, limits) = (Budget::default(), limits(None, Some(2), None));
        let admit = || budget.admit(&limits, Duration::default);
        let (first, second) = (admit().unwrap(), admit().unwrap());
        assert_eq!(admit().unwrap_err(), Spent::Concurrency);
        drop(first);
        let third = admit().unwrap();
        assert_eq!(admit().unwrap_err(), Spent::Concurrency);
        drop((second, third));
        assert!(admit().is_ok());
    }

    #[test]
    fn a_request_refused_for_its_rate_does_not_stay_counted() {
        let (budget, limits) = (Budget::default(), limits(Some(1), Some(1), None));
        drop(budget.admit(&limits, || Duration::from_secs(1)).unwrap());
        assert_eq!(budget.admit(&limits, || Duration::from_secs(1)).unwrap_err(), Spent::Rate);
        assert!(budget.admit(&limits, || Duration::from_secs(3)).is_ok());
    }

    #[test]
    fn work_aside_is_bounded_and_given_back() {
        let (one, other) = (Budget::default(), Budget::default());
        let next = |budget: &Budget| pin!(budget.aside().next()).poll(&mut Context::from_waker(Waker::noop()));
        let mut held: Vec<_> = (0..MOST_ASIDE_OF_ONE).map(|_| next(&one)).collect();
        assert!(held.iter().all(Poll::is_ready));
        assert!(next(&one).is_pending() && next(&other).is_ready());
        held.pop();
        assert!(next(&one).is_ready());
    }

    #[test]
    fn a_connection_counts_for_one_tenant_at_a_time() {
        let limits = limits(None, None, Some(1));
        let (one, other) = (Budget::default(), Budget::default());
        let (first, second) = (Attachment::default(), Attachment::default());
        first.attach(1, &one, &limits).unwrap();
        first.attach(1, &one, &limits).unwrap();
        assert_eq!(second.attach(1, &one, &limits), Err(Spent::Connections));
        first.attach(2, &other, &limits).unwrap();
        second.attach(1, &one, &limits).unwrap();
        assert_eq!(second.attach(2, &other, &limits), Err(Spent::Connections));
        drop(first);
        second.attach(2, &other, &limits).unwrap();
    }

    #[test]
    fn a_connection_with_streams_counts_for_all_tenants_that_it_serves() {
        let limits = limits(None, None, Some(1));
        let budgets: Vec<_> = (0..=MOST_OTHERS + 1).map(|_| Budget::default()).collect();
        let shared = Attachment::of_several();
        let attach = |tenant: usize| shared.attach(tenant as u64, &budgets[tenant], &limits);
        let is_free = |tenant: usize| budgets[tenant].connect(&limits).is_ok();
        for tenant in [0, 1, 0, 2, 1, 0] {
            attach(tenant).unwrap();
        }
        assert!(!is_free(0) && !is_free(1) && !is_free(2) && is_free(3));
        // Of very many tenants it counts for the last ones.
        (0..=MOST_OTHERS + 1).for_each(|tenant| attach(tenant).unwrap());
        assert!(is_free(0) && (1..=MOST_OTHERS + 1).all(|tenant| !is_free(tenant)));
        drop(shared);
        assert!((0..=MOST_OTHERS + 1).all(is_free));
    }

    #[test]
    fn a_connection_that_nobody_takes_is_to_end() {
        let (full, free) = (Budget::default(), Budget::default());
        let (none, one) = (limits(None, None, Some(0)), limits(None, None, Some(1)));
        for attachment in [Attachment::default(), Attachment::of_several()] {
            attachment.attach(1, &free, &one).unwrap();
            assert_eq!(attachment.attach(2, &full, &none), Err(Spent::Connections));
            assert!(!attachment.is_refused());
        }
        let attachment = Attachment::of_several();
        assert_eq!(attachment.attach(2, &full, &none), Err(Spent::Connections));
        assert!(attachment.is_refused());
    }
}
