//! Names to addresses, remembered per thread.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use crate::clock::Clock;

/// How long an answer is used. The system's resolver tells no TTL.
const FRESH: Duration = Duration::from_secs(10);
/// How long an answer is used when a new look-up fails.
const STALE: Duration = Duration::from_secs(300);
/// How long a failure is remembered.
const FAILED: Duration = Duration::from_secs(1);
/// Names remembered; the least recently resolved ones make room.
const MOST: usize = 4096;

#[derive(Debug)]
struct Entry {
    addresses: Rc<[IpAddr]>,
    resolved: Duration,
    retry_after: Duration,
}

/// The name cache of one thread.
#[derive(Debug, Default)]
pub struct Resolver {
    names: HashMap<Box<str>, Entry>,
}

impl Resolver {
    /// What is known of a name and needs no look-up yet; an empty list is a recent failure.
    #[must_use]
    pub fn known(&self, name: &str, clock: &Clock) -> Option<Rc<[IpAddr]>> {
        let entry = self.names.get(name)?;
        (clock.elapsed() < entry.retry_after).then(|| entry.addresses.clone())
    }

    /// Remembers the result of a look-up and says what to use; a failure falls back on an earlier answer.
    pub fn learn(&mut self, name: &str, result: io::Result<Vec<IpAddr>>, clock: &Clock) -> Rc<[IpAddr]> {
        let now = clock.elapsed();
        if !self.names.contains_key(name) && self.names.len() >= MOST {
            self.names.retain(|_, entry| now < entry.retry_after);
            if self.names.len() >= MOST {
                self.names.clear();
            }
        }
        let entry = self.names.entry(name.into()).or_insert_with(|| Entry {
            addresses: Rc::new([]),
            resolved: now,
            retry_after: now,
        });
        match result {
            Ok(addresses) if !addresses.is_empty() => {
                *entry = Entry { addresses: addresses.into(), resolved: now, retry_after: now + FRESH };
            }
            _ => {
                if now.saturating_sub(entry.resolved) > STALE {
                    entry.addresses = Rc::new([]);
                }
                entry.retry_after = now + FAILED;
            }
        }
        entry.addresses.clone()
    }
}

/// Asks the system, in the order in which it prefers the addresses.
pub async fn look_up(name: &str) -> io::Result<Vec<IpAddr>> {
    let mut addresses = Vec::new();
    for address in tokio::net::lookup_host((name, 0)).await? {
        if !addresses.contains(&address.ip()) {
            addresses.push(address.ip());
        }
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_age_by_the_engine_clock() {
        let clock = Clock::new();
        let mut resolver = Resolver::default();
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        assert!(resolver.known("a", &clock).is_none());
        resolver.learn("a", Ok(vec![address]), &clock);
        assert_eq!(resolver.known("a", &clock).as_deref(), Some(&[address][..]));
        clock.advance(FRESH);
        assert!(resolver.known("a", &clock).is_none());
        let stale = resolver.learn("a", Err(io::ErrorKind::TimedOut.into()), &clock);
        assert_eq!(&stale[..], [address]);
        clock.advance(STALE);
        assert!(resolver.learn("a", Err(io::ErrorKind::TimedOut.into()), &clock).is_empty());
        assert_eq!(resolver.known("a", &clock).as_deref(), Some(&[][..]));
    }
}
