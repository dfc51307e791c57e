//! The figures of a tenant, by thread: a request finds its place in those of its own thread, whose lock nobody holds but
//! whoever reads them all now and then.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crate::config::entities::ServiceSpec;
use crate::router::RouteSpec;
use crate::stats::Counters;

/// Upper bounds of the gateway's own latencies, in milliseconds.
pub(super) const GATEWAY_BOUNDS: [u64; 17] = [1, 2, 5, 7, 10, 15, 20, 30, 50, 75, 100, 200, 500, 750, 1000, 3000, 6000];
/// Those of services and of whole requests.
pub(super) const OTHER_BOUNDS: [u64; 13] = [25, 50, 80, 100, 250, 400, 700, 1000, 2000, 5000, 10_000, 30_000, 60_000];
/// Combinations of service, route and consumer that one thread counts.
const MOST_SERIES: usize = 5_000;
/// Statuses of one of them.
const MOST_STATUSES: usize = 64;

/// The figures of a tenant; they outlive its configurations. Nothing is there before the first one.
#[derive(Debug, Default)]
pub struct Metrics {
    shards: OnceLock<Box<[Mutex<Shard>]>>,
    errors: AtomicU64,
}

/// Those of one thread, or of all of them together.
#[derive(Debug, Default, Clone)]
pub(super) struct Shard {
    pub(super) services: HashMap<Box<str>, HashMap<Box<str>, Route>>,
    count: usize,
}

/// Those of a route's requests to a service.
#[derive(Debug, Default, Clone)]
pub(super) struct Route {
    pub(super) gateway: Histogram<17>,
    pub(super) upstream: Histogram<13>,
    pub(super) request: Histogram<13>,
    /// By consumer; without a name those where consumers are not told apart.
    pub(super) consumers: HashMap<Box<str>, Consumer>,
}

/// Those of a consumer's requests.
#[derive(Debug, Default, Clone)]
pub(super) struct Consumer {
    /// Status, whether it is the service's, and how often.
    pub(super) statuses: Vec<(u16, bool, u64)>,
    pub(super) ingress: u64,
    pub(super) egress: u64,
}

/// How many values are at most each bound; those above the last one are counted only.
#[derive(Debug, Clone)]
pub(super) struct Histogram<const N: usize> {
    pub(super) buckets: [u64; N],
    pub(super) count: u64,
    pub(super) sum: u64,
}

/// How a route and its service are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Labels<'a> {
    pub(super) service: &'a str,
    pub(super) route: &'a str,
}

impl<'a> Labels<'a> {
    /// By their names; a service without one by its host, a route by its id.
    #[must_use]
    pub fn of(service: &'a ServiceSpec, route: &'a RouteSpec) -> Self {
        Self {
            service: service.name.as_deref().unwrap_or(&service.host),
            route: route.name.as_deref().unwrap_or(&route.id),
        }
    }
}

/// What is seen of a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) labels: Labels<'a>,
    pub(super) consumer: &'a str,
    /// The status, and whether it is the service's.
    pub(super) status: Option<(u16, bool)>,
    /// Of the request and of the response.
    pub(super) bytes: Option<(u64, u64)>,
    /// Milliseconds in the gateway, at the service, and of all.
    pub(super) latencies: Option<(u64, Option<u64>, u64)>,
}

impl Metrics {
    /// Counts a request.
    pub(super) fn add(&self, thread: usize, counters: &Counters, seen: &Seen<'_>) {
        let shards = self.shards.get_or_init(|| (0..counters.threads()).map(|_| Mutex::default()).collect());
        if !lock(&shards[thread % shards.len()]).add(seen) {
            self.errors.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Forgets the figures of routes that are not among those that there are; `there_are` is asked if there are any figures.
    pub fn keep<'a>(&self, there_are: impl FnOnce() -> HashSet<Labels<'a>>) {
        let Some(shards) = self.shards.get() else { return };
        let routes = there_are();
        for shard in shards {
            lock(shard).keep(&routes);
        }
    }

    /// The figures of all threads.
    pub(super) fn sum(&self) -> Shard {
        let mut sum = Shard::default();
        for shard in self.shards.get().into_iter().flatten() {
            // Copied, so that the thread is held up as little as can be.
            let part = lock(shard).clone();
            sum.merge(&part);
        }
        sum
    }

    /// Figures that there was no place for.
    pub(super) fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shard {
    /// Counts a request; says whether there was a place for it.
    fn add(&mut self, seen: &Seen<'_>) -> bool {
        let Labels { service, route } = seen.labels;
        let is_known = |shard: &Self| {
            let route = shard.services.get(service).and_then(|routes| routes.get(route));
            route.is_some_and(|route| route.consumers.contains_key(seen.consumer))
        };
        if !is_known(self) {
            if self.count >= MOST_SERIES {
                return false;
            }
            self.count += 1;
            let routes = self.services.entry(service.into()).or_default();
            let route = routes.entry(route.into()).or_default();
            route.consumers.insert(seen.consumer.into(), Consumer::default());
        }
        let Some(route) = self.services.get_mut(service).and_then(|routes| routes.get_mut(route)) else {
            return false;
        };
        if let Some((gateway, waiting, request)) = seen.latencies {
            route.gateway.add(&GATEWAY_BOUNDS, gateway);
            route.request.add(&OTHER_BOUNDS, request);
            if let Some(waiting) = waiting {
                route.upstream.add(&OTHER_BOUNDS, waiting);
            }
        }
        let Some(consumer) = route.consumers.get_mut(seen.consumer) else { return false };
        if let Some((ingress, egress)) = seen.bytes {
            consumer.ingress += ingress;
            consumer.egress += egress;
        }
        seen.status.is_none_or(|(status, is_services)| consumer.count(status, is_services, 1))
    }

    fn keep(&mut self, there_are: &HashSet<Labels<'_>>) {
        self.services.retain(|service, routes| {
            routes.retain(|route, _| there_are.contains(&Labels { service, route }));
            !routes.is_empty()
        });
        self.count = self.services.values().flat_map(HashMap::values).map(|route| route.consumers.len()).sum();
    }

    fn merge(&mut self, other: &Self) {
        for (service, routes) in &other.services {
            let own = self.services.entry(service.clone()).or_default();
            for (name, route) in routes {
                own.entry(name.clone()).or_default().merge(route);
            }
        }
    }
}

impl Route {
    fn merge(&mut self, other: &Self) {
        self.gateway.merge(&other.gateway);
        self.upstream.merge(&other.upstream);
        self.request.merge(&other.request);
        for (name, consumer) in &other.consumers {
            let own = self.consumers.entry(name.clone()).or_default();
            own.ingress += consumer.ingress;
            own.egress += consumer.egress;
            for (status, is_services, count) in &consumer.statuses {
                own.count(*status, *is_services, *count);
            }
        }
    }
}

impl Consumer {
    fn count(&mut self, status: u16, is_services: bool, by: u64) -> bool {
        let known = self.statuses.iter_mut().find(|(own, whose, _)| (*own, *whose) == (status, is_services));
        if let Some((.., count)) = known {
            *count += by;
            return true;
        }
        let fits = self.statuses.len() < MOST_STATUSES;
        if fits {
            self.statuses.push((status, is_services, by));
        }
        fits
    }
}

impl<const N: usize> Default for Histogram<N> {
    fn default() -> Self {
        Self { buckets: [0; N], count: 0, sum: 0 }
    }
}

impl<const N: usize> Histogram<N> {
    fn add(&mut self, bounds: &[u64; N], value: u64) {
        let place = bounds.partition_point(|bound| *bound < value);
        if let Some(bucket) = self.buckets.get_mut(place) {
            *bucket += 1;
        }
        self.count += 1;
        self.sum += value;
    }

    fn merge(&mut self, other: &Self) {
        for (own, others) in self.buckets.iter_mut().zip(other.buckets) {
            *own += others;
        }
        self.count += other.count;
        self.sum += other.sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(route: &str, status: u16) -> Seen<'_> {
        let latencies = Some((3, None, 100_000));
        let labels = Labels { service: "s", route };
        Seen { labels, consumer: "", status: Some((status, true)), bytes: Some((1, 2)), latencies }
    }

    #[test]
    fn threads_add_up() {
        let (metrics, counters) = (Metrics::default(), Counters::new(2));
        for thread in [0, 1, 1] {
            metrics.add(thread, &counters, &seen("r", 200));
        }
        let sum = metrics.sum();
        let route = &sum.services["s"]["r"];
        assert_eq!(route.consumers[""].statuses, [(200, true, 3)]);
        assert_eq!((route.consumers[""].ingress, route.consumers[""].egress), (3, 6));
        assert_eq!((route.gateway.buckets[2], route.gateway.count, route.gateway.sum), (3, 3, 9));
        assert_eq!((route.upstream.count, route.request.count, route.request.buckets), (0, 3, [0; 13]));
    }

    #[test]
    fn labels_are_bounded() {
        let (metrics, counters) = (Metrics::default(), Counters::new(1));
        for number in 0..MOST_SERIES + 10 {
            metrics.add(0, &counters, &seen(&number.to_string(), 200));
        }
        for status in 0..100 {
            metrics.add(0, &counters, &seen("0", 400 + status));
        }
        assert_eq!(metrics.sum().services["s"].len(), MOST_SERIES);
        assert_eq!(metrics.errors(), 10 + 37);
        // Whatever goes leaves its place to others.
        metrics.keep(|| [Labels { service: "s", route: "1" }].into());
        assert_eq!(metrics.sum().services["s"].len(), 1);
        metrics.add(0, &counters, &seen("new", 200));
        assert_eq!((metrics.sum().services["s"].len(), metrics.errors()), (2, 10 + 37));
    }
}
