//! Addresses of names, remembered per thread so that requests share nothing to find them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;

use super::dns::{Answer, Wanted};
use crate::clock::Clock;
use crate::worker::Worker;

/// Look-ups that a tenant may have under way.
const MOST_FLIGHTS: usize = 16;
/// Names remembered; the least recently resolved ones make room.
const MOST: usize = 4096;
/// Names below which nothing is tidied up.
const FEW: usize = 64;

#[derive(Debug)]
struct Entry {
    addresses: Rc<[IpAddr]>,
    retry_after: Duration,
}

/// A look-up that is under way.
#[derive(Debug)]
struct Flight {
    tenant: u64,
    landed: Rc<Notify>,
}

/// The name cache of one thread.
#[derive(Debug, Default)]
pub struct Resolver {
    names: HashMap<Box<str>, Entry>,
    /// How many names there are when they are tidied up.
    tidy_at: usize,
    flights: HashMap<Box<str>, Flight>,
}

impl Resolver {
    /// What is known of a name and needs no look-up yet; an empty list is a recent failure.
    #[must_use]
    pub fn known(&self, name: &str, clock: &Clock) -> Option<Rc<[IpAddr]>> {
        let entry = self.names.get(name)?;
        (clock.elapsed() < entry.retry_after).then(|| entry.addresses.clone())
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
        let addresses = answer.records.iter().map(|record| record.address).collect();
        self.names.insert(name.into(), Entry { addresses, retry_after: answer.expires });
    }
}

/// The addresses of a name; none if it has none, or if that is not known in time. All who ask for a name wait for the
/// same look-up: the system's resolver holds a thread for as long as it takes, so a name server that does not answer
/// must not be asked once per request, and a tenant with many such names must not keep the others from asking.
pub async fn resolve(worker: &Rc<Worker>, tenant: u64, name: &str, patience: Duration) -> Rc<[IpAddr]> {
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
        let answer = upkeep.dns.look_up(clock, tenant, &name, Wanted::Addresses).await;
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
    use crate::upstream::dns::Record;

    #[test]
    fn answers_age_by_the_engine_clock() {
        let clock = Clock::new();
        let mut resolver = Resolver::default();
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        assert!(resolver.known("a", &clock).is_none());
        let record = Record { address, port: None, weight: None, name: None };
        let answer = Answer { records: vec![record], expires: clock.elapsed() + Duration::from_secs(10) };
        resolver.learn("a", &answer, &clock);
        assert_eq!(resolver.known("a", &clock).as_deref(), Some(&[address][..]));
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
