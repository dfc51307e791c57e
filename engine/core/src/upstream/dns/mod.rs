//! Names to addresses: one resolver for the process, with a cache that goes by the records' own lifetimes.

mod cache;
mod message;
mod query;
mod system;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use serde::Deserialize;
use tokio::sync::OnceCell;

use self::cache::Cache;
use self::message::{Kind, Reply};
use self::query::ask;
use self::system::{Resolvers, Stamp};
use crate::clock::Clock;

/// Shortest time that an answer is used, so that one with no lifetime is not asked for without a pause.
const SHORTEST: u32 = 1;
/// Longest time that an answer is used.
const LONGEST: u32 = 3600;
/// Look-ups that a tenant may have under way.
const MOST_FLIGHTS: usize = 32;
/// Services of an SRV answer that are looked up.
const MOST_SERVICES: usize = 32;
/// How long what the hosts file says is used.
const FROM_FILE: Duration = Duration::from_secs(60);
/// How long what the system's own resolver says is used: it tells no lifetime.
const FROM_SYSTEM: Duration = Duration::from_secs(10);

/// How names are looked up. Times in seconds unless they say otherwise.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DnsOptions {
    /// Name servers (`ip:port`); none takes those of the system.
    pub nameservers: Vec<SocketAddr>,
    /// Domains that short names may lie in; absent takes those of the system.
    pub search: Option<Vec<String>>,
    /// How long an answer is used when its lifetime is over and a new one cannot be had.
    pub stale_ttl: u64,
    /// How long it is remembered that there is no such name.
    pub not_found_ttl: u64,
    /// How long it is remembered that nobody knows.
    pub error_ttl: u64,
    /// Milliseconds that a name server has for an answer.
    pub timeout_ms: u64,
    /// Names that need no server.
    pub hosts_file: PathBuf,
    /// Where the system's name servers are told.
    pub resolv_conf: PathBuf,
}

impl Default for DnsOptions {
    fn default() -> Self {
        Self {
            nameservers: Vec::new(),
            search: None,
            stale_ttl: 3600,
            not_found_ttl: 30,
            error_ttl: 1,
            timeout_ms: 2000,
            hosts_file: "/etc/hosts".into(),
            resolv_conf: "/etc/resolv.conf".into(),
        }
    }
}

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The addresses; none if the name has none or nobody knows.
    pub records: Vec<Record>,
    /// When it is to be looked up again, by the engine's clock.
    pub expires: Duration,
}

/// One address of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The address.
    pub address: IpAddr,
    /// Port of an SRV record.
    pub port: Option<u16>,
    /// Weight of an SRV record.
    pub weight: Option<u32>,
    /// Name in an SRV record.
    pub name: Option<Box<str>>,
}

impl Record {
    fn plain(address: IpAddr) -> Self {
        Self { address, port: None, weight: None, name: None }
    }
}

/// What the system's files say, and when they were written.
#[derive(Debug)]
struct System {
    resolvers: Resolvers,
    hosts: HashMap<Box<str>, Vec<IpAddr>>,
    stamps: [Option<Stamp>; 2],
}

impl System {
    fn read(options: &DnsOptions) -> Self {
        // First, so that what is written meanwhile is read next time.
        let stamps = stamps(options);
        let mut resolvers = system::resolvers(&options.resolv_conf);
        if !options.nameservers.is_empty() {
            resolvers.servers.clone_from(&options.nameservers);
        }
        if let Some(search) = &options.search {
            resolvers.search.clone_from(search);
        }
        Self { resolvers, hosts: system::hosts(&options.hosts_file), stamps }
    }
}

fn stamps(options: &DnsOptions) -> [Option<Stamp>; 2] {
    [&options.resolv_conf, &options.hosts_file].map(|path| system::stamp(path))
}

/// What a look-up brought: the records and their lifetime.
type Found = (Vec<Record>, Duration);
type Flight = (u64, Arc<OnceCell<Arc<Answer>>>);

/// The resolver of the process.
#[derive(Debug)]
pub struct Dns {
    options: DnsOptions,
    system: ArcSwap<System>,
    cache: Mutex<Cache>,
    flights: Mutex<HashMap<Box<str>, Flight>>,
}

impl Default for Dns {
    fn default() -> Self {
        Self::new(DnsOptions::default())
    }
}

impl Dns {
    /// A resolver.
    #[must_use]
    pub fn new(options: DnsOptions) -> Self {
        let system = ArcSwap::from_pointee(System::read(&options));
        Self { options, system, cache: Mutex::default(), flights: Mutex::default() }
    }

    /// Reads the system's files again if they are others than before. Answers that are remembered stay good.
    pub fn keep_up(&self) {
        if self.system.load().stamps != stamps(&self.options) {
            self.system.store(Arc::new(System::read(&self.options)));
        }
    }

    /// Looks a name up for a tenant: its services, or else its addresses. All who ask for the same wait for the same answer.
    pub async fn look_up(&self, clock: &Clock, tenant: u64, name: &str) -> Arc<Answer> {
        let name = name.to_ascii_lowercase();
        if let Some(addresses) = self.system.load().hosts.get(name.trim_end_matches('.')) {
            let records = addresses.iter().copied().map(Record::plain).collect();
            return Arc::new(Answer { records, expires: clock.elapsed() + FROM_FILE });
        }
        let key: Box<str> = name.into();
        if let Some(known) = lock(&self.cache).fresh(&key, clock.elapsed()) {
            return known;
        }
        let Some(flight) = self.board(tenant, &key) else {
            // One that asks for too much at once goes by what it knows, and comes back.
            return self.unanswered(clock, &key);
        };
        let answer = flight.get_or_init(|| self.answer(clock, tenant, &key)).await.clone();
        lock(&self.flights).remove(&key);
        answer
    }

    fn board(&self, tenant: u64, key: &str) -> Option<Arc<OnceCell<Arc<Answer>>>> {
        let mut flights = lock(&self.flights);
        if let Some((_, flight)) = flights.get(key) {
            return Some(flight.clone());
        }
        if flights.values().filter(|(owner, _)| *owner == tenant).count() >= MOST_FLIGHTS {
            return None;
        }
        let flight = Arc::new(OnceCell::new());
        flights.insert(key.into(), (tenant, flight.clone()));
        Some(flight)
    }

    async fn answer(&self, clock: &Clock, tenant: u64, key: &str) -> Arc<Answer> {
        let (answer, found) = match self.find(key).await {
            Some((records, lifetime)) => {
                let now = clock.elapsed();
                (Arc::new(Answer { records, expires: now + lifetime }), Some(now))
            }
            None => (self.unanswered(clock, key), None),
        };
        lock(&self.cache).put(tenant, key, answer.clone(), found, self.longest());
        answer
    }

    /// What serves where no answer is to be had: better an old one than none.
    fn unanswered(&self, clock: &Clock, key: &str) -> Arc<Answer> {
        let now = clock.elapsed();
        let records = lock(&self.cache).stale(key, now, self.longest());
        Arc::new(Answer { records, expires: now + self.error_ttl() })
    }

    /// `None` if nobody knows.
    async fn find(&self, name: &str) -> Option<Found> {
        let system = self.system.load_full();
        let resolvers = &system.resolvers;
        if resolvers.servers.is_empty() {
            return Self::ask_system(name).await;
        }
        let mut is_known = true;
        for candidate in resolvers.candidates(name) {
            match self.ask_servers(resolvers, &candidate).await {
                Some((records, lifetime)) if !records.is_empty() => return Some((records, lifetime)),
                Some(_) => {}
                None => is_known = false,
            }
        }
        is_known.then(|| (Vec::new(), Duration::from_secs(self.options.not_found_ttl)))
    }

    async fn ask_servers(&self, resolvers: &Resolvers, name: &str) -> Option<Found> {
        let (services, addresses) = tokio::join!(self.ask(resolvers, name, Kind::Srv), self.addresses(resolvers, name));
        let Some(Reply::Services(services, ttl)) = services else {
            let (addresses, ttl) = addresses?;
            return Some((addresses.into_iter().map(Record::plain).collect(), lifetime(ttl)));
        };
        let (mut records, mut shortest) = (Vec::new(), ttl);
        for service in services.into_iter().take(MOST_SERVICES) {
            let Some((addresses, ttl)) = self.addresses(resolvers, &service.name).await else { continue };
            shortest = shortest.min(ttl);
            records.extend(addresses.into_iter().map(|address| Record {
                address,
                port: Some(service.port),
                weight: Some(service.weight),
                name: Some(service.name.as_str().into()),
            }));
        }
        Some((records, lifetime(shortest)))
    }

    /// IPv4 addresses, or else IPv6 addresses.
    async fn addresses(&self, resolvers: &Resolvers, name: &str) -> Option<(Vec<IpAddr>, u32)> {
        let (four, six) = tokio::join!(self.ask(resolvers, name, Kind::A), self.ask(resolvers, name, Kind::Aaaa));
        match (four, six) {
            (Some(Reply::Addresses(list, ttl)), _) | (_, Some(Reply::Addresses(list, ttl))) => Some((list, ttl)),
            (Some(_), Some(_)) => Some((Vec::new(), SHORTEST)),
            _ => None,
        }
    }

    async fn ask(&self, resolvers: &Resolvers, name: &str, kind: Kind) -> Option<Reply> {
        ask(&resolvers.servers, name, kind, Duration::from_millis(self.options.timeout_ms)).await
    }

    async fn ask_system(name: &str) -> Option<Found> {
        let mut records: Vec<Record> = Vec::new();
        for address in tokio::net::lookup_host((name, 0)).await.ok()? {
            let record = Record::plain(address.ip());
            if !records.contains(&record) {
                records.push(record);
            }
        }
        Some((records, FROM_SYSTEM))
    }

    /// How old the records of an answer may get.
    fn longest(&self) -> Duration {
        Duration::from_secs(self.options.stale_ttl)
    }

    fn error_ttl(&self) -> Duration {
        Duration::from_secs(self.options.error_ttl)
    }
}

fn lifetime(ttl: u32) -> Duration {
    Duration::from_secs(ttl.clamp(SHORTEST, LONGEST).into())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is in there is valid at every moment.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_are_those_of_the_file_as_it_is_now() {
        let path = std::env::temp_dir().join(format!("sluice-resolv-{}", std::process::id()));
        let dns = Dns::new(DnsOptions { resolv_conf: path.clone(), ..DnsOptions::default() });
        let servers = || dns.system.load().resolvers.servers.clone();
        assert!(servers().is_empty());
        for text in ["nameserver 192.0.2.1\n", "nameserver 192.0.2.1\nnameserver 192.0.2.22\n", ""] {
            std::fs::write(&path, text).unwrap();
            dns.keep_up();
            assert_eq!(servers().len(), text.lines().count());
        }
        std::fs::remove_file(&path).unwrap();
        dns.keep_up();
        let fixed = DnsOptions { nameservers: vec![([192, 0, 2, 9], 5353).into()], ..DnsOptions::default() };
        let dns = Dns::new(fixed.clone());
        dns.keep_up();
        assert_eq!(dns.system.load().resolvers.servers, fixed.nameservers);
    }
}
