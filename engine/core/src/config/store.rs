//! All tenants of a process: what they were told, and applying what they are told next.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use imbl::OrdMap;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::compile::{Input, Parts};
use super::entities::{Draft, EntitySet, PluginSpec};
use super::hosts::{HostTable, Slot};
use super::tenant::Tenant;
use super::turns::Turns;
use super::update::{Change, Delta, FORMAT, Limits, Operation, Report, Settings, Snapshot, Update, reported, whole};
use crate::error::ConfigError;
use crate::plugins::Labels;
use crate::stats::{Counters, Totals};
use crate::upkeep::Upkeep;
use crate::upstream::balancer::registry::Balancers;
use crate::upstream::balancer::report::{HealthOrder, UpstreamHealths};

/// Everything held for a tenant.
struct Held {
    number: u64,
    organization_id: String,
    version: u64,
    hosts: Vec<String>,
    settings: Settings,
    limits: Limits,
    entities: EntitySet,
    parts: Parts,
    balancers: Balancers,
    slot: Arc<Slot>,
    counters: Arc<Counters>,
}

/// The counters of a tenant with its owner.
#[derive(Debug, Serialize)]
pub struct TenantTotals {
    /// Owner.
    pub organization_id: String,
    /// Counters.
    #[serde(flatten)]
    pub totals: Totals,
}

/// What a tenant would become.
struct Proposal {
    organization_id: String,
    control_plane_id: String,
    version: u64,
    hosts: Vec<String>,
    settings: Settings,
    limits: Limits,
    draft: Draft,
}

/// The tenants. Requests only look at the [`HostTable`]. Updates of one tenant take turns; what they compile keeps neither
/// other tenants waiting nor those who ask for numbers.
pub struct Store {
    /// Held for moments only: nothing is compiled or taken apart meanwhile.
    held: Mutex<State>,
    turns: Turns,
    threads: usize,
    upkeep: Arc<Upkeep>,
    /// Read by every request.
    pub hosts: HostTable,
}

#[derive(Default)]
struct State {
    tenants: HashMap<String, Arc<Held>>,
    /// Who has a host, or is about to.
    owners: HashMap<String, String>,
    numbered: u64,
    /// Those that there are, by number.
    live: OrdMap<u64, Arc<Slot>>,
    /// Versions that requests may still be served from. A worker never holds the last reference to one, for taking a
    /// large one apart would keep its other requests waiting.
    retired: Vec<Arc<Tenant>>,
}

impl State {
    /// The versions that no request needs any more, to be let go of where nobody waits for it.
    fn reap(&mut self) -> Vec<Arc<Tenant>> {
        // Nobody can take a new reference: a retired version is in no slot.
        self.retired.extract_if(.., |tenant| Arc::strong_count(tenant) == 1).collect()
    }
}

impl Store {
    /// An empty store for so many worker threads.
    #[must_use]
    pub fn new(threads: usize, upkeep: Arc<Upkeep>) -> Self {
        Self { held: Mutex::default(), turns: Turns::default(), threads, upkeep, hosts: HostTable::new() }
    }

    /// Applies an update, all or nothing.
    pub fn apply(&self, update: &[u8]) -> Report {
        match Update::read(update) {
            Ok(Update::Snapshot(snapshot)) => {
                let id = snapshot.control_plane_id.clone();
                self.turns.take(&id, || self.snapshot(snapshot))
            }
            Ok(Update::Delta(delta)) => {
                let id = delta.control_plane_id.clone();
                self.turns.take(&id, || self.delta(delta))
            }
            Err(error) => Report::refused("", 0, None, format!("unreadable update: {}", position(&error))),
        }
    }

    /// Forgets a tenant. Returns whether it was there.
    pub fn remove(&self, control_plane_id: &str) -> bool {
        self.turns.take(control_plane_id, || {
            let mut state = self.lock();
            let Some(held) = state.tenants.remove(control_plane_id) else { return false };
            for host in &held.hosts {
                state.owners.remove(host);
                self.hosts.remove(host);
            }
            state.retired.push(held.slot.current.load_full());
            state.live.remove(&held.number);
            drop(state);
            held.counters.departure.tell();
            held.balancers.close(&self.upkeep);
            self.upkeep.tls.forget(held.number);
            self.reap();
            true
        })
    }

    /// The health of all upstreams per control plane.
    #[must_use]
    pub fn health(&self) -> BTreeMap<String, UpstreamHealths> {
        self.all().into_iter().map(|(id, held)| (id, held.balancers.health())).collect()
    }

    /// What is counted of a control plane for Prometheus, in its text format; `None` if there is no such control plane.
    #[must_use]
    pub fn metrics(&self, control_plane_id: &str) -> Option<String> {
        let held = self.find(control_plane_id)?;
        let wants_health = |plugin: &PluginSpec| {
            let wants = plugin.config.get("upstream_health_metrics").and_then(Value::as_bool);
            plugin.name == "prometheus" && plugin.enabled && wants == Some(true)
        };
        let is_wanted = held.entities.plugins.values().any(|plugin| wants_health(plugin));
        let health = is_wanted.then(|| held.balancers.health());
        let entities = &held.entities;
        held.parts.metrics.keep(|| {
            let with_service = entities.routes.values().filter_map(|route| {
                let service = entities.services.get(route.service.as_ref()?.id.as_str())?;
                Some(Labels::of(service, route))
            });
            with_service.collect()
        });
        Some(held.parts.metrics.text(held.counters.totals().requests_total, health.as_ref()))
    }

    /// Sets the health of a target; returns whether there is one.
    pub fn set_target_health(&self, order: &HealthOrder) -> bool {
        self.find(&order.control_plane_id).is_some_and(|held| held.balancers.set_health(order))
    }

    /// The tenants that there are, by number. Whoever keeps something for a tenant looks here from time to time.
    #[must_use]
    pub fn live(&self) -> OrdMap<u64, Arc<Slot>> {
        self.lock().live.clone()
    }

    /// The present version of a tenant, by its number.
    #[must_use]
    pub fn current(&self, number: u64) -> Option<Arc<Tenant>> {
        self.lock().live.get(&number).map(|slot| slot.current.load_full())
    }

    /// The version held per control plane.
    #[must_use]
    pub fn versions(&self) -> BTreeMap<String, u64> {
        self.all().into_iter().map(|(id, held)| (id, held.version)).collect()
    }

    /// The counters per control plane.
    #[must_use]
    pub fn totals(&self) -> BTreeMap<String, TenantTotals> {
        // Asked for every few seconds: what the last change left behind does not stay until the next one.
        self.reap();
        let totals = |held: &Held| TenantTotals {
            organization_id: held.organization_id.clone(),
            totals: held.counters.totals(),
        };
        self.all().into_iter().map(|(id, held)| (id, totals(&held))).collect()
    }

    fn snapshot(&self, snapshot: Snapshot) -> Report {
        let held = self.find(&snapshot.control_plane_id);
        let mut draft = Draft::of(held.as_ref().map(|held| held.entities.clone()).unwrap_or_default());
        draft.replace_all(snapshot.entities);
        let proposal = Proposal {
            organization_id: snapshot.organization_id,
            control_plane_id: snapshot.control_plane_id,
            version: snapshot.version,
            hosts: snapshot.hosts,
            settings: snapshot.settings,
            limits: snapshot.limits,
            draft,
        };
        self.install(held.as_deref(), snapshot.format, proposal)
    }

    fn delta(&self, delta: Delta) -> Report {
        let held = self.find(&delta.control_plane_id).filter(|held| held.version == delta.from_version);
        let Some(held) = held else {
            let message = "the delta does not start at the version held";
            return Report::version_gap(&delta.control_plane_id, delta.version, message);
        };
        let mut proposal = Proposal {
            organization_id: delta.organization_id,
            control_plane_id: delta.control_plane_id,
            version: delta.version,
            hosts: delta.hosts,
            settings: delta.settings.unwrap_or_else(|| held.settings.clone()),
            limits: delta.limits.unwrap_or_else(|| held.limits.clone()),
            draft: Draft::of(held.entities.clone()),
        };
        for change in delta.changes {
            let Change { operation, r#type, id, entity } = change;
            match operation {
                Operation::Put => proposal.draft.put(&r#type, &id, entity.as_deref().map_or("null", RawValue::get)),
                Operation::Delete => proposal.draft.delete(&r#type, &id),
            }
        }
        self.install(Some(&held), delta.format, proposal)
    }

    /// Puts a proposal in the place of what is held. To be called in the tenant's turn.
    fn install(&self, earlier: Option<&Held>, format: u32, mut proposal: Proposal) -> Report {
        let (id, version) = (proposal.control_plane_id.clone(), proposal.version);
        if format != FORMAT {
            return Report::refused(&id, version, Some("format"), format!("this engine reads format {FORMAT} only"));
        }
        let number = earlier.map_or_else(|| self.take_number(), |held| held.number);
        let compiled = std::mem::take(&mut proposal.draft).finish().and_then(|(entities, changes)| {
            let limits = &proposal.limits;
            let balancers = earlier.map(|held| held.balancers.clone()).unwrap_or_default();
            let other_limits = earlier.is_some_and(|held| held.limits != *limits);
            let proposed = balancers.propose(number, &entities, &changes, limits, other_limits);
            let input = Input {
                entities: &entities,
                changes: &changes,
                upstreams: &proposed,
                settings: &proposal.settings,
                limits,
                other_limits,
            };
            let parts = earlier.map_or(&Parts::default(), |held| &held.parts).updated(&input)?;
            Ok((entities, parts, proposed))
        });
        let claimed = match &compiled {
            Ok(_) => self.claim(&proposal),
            Err(_) => Err(check_owner(&self.lock(), &proposal)),
        };
        let (entities, parts, proposed) = match (compiled, claimed) {
            (Ok(compiled), Ok(())) => compiled,
            (compiled, claimed) => {
                let errors = [claimed.err(), compiled.err()].into_iter().flatten().flatten().collect();
                return Report { control_plane_id: id, version, accepted: false, errors: reported(errors) };
            }
        };
        // From here on nothing can be refused.
        let (settings, limits) = (&proposal.settings, &proposal.limits);
        let counters = earlier.map_or_else(|| Arc::new(Counters::new(self.threads)), |held| held.counters.clone());
        let tenant = Arc::new(parts.tenant((number, version), &id, settings, limits, counters.clone()));
        let balancers = proposed.install(&self.upkeep);
        let mut state = self.lock();
        let (slot, before) = match earlier {
            Some(held) => {
                state.retired.push(held.slot.current.swap(tenant));
                (held.slot.clone(), &*held.hosts)
            }
            None => (Arc::new(Slot { current: ArcSwap::new(tenant) }), &[][..]),
        };
        state.live.insert(number, slot.clone());
        self.move_hosts(&mut state, before, &proposal.hosts, &slot);
        let held = Held {
            number,
            organization_id: proposal.organization_id,
            version,
            hosts: proposal.hosts,
            settings: proposal.settings,
            limits: proposal.limits,
            entities,
            parts,
            balancers,
            slot,
            counters,
        };
        let replaced = state.tenants.insert(id.clone(), Arc::new(held));
        drop(state);
        drop(replaced);
        self.reap();
        Report { control_plane_id: id, version, accepted: true, errors: Vec::new() }
    }

    /// Takes hosts for a control plane, if all of them are free or its own.
    fn claim(&self, proposal: &Proposal) -> Result<(), Vec<ConfigError>> {
        let mut state = self.lock();
        let errors = check_owner(&state, proposal);
        if !errors.is_empty() {
            return Err(errors);
        }
        let id = &proposal.control_plane_id;
        state.owners.extend(proposal.hosts.iter().map(|host| (host.clone(), id.clone())));
        Ok(())
    }

    fn move_hosts(&self, state: &mut State, before: &[String], after: &[String], slot: &Arc<Slot>) {
        for host in after.iter().filter(|host| !before.contains(host)) {
            self.hosts.insert(host, slot);
        }
        for host in before.iter().filter(|host| !after.contains(host)) {
            state.owners.remove(host);
            self.hosts.remove(host);
        }
    }

    fn find(&self, control_plane_id: &str) -> Option<Arc<Held>> {
        self.lock().tenants.get(control_plane_id).cloned()
    }

    fn all(&self) -> Vec<(String, Arc<Held>)> {
        self.lock().tenants.iter().map(|(id, held)| (id.clone(), held.clone())).collect()
    }

    fn take_number(&self) -> u64 {
        let mut state = self.lock();
        state.numbered += 1;
        state.numbered
    }

    fn reap(&self) {
        let free = self.lock().reap();
        drop(free);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic happens while it is held.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A control plane keeps its organization, and a host belongs to one control plane only.
fn check_owner(state: &State, proposal: &Proposal) -> Vec<ConfigError> {
    let mut errors = Vec::new();
    let mut refuse = |field: &str, message: String| {
        errors.push(whole(&proposal.control_plane_id, Some(field), message));
    };
    let id = &proposal.control_plane_id;
    if state.tenants.get(id).is_some_and(|held| held.organization_id != proposal.organization_id) {
        refuse("organization_id", "the control plane belongs to another organization".into());
    }
    for host in &proposal.hosts {
        if !HostTable::takes(host) {
            refuse("hosts", format!("'{host}' is not a host in lower case, nor '*.' and one"));
        }
        if state.owners.get(host).is_some_and(|owner| owner != id) {
            refuse("hosts", format!("'{host}' belongs to another control plane"));
        }
    }
    errors
}

/// Where a document breaks off, without its content: updates hold secrets.
fn position(error: &serde_json::Error) -> String {
    format!("{:?} error at line {}, column {}", error.classify(), error.line(), error.column())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn workers_never_let_go_of_a_version_last() {
        let store = Store::new(1, Arc::default());
        let apply = |version: u64| {
            let snapshot = json!({
                "kind": "snapshot", "format": 1, "organization_id": "org", "control_plane_id": "cp", "version": version,
                "hosts": ["a"], "entities": {},
                "settings": {
                    "router_flavor": "traditional_compatible", "trusted_ips": [], "real_ip_header": "x", "headers": [],
                },
            });
            assert!(store.apply(snapshot.to_string().as_bytes()).accepted);
            store.hosts.find("a").unwrap()
        };
        let first = apply(1);
        let alive = Arc::downgrade(&first);
        let second = apply(2);
        assert_eq!((first.version, second.version), (1, 2));
        drop(first);
        assert!(alive.upgrade().is_some());
        assert!(store.totals().len() < 2);
        assert!(alive.upgrade().is_none());

        let alive = Arc::downgrade(&second);
        assert!(store.remove("cp"));
        drop(second);
        assert!(alive.upgrade().is_some());
        assert!(store.totals().len() < 2);
        assert!(alive.upgrade().is_none());
    }

    #[test]
    fn nobody_waits_for_a_neighbour_that_is_being_compiled() {
        let store = Store::new(1, Arc::default());
        let apply = |id: &str, hosts: &[&str]| {
            let snapshot = json!({
                "kind": "snapshot", "format": 1, "organization_id": "org", "control_plane_id": id, "version": 1,
                "hosts": hosts, "entities": {},
                "settings": {
                    "router_flavor": "traditional_compatible", "trusted_ips": [], "real_ip_header": "x", "headers": [],
                },
            });
            store.apply(snapshot.to_string().as_bytes()).accepted
        };
        store.turns.take("slow", || {
            assert!(apply("quick", &["a", "b"]));
            assert_eq!((store.versions().len(), store.totals().len(), store.health().len()), (1, 1, 1));
            assert!(store.remove("quick"));
        });
        // Hosts are claimed by whoever is first, and free again afterwards.
        assert!(apply("slow", &["a"]) && !apply("quick", &["a", "b"]) && apply("other", &["b"]));
        assert!(apply("slow", &["c"]) && apply("quick", &["a"]));
        let numbers = ["a", "b", "c"].map(|host| store.hosts.find(host).unwrap().number);
        assert!(numbers[0] != numbers[1] && numbers[1] != numbers[2] && numbers[2] != numbers[0]);
    }
}
