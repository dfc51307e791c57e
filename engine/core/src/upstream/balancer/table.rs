//! The addresses of an upstream at a moment, and the choice among them.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;

use super::plan::{Origin, Plan, Target, TargetHost};
use super::ring::{Ring, hash};
use super::wheel::Wheel;
use crate::config::entities::Algorithm;
use crate::net::address::{canonical, may_connect};
use crate::upstream::dns::Answer;
use crate::upstream::health::Health;
use crate::upstream::tls::TlsIdentity;

/// Turns of the wheel before all addresses are looked through.
const TURNS: usize = 16;
/// Time after which an old response time counts for 1/e.
const DECAY: f32 = 10_000.0;

/// One address of one target. It outlives configurations and look-ups for as long as both have it.
#[derive(Debug)]
pub struct Peer {
    /// Where to connect.
    pub address: SocketAddr,
    /// Whether it is fit for use.
    pub health: Health,
    active: AtomicU32,
    /// Milliseconds of the last response (high half) and the average response time as `f32` (low half).
    latency: AtomicU64,
    gone: AtomicBool,
}

impl Peer {
    fn new(address: SocketAddr) -> Self {
        Self {
            address,
            health: Health::default(),
            active: AtomicU32::new(0),
            latency: AtomicU64::new(0),
            gone: AtomicBool::new(false),
        }
    }

    /// Whether the address has left the upstream: nothing new goes there.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    pub(super) fn leave(&self) {
        self.gone.store(true, Ordering::Relaxed);
    }

    pub(super) fn begin(&self) {
        self.active.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn end(&self) {
        self.active.fetch_sub(1, Ordering::Relaxed);
    }

    /// The average response time in milliseconds, as it counts now.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "an estimate; the clock may wrap")]
    fn average(&self, now: Duration) -> f32 {
        let state = self.latency.load(Ordering::Relaxed);
        let age = (now.as_millis() as u32).wrapping_sub((state >> 32) as u32);
        f32::from_bits(state as u32) * (-(age as f32) / DECAY).exp()
    }

    /// Takes a response time in: a slower response counts at once, faster ones bring the average down with time.
    #[allow(clippy::cast_possible_truncation, reason = "the clock may wrap")]
    pub(super) fn observe(&self, took: Duration, now: Duration) {
        let (average, took) = (self.average(now), took.as_secs_f32() * 1000.0);
        let state = self.latency.load(Ordering::Relaxed);
        let age = (now.as_millis() as u32).wrapping_sub((state >> 32) as u32).max(1);
        let kept = (-(f64::from(age) as f32) / DECAY).exp();
        let updated = if took > average { took } else { average + took * (1.0 - kept) };
        self.latency.store(u64::from(now.as_millis() as u32) << 32 | u64::from(updated.to_bits()), Ordering::Relaxed);
    }

    #[allow(clippy::cast_precision_loss, reason = "an estimate")]
    fn cost(&self, weight: u32, now: Duration) -> f32 {
        let waiting = self.active.load(Ordering::Relaxed) as f32 + 1.0;
        (self.average(now) + 0.01) * waiting / weight as f32
    }
}

/// A place in the rotation.
#[derive(Debug)]
pub struct Entry {
    /// The address.
    pub peer: Arc<Peer>,
    /// Its share of the requests.
    pub weight: u32,
    /// Its target's place in the plan.
    pub target: usize,
    /// What it is called.
    pub origin: Arc<Origin>,
    /// What a sticky cookie calls it.
    pub token: u64,
    identity: ArcSwapOption<TlsIdentity>,
}

impl Entry {
    /// Whom TLS is spoken with there, by the policy of a service. The one that was asked for last is remembered.
    pub fn identity(&self, own: &Arc<TlsIdentity>) -> Arc<TlsIdentity> {
        let known = self.identity.load();
        if let Some(known) = &*known
            && Arc::ptr_eq(known.policy(), own.policy())
        {
            return known.clone();
        }
        let identity = own.towards(&self.origin.https);
        self.identity.store(Some(identity.clone()));
        identity
    }
}

/// The entries that share the requests.
#[derive(Debug)]
pub struct Group {
    /// The entries.
    pub entries: Box<[Entry]>,
    wheel: Wheel,
    ring: Ring,
    weight: u64,
}

/// Which entries are in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Serving {
    /// Too few are healthy.
    None,
    /// The regular ones.
    Regular,
    /// Those that stand in for them.
    Failover,
}

/// The addresses at a moment.
#[derive(Debug)]
pub struct Table {
    /// What to do.
    pub plan: Arc<Plan>,
    /// The regular entries.
    pub regular: Group,
    /// Those that stand in.
    pub failover: Group,
    /// When names are to be looked up again, by the engine's clock.
    pub expires: Option<Duration>,
    /// Whether a name was never looked up.
    pub pending: bool,
    /// Whether an address was left out because the tenant may not reach it.
    pub refused: bool,
    serving: AtomicU8,
}

/// What is known of the names.
pub type Answers = HashMap<Box<str>, Arc<Answer>>;
/// The peers by target and address.
pub type Peers = HashMap<(Box<str>, SocketAddr), Arc<Peer>>;

/// What a choice may look at.
#[derive(Debug, Clone, Copy)]
pub struct Choice<'a> {
    /// Hash of the request.
    pub key: u64,
    /// What the sticky cookie says.
    pub token: Option<u64>,
    /// Peers that failed this request.
    pub tried: &'a Tried,
    /// Any number.
    pub random: u64,
    /// Time by the engine's clock.
    pub now: Duration,
}

/// The peers that failed a request; of many, the last ones.
#[derive(Debug, Default)]
pub struct Tried {
    peers: [usize; 8],
    count: usize,
}

impl Tried {
    /// Adds one.
    pub fn add(&mut self, peer: &Arc<Peer>) {
        self.peers[self.count % self.peers.len()] = Arc::as_ptr(peer).addr();
        self.count += 1;
    }

    fn has(&self, peer: &Arc<Peer>) -> bool {
        self.count > 0 && self.peers.contains(&Arc::as_ptr(peer).addr())
    }
}

impl Group {
    fn new(entries: Vec<Entry>, plan: &Plan, random: u64) -> Self {
        let weights = entries.iter().map(|entry| entry.weight);
        let identities: Vec<(String, u32)> = if plan.algorithm == Algorithm::ConsistentHashing {
            entries
                .iter()
                .map(|entry| (format!("{}|{}", plan.targets[entry.target].text, entry.peer.address), entry.weight))
                .collect()
        } else {
            Vec::new()
        };
        Self {
            wheel: Wheel::new(weights.clone(), random),
            ring: Ring::new(identities.iter().map(|(identity, weight)| (identity.as_str(), *weight)), plan.slots),
            weight: weights.map(u64::from).sum(),
            entries: entries.into(),
        }
    }

    /// The weight that is available, and all of it.
    #[must_use]
    pub fn weights(&self) -> (u64, u64) {
        let healthy = self.entries.iter().filter(|entry| entry.peer.health.is_healthy());
        (healthy.map(|entry| u64::from(entry.weight)).sum(), self.weight)
    }

    fn choose(&self, algorithm: Algorithm, choice: &Choice<'_>) -> Option<usize> {
        match algorithm {
            Algorithm::RoundRobin => self.in_turn(choice),
            Algorithm::LeastConnections => self.least(choice, |entry| {
                (f64::from(entry.peer.active.load(Ordering::Relaxed)) + 1.0) / f64::from(entry.weight)
            }),
            // A try that failed says nothing about the next one until a health check does.
            Algorithm::ConsistentHashing => {
                self.ring.find(choice.key, |place| self.entries[place].peer.health.is_healthy())
            }
            Algorithm::Latency => self.of_two(choice),
            Algorithm::StickySessions => choice
                .token
                .and_then(|token| self.entries.iter().position(|entry| entry.token == token))
                .filter(|place| self.is_fit(*place, choice))
                .or_else(|| self.in_turn(choice)),
        }
    }

    fn is_healthy(&self, place: usize) -> bool {
        let entry = &self.entries[place];
        entry.weight > 0 && entry.peer.health.is_healthy()
    }

    fn is_fit(&self, place: usize, choice: &Choice<'_>) -> bool {
        self.is_healthy(place) && !choice.tried.has(&self.entries[place].peer)
    }

    fn in_turn(&self, choice: &Choice<'_>) -> Option<usize> {
        for _ in 0..TURNS {
            let place = self.wheel.next()?;
            if self.is_fit(place, choice) {
                return Some(place);
            }
        }
        let start = self.wheel.next()?;
        let places = || (start..self.entries.len()).chain(0..start);
        places().find(|place| self.is_fit(*place, choice)).or_else(|| places().find(|place| self.is_healthy(*place)))
    }

    /// The entry of the least cost; of equal ones each in turn.
    fn least(&self, choice: &Choice<'_>, cost: impl Fn(&Entry) -> f64) -> Option<usize> {
        let start = self.wheel.next()?;
        let cheapest = |fit: &dyn Fn(usize) -> bool| {
            let mut best: Option<(f64, usize)> = None;
            for place in (start..self.entries.len()).chain(0..start).filter(|place| fit(*place)) {
                let cost = cost(&self.entries[place]);
                if best.is_none_or(|(least, _)| cost < least) {
                    best = Some((cost, place));
                }
            }
            best.map(|(_, place)| place)
        };
        cheapest(&|place| self.is_fit(place, choice)).or_else(|| cheapest(&|place| self.is_healthy(place)))
    }

    fn of_two(&self, choice: &Choice<'_>) -> Option<usize> {
        let count = self.entries.len() as u64;
        let place = |number: u64| usize::try_from(number.checked_rem(count)?).ok();
        let first = place(choice.random >> 32)?;
        let second =
            if count < 2 { first } else { place(first as u64 + 1 + (choice.random & 0xffff_ffff) % (count - 1))? };
        let cost = |place: usize| self.entries[place].peer.cost(self.entries[place].weight, choice.now);
        match (self.is_fit(first, choice), self.is_fit(second, choice)) {
            (true, true) => Some(if cost(second) < cost(first) { second } else { first }),
            (true, false) => Some(first),
            (false, true) => Some(second),
            (false, false) => self.least(choice, |entry| entry.peer.cost(entry.weight, choice.now).into()),
        }
    }
}

impl Table {
    /// The table for a plan and what is known of its names; peers that are not new keep their state.
    #[must_use]
    pub fn new(plan: Arc<Plan>, answers: &Answers, earlier: &Peers, random: u64) -> (Self, Peers) {
        let (mut peers, mut regular, mut failover) = (Peers::new(), Vec::new(), Vec::new());
        let (mut expires, mut pending, mut refused) = (None::<Duration>, false, false);
        for (index, target) in plan.targets.iter().enumerate() {
            let mut add = |address: IpAddr, port: u16, weight: u32, srv: Option<&str>| {
                if !may_connect(address, &plan.allowed) {
                    refused = true;
                    return;
                }
                let address = SocketAddr::new(canonical(address), port);
                let key = (target.text.clone(), address);
                let known = peers.get(&key).or_else(|| earlier.get(&key)).cloned();
                let peer = known.unwrap_or_else(|| Arc::new(Peer::new(address)));
                peers.insert(key, peer.clone());
                let origin = Arc::new(plan.origin(target, port, srv));
                let entry = Entry {
                    peer,
                    weight,
                    target: index,
                    origin,
                    token: token(&plan, target, address),
                    identity: ArcSwapOption::empty(),
                };
                if target.failover { &mut failover } else { &mut regular }.push(entry);
            };
            match &target.host {
                TargetHost::Ip(address) => add(*address, target.port, target.weight, None),
                TargetHost::Name(name) => match answers.get(name) {
                    None => (pending, expires) = (true, Some(Duration::ZERO)),
                    Some(answer) => {
                        expires = Some(expires.map_or(answer.expires, |earliest| earliest.min(answer.expires)));
                        for record in &answer.records {
                            let weight = if target.weight == 0 { 0 } else { record.weight.unwrap_or(target.weight) };
                            add(record.address, record.port.unwrap_or(target.port), weight, record.name.as_deref());
                        }
                    }
                },
            }
        }
        let table = Self {
            regular: Group::new(regular, &plan, random),
            failover: Group::new(failover, &plan, random),
            plan,
            expires,
            pending,
            refused,
            serving: AtomicU8::new(0),
        };
        table.judge();
        (table, peers)
    }

    /// Decides anew which entries are in use; to be called whenever the health of one has changed.
    pub fn judge(&self) {
        let (available, total) = self.regular.weights();
        let stand_ins = !matches!(self.plan.algorithm, Algorithm::ConsistentHashing | Algorithm::StickySessions);
        let serving = if self.plan.checks.suffices(available, total) {
            Serving::Regular
        } else if available == 0 && stand_ins && self.failover.weights().0 > 0 {
            Serving::Failover
        } else {
            Serving::None
        };
        self.serving.store(serving as u8, Ordering::Relaxed);
    }

    /// Which entries are in use.
    #[must_use]
    pub fn serving(&self) -> Serving {
        match self.serving.load(Ordering::Relaxed) {
            1 => Serving::Regular,
            2 => Serving::Failover,
            _ => Serving::None,
        }
    }

    /// Chooses an entry.
    #[must_use]
    pub fn choose(&self, choice: &Choice<'_>) -> Option<(Serving, usize)> {
        let serving = self.serving();
        Some((serving, self.group(serving)?.choose(self.plan.algorithm, choice)?))
    }

    /// The entries in use.
    #[must_use]
    pub fn group(&self, serving: Serving) -> Option<&Group> {
        match serving {
            Serving::None => None,
            Serving::Regular => Some(&self.regular),
            Serving::Failover => Some(&self.failover),
        }
    }

    /// All entries.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.regular.entries.iter().chain(&self.failover.entries)
    }
}

/// What a sticky cookie calls an address: the same on every gateway, and nothing that the address could be read from.
fn token(plan: &Plan, target: &Target, address: SocketAddr) -> u64 {
    hash(format!("{}|{}|{}|{address}", plan.name, target.id, target.text).as_bytes())
}
