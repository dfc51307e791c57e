//! Upstreams: which address a request goes to.
//!
//! A [`Balancer`] lives as long as its upstream entity, through all changes of it, so that services refer to it once
//! and for all; what requests read is one immutable [`Table`], replaced whenever targets or look-ups change it. The
//! state of each address (health, requests under way, response times) is shared by all tables that have the address.

pub mod key;
pub mod plan;
pub mod registry;
pub mod report;
mod ring;
pub mod table;
mod wheel;

use std::collections::HashSet;
use std::hash::BuildHasher;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use self::key::Cookie;
use self::plan::{Plan, TargetHost};
pub use self::ring::hash;
use self::table::{Answers, Choice, Entry, Peer, Peers, Serving, Table};
use super::health::Outcome;
use super::health::probe::watch;
use crate::config::entities::Algorithm;
use crate::upkeep::Upkeep;

/// Names that an upstream has looked up at once; its tenant may have a few more.
const MOST_FLIGHTS: usize = 16;

/// An upstream of a tenant.
#[derive(Debug)]
pub struct Balancer {
    /// The tenant's number in this process.
    pub tenant: u64,
    table: ArcSwap<Table>,
    writer: Mutex<Writer>,
    resolved: Notify,
    refreshing: AtomicBool,
    watching: AtomicBool,
    changed: Arc<Notify>,
}

#[derive(Debug)]
struct Writer {
    plan: Arc<Plan>,
    answers: Answers,
    peers: Peers,
}

/// Why there is no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoPeer {
    /// None is healthy, or none has weight, or no name resolves.
    Unavailable,
    /// The only ones are such that the tenant may not reach.
    Refused,
}

/// A chosen address; counts as a request under way until it is dropped.
#[derive(Debug)]
pub struct Picked {
    table: Arc<Table>,
    serving: Serving,
    place: usize,
}

impl Balancer {
    /// A balancer for a plan; names are looked up when they are first needed.
    #[must_use]
    pub fn new(tenant: u64, plan: Arc<Plan>) -> Self {
        let (table, peers) = Table::new(plan.clone(), &Answers::new(), &Peers::new(), random());
        Self {
            tenant,
            table: ArcSwap::from_pointee(table),
            writer: Mutex::new(Writer { plan, answers: Answers::new(), peers }),
            resolved: Notify::new(),
            refreshing: AtomicBool::new(false),
            watching: AtomicBool::new(false),
            changed: Arc::default(),
        }
    }

    /// The table as it is now.
    #[must_use]
    pub fn table(&self) -> Arc<Table> {
        self.table.load_full()
    }

    /// Follows a new plan. Addresses that it has no more get no new request.
    pub fn follow(&self, plan: Arc<Plan>, upkeep: &Upkeep) {
        let mut writer = self.lock();
        let wanted: HashSet<&str> = names(&plan).collect();
        writer.answers.retain(|name, _| wanted.contains(&**name));
        writer.plan = plan;
        self.rebuild(&mut writer, upkeep);
        self.changed.notify_one();
    }

    /// Has the targets probed, if that is wanted and not done already.
    pub fn watch(self: &Arc<Self>, upkeep: &Arc<Upkeep>) {
        if !self.table.load().plan.checks.are_active() || self.watching.swap(true, Ordering::AcqRel) {
            return;
        }
        let (balancer, with) = (Arc::downgrade(self), upkeep.clone());
        upkeep.spawn(async move {
            watch(balancer.clone(), with.clone(), random()).await;
            if let Some(balancer) = balancer.upgrade() {
                balancer.watching.store(false, Ordering::Release);
                // It may have become wanted again just now.
                balancer.watch(&with);
            }
        });
    }

    /// Told whenever the plan is another one.
    #[must_use]
    pub fn changed(&self) -> Arc<Notify> {
        self.changed.clone()
    }

    /// Takes in what a probe met.
    pub fn probed(&self, table: &Table, entry: &Entry, outcome: Outcome) {
        if entry.peer.health.report(outcome, &table.plan.checks.probed) {
            self.table.load().judge();
        }
    }

    /// Lets all addresses go: the upstream is no more.
    pub fn close(&self, upkeep: &Upkeep) {
        let mut writer = self.lock();
        for peer in std::mem::take(&mut writer.peers).into_values() {
            self.retire(&peer, upkeep);
        }
    }

    fn rebuild(&self, writer: &mut Writer, upkeep: &Upkeep) {
        let (table, peers) = Table::new(writer.plan.clone(), &writer.answers, &writer.peers, random());
        self.table.store(Arc::new(table));
        let before = std::mem::replace(&mut writer.peers, peers);
        for (_, peer) in before.iter().filter(|(key, _)| !writer.peers.contains_key(key)) {
            self.retire(peer, upkeep);
        }
    }

    fn retire(&self, peer: &Peer, upkeep: &Upkeep) {
        peer.leave();
        upkeep.retired.add(self.tenant, peer.address);
    }

    /// Waits, for so long at most, until all names have been looked up once. Asks for another look where it is time:
    /// requests go by the old answer meanwhile.
    pub async fn ready(self: &Arc<Self>, upkeep: &Arc<Upkeep>, now: Duration, patience: Duration) {
        let (expired, pending) = {
            let table = self.table.load();
            (table.expires.is_some_and(|expires| now >= expires), table.pending)
        };
        if expired {
            self.refresh(upkeep);
        }
        if pending {
            let waiting = async {
                loop {
                    let landed = self.resolved.notified();
                    if !self.table.load().pending {
                        return;
                    }
                    self.refresh(upkeep);
                    landed.await;
                }
            };
            // What is not known in time is unavailable.
            let _ = tokio::time::timeout(patience, waiting).await;
        }
    }

    /// Looks names up again in the background, unless that is under way.
    pub fn refresh(self: &Arc<Self>, upkeep: &Arc<Upkeep>) {
        if !self.refreshing.swap(true, Ordering::AcqRel) {
            let flight = Refresh(self.clone());
            let with = upkeep.clone();
            upkeep.spawn(async move { flight.run(&with).await });
        }
    }

    /// Chooses an address.
    pub fn pick(&self, choice: &Choice<'_>) -> Result<Picked, NoPeer> {
        let table = self.table.load();
        let Some((serving, place)) = table.choose(choice) else {
            let none = table.entries().next().is_none();
            return Err(if none && table.refused { NoPeer::Refused } else { NoPeer::Unavailable });
        };
        let picked = Picked { table: arc_swap::Guard::into_inner(table), serving, place };
        if picked.counts() {
            picked.entry().peer.begin();
        }
        Ok(picked)
    }

    /// Takes in what a request met.
    pub fn report(&self, picked: &Picked, outcome: Outcome) {
        let checks = &picked.table.plan.checks;
        let outcome = match outcome {
            Outcome::Status(_) if checks.passive_is_tcp => Outcome::Connected,
            outcome => outcome,
        };
        if picked.entry().peer.health.report(outcome, &checks.passive) {
            self.table.load().judge();
        }
    }

    /// Sets the health of addresses of a target (by id or text), as an operator does. Returns whether there was one.
    pub fn set_health(&self, target: &str, address: Option<SocketAddr>, healthy: bool) -> bool {
        let table = self.table.load();
        let mut found = false;
        for entry in table.entries() {
            let own = &table.plan.targets[entry.target];
            let meant = *own.id == *target || *own.text == *target;
            if meant && address.is_none_or(|address| address == entry.peer.address) {
                entry.peer.health.set(healthy);
                found = true;
            }
        }
        table.judge();
        found
    }

    fn lock(&self) -> MutexGuard<'_, Writer> {
        // Every field is valid on its own, so a panic in between leaves nothing half done.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn names(plan: &Plan) -> impl Iterator<Item = &str> {
    plan.targets.iter().filter_map(|target| match &target.host {
        TargetHost::Name(name) => Some(&**name),
        TargetHost::Ip(_) => None,
    })
}

fn random() -> u64 {
    std::hash::RandomState::new().hash_one(0)
}

/// A look at all names that are due; the next one may begin when it is dropped.
struct Refresh(Arc<Balancer>);

impl Drop for Refresh {
    fn drop(&mut self) {
        self.0.refreshing.store(false, Ordering::Release);
        self.0.resolved.notify_waiters();
    }
}

impl Refresh {
    async fn run(self, upkeep: &Arc<Upkeep>) {
        let now = upkeep.clock.elapsed();
        let due: HashSet<Box<str>> = {
            let writer = self.0.lock();
            let is_due = |name: &&str| writer.answers.get(*name).is_none_or(|answer| now >= answer.expires);
            names(&writer.plan).filter(is_due).map(Into::into).collect()
        };
        let (mut flights, mut answers) = (JoinSet::new(), Vec::new());
        for name in due {
            if flights.len() >= MOST_FLIGHTS {
                answers.extend(flights.join_next().await.and_then(Result::ok));
            }
            let (upkeep, tenant) = (upkeep.clone(), self.0.tenant);
            flights.spawn(async move {
                let answer = upkeep.dns.look_up(&upkeep.clock, tenant, &name).await;
                (name, answer)
            });
        }
        answers.extend(flights.join_all().await);
        let mut writer = self.0.lock();
        let wanted: HashSet<Box<str>> = names(&writer.plan).map(Into::into).collect();
        writer.answers.extend(answers.into_iter().filter(|(name, _)| wanted.contains(name)));
        self.0.rebuild(&mut writer, upkeep);
    }
}

impl Picked {
    /// The entry.
    #[must_use]
    pub fn entry(&self) -> &Entry {
        let group = if self.serving == Serving::Failover { &self.table.failover } else { &self.table.regular };
        &group.entries[self.place]
    }

    /// The cookie that ties the client to it.
    #[must_use]
    pub fn sticky(&self) -> Option<&Cookie> {
        self.table.plan.sticky()
    }

    /// Takes a response time in, where it matters.
    pub fn observe(&self, took: impl FnOnce() -> (Duration, Duration)) {
        if self.table.plan.algorithm == Algorithm::Latency {
            let (took, now) = took();
            self.entry().peer.observe(took, now);
        }
    }

    fn counts(&self) -> bool {
        matches!(self.table.plan.algorithm, Algorithm::LeastConnections | Algorithm::Latency)
    }
}

impl Drop for Picked {
    fn drop(&mut self) {
        if self.counts() {
            self.entry().peer.end();
        }
    }
}
