//! Where names are, remembered per thread so that requests share nothing to find it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use foldhash::fast::RandomState;
use tokio::sync::Notify;

use super::dns::{Answer, Record};
use crate::clock::Clock;
use crate::worker::Worker;

/// Look-ups that a tenant may have under way.
const MOST_FLIGHTS: usize = 16;
/// Names remembered; the least recently resolved ones make room.
const MOST: usize = 4096;
/// Names below which nothing is tidied up.
const FEW: usize = 64;

/// One place where a name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spot {
    /// The address.
    pub address: IpAddr,
    /// Port and share of the requests, where a service record tells them.
    pub service: Option<(u16, u32)>,
}

#[derive(Debug)]
struct Entry {
    spots: Rc<[Spot]>,
    retry_after: Duration,
}

/// A look-up that is under way.
#[derive(Debug)]
struct Flight {
    tenant: u64,
    landed: Rc<Notify>,
}

/// The one to begin with: of services, each by its share (RFC 2782); of mere addresses, the first one. There must be one.
#[must_use]
pub fn first(spots: &[Spot], random: u64) -> usize {
    let share = |spot: &Spot| spot.service.map_or(0, |(_, weight)| u64::from(weight));
    let total: u64 = spots.iter().map(share).sum();
    let mut left = random.checked_rem(total).unwrap_or(0);
    let falls_here = |spot: &Spot| {
        let here = left < share(spot);
        left = left.saturating_sub(share(spot));
        here
    };
    spots.iter().position(falls_here).unwrap_or(0)
}

/// The name cache of one thread.
#[derive(Debug, Default)]
pub struct Resolver {
    names: HashMap<Box<str>, Entry, RandomState>,
    /// How many names there are when they are tidied up.
    tidy_at: usize,
    flights: HashMap<Box<str>, Flight>,
}

impl Resolver {
    /// What is known of a name and needs no look-up yet; an empty list is a recent failure.
    #[must_use]
    pub fn known(&self, name: &str, clock: &Clock) -> Option<Rc<[Spot]>> {
        let entry = self.names.get(name)?;
        (clock.elapsed() < entry.retry_after).then(|| entry.spots.clone())
    }

    /// Remembers an answer.
    pub fn learn(&mut self, name: &str, answer: &Answer, clock: &Clock) {
        let now = clock.elapsed();
        // With the names that nobody asks for any more gone, there are not many more than those that somebody does.
        if self.names.len() >= self.tidy_at.max(FEW) && !self.names.contains_key(name) {
            self.names.retain(|_, entry| now < entry.retry_after);
            if self.names.len() >= MOST {
                self.names.clear();
            }
            self.tidy_at = (2 * self.names.len()).min(MOST);
        }
        let spot = |record: &Record| Spot { address: record.address, service: record.port.zip(record.weight) };
        let spots = answer.records.iter().map(spot).collect();
        self.names.insert(name.into(), Entry { spots, retry_after: answer.expires });
    }
}

/// Where a name is; nowhere if it has no address, or if that is not known in time. All who ask for a name wait for the
/// same look-up: the system's resolver holds a thread for as long as it takes, so a name server that does not answer
/// must not be asked once per request, and a tenant with many such names must not keep the others from asking.
pub async fn resolve(worker: &Rc<Worker>, tenant: u64, name: &str, patience: Duration) -> Rc<[Spot]> {
    let clock = &worker.shared.clock;
    let known = worker.resolver.borrow().known(name, clock);
    if let Some(known) = known {
        return known;
    }
    let Some(landed) = board(worker, tenant, name) else { return Rc::new([]) };
    let notified = landed.notified();
    if tokio::time::timeout(patience, notified).await.is_err() {
        return Rc::new([]);
    }
    worker.resolver.borrow().known(name, clock).unwrap_or_default()
}

/// Joins the look-up of a name or begins it; `None` if the tenant has too many under way.
fn board(worker: &Rc<Worker>, tenant: u64, name: &str) -> Option<Rc<Notify>> {
    let mut resolver = worker.resolver.borrow_mut();
    if let Some(flight) = resolver.flights.get(name) {
        return Some(flight.landed.clone());
    }
    if resolver.flights.values().filter(|flight| flight.tenant == tenant).count() >= MOST_FLIGHTS {
        return None;
    }
    let landed = Rc::new(Notify::new());
    resolver.flights.insert(name.into(), Flight { tenant, landed: landed.clone() });
    let (worker, name, lands) = (worker.clone(), name.to_owned(), landed.clone());
    drop(tokio::task::spawn_local(async move {
        let (upkeep, clock) = (&worker.shared.upkeep, &worker.shared.clock);
        let answer = upkeep.dns.look_up(clock, tenant, &name).await;
        let mut resolver = worker.resolver.borrow_mut();
        resolver.learn(&name, &answer, clock);
        resolver.flights.remove(name.as_str());
        lands.notify_waiters();
    }));
    Some(landed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_come_by_their_shares() {
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let spot = |weight| Spot { address, service: Some((80, weight)) };
        let spots = [spot(1), spot(3)];
        let begun: Vec<usize> = (0..8).map(|random| first(&spots, random)).collect();
        assert_eq!(begun, [0, 1, 1, 1, 0, 1, 1, 1]);
        assert_eq!(first(&[Spot { address, service: None }; 3], 5), 0);
    }

    #[test]
    fn answers_age_by_the_engine_clock() {
        let clock = Clock::new();
        let mut resolver = Resolver::default();
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        assert!(resolver.known("a", &clock).is_none());
        let record = Record { address, port: None, weight: None, name: None };
        let answer = Answer { records: vec![record], expires: clock.elapsed() + Duration::from_secs(10) };
        resolver.learn("a", &answer, &clock);
        assert_eq!(resolver.known("a", &clock).as_deref(), Some(&[Spot { address, service: None }][..]));
        clock.advance(Duration::from_secs(10));
        assert!(resolver.known("a", &clock).is_none());
    }

    #[test]
    fn names_of_the_past_do_not_add_up() {
        let clock = Clock::new();
        let mut resolver = Resolver::default();
        for number in 0..10 * MOST {
            let expires = clock.elapsed() + Duration::from_secs(if number < 100 { 3600 } else { 1 });
            resolver.learn(&number.to_string(), &Answer { records: Vec::new(), expires }, &clock);
            clock.advance(Duration::from_millis(100));
            assert!(resolver.names.len() <= 300, "{}", resolver.names.len());
        }
        for number in 0..10 * MOST {
            let expires = clock.elapsed() + Duration::from_secs(3600);
            resolver.learn(&number.to_string(), &Answer { records: Vec::new(), expires }, &clock);
            assert!(resolver.names.len() <= MOST);
        }
    }
}
