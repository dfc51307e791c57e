//! All tenants of a process: what they were told, and applying what they are told next.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::compile::{EntitySet, compile};
use super::tenant::{HostTable, Slot};
use super::update::{Change, Delta, FORMAT, Limits, Report, Settings, Snapshot, Update, reported, whole};
use crate::error::ConfigError;
use crate::stats::{Counters, Totals};

/// Everything held for a tenant.
struct Held {
    number: u64,
    organization_id: String,
    version: u64,
    hosts: Vec<String>,
    settings: Settings,
    limits: Limits,
    entities: EntitySet,
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
    entities: EntitySet,
}

/// The tenants. Writers take turns; readers only look at the [`HostTable`].
pub struct Store {
    held: Mutex<State>,
    threads: usize,
    /// Read by every request.
    pub hosts: HostTable,
}

#[derive(Default)]
struct State {
    tenants: HashMap<String, Held>,
    owners: HashMap<String, String>,
    numbered: u64,
}

impl Store {
    /// An empty store for so many worker threads.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        Self { held: Mutex::default(), threads, hosts: HostTable::new() }
    }

    /// Applies an update, all or nothing.
    pub fn apply(&self, update: &[u8]) -> Report {
        match serde_json::from_slice(update) {
            Ok(Update::Snapshot(snapshot)) => self.snapshot(snapshot),
            Ok(Update::Delta(delta)) => self.delta(delta),
            Err(error) => Report::refused("", 0, None, format!("unreadable update: {}", position(&error))),
        }
    }

    /// Forgets a tenant. Returns whether it was there.
    pub fn remove(&self, control_plane_id: &str) -> bool {
        let mut state = self.lock();
        let Some(held) = state.tenants.remove(control_plane_id) else {
            return false;
        };
        for host in &held.hosts {
            state.owners.remove(host);
            self.hosts.remove(host);
        }
        true
    }

    /// The version held per control plane.
    #[must_use]
    pub fn versions(&self) -> BTreeMap<String, u64> {
        self.lock().tenants.iter().map(|(id, held)| (id.clone(), held.version)).collect()
    }

    /// The counters per control plane.
    #[must_use]
    pub fn totals(&self) -> BTreeMap<String, TenantTotals> {
        let totals = |held: &Held| TenantTotals {
            organization_id: held.organization_id.clone(),
            totals: held.counters.totals(),
        };
        self.lock().tenants.iter().map(|(id, held)| (id.clone(), totals(held))).collect()
    }

    fn snapshot(&self, snapshot: Snapshot) -> Report {
        let mut entities = EntitySet::default();
        let mut errors = Vec::new();
        for (plural, documents) in snapshot.entities {
            for document in documents {
                let id = document.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
                if let Err(error) = put(&mut entities, &plural, &id, document) {
                    errors.push(error);
                }
            }
        }
        let proposal = Proposal {
            organization_id: snapshot.organization_id,
            control_plane_id: snapshot.control_plane_id,
            version: snapshot.version,
            hosts: snapshot.hosts,
            settings: snapshot.settings,
            limits: snapshot.limits,
            entities,
        };
        self.install(&mut self.lock(), snapshot.format, proposal, errors)
    }

    fn delta(&self, delta: Delta) -> Report {
        let mut state = self.lock();
        let held = state.tenants.get(&delta.control_plane_id);
        let Some(held) = held.filter(|held| held.version == delta.from_version) else {
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
            entities: held.entities.clone(),
        };
        let mut errors = Vec::new();
        for change in delta.changes {
            let result = match change {
                Change::Put { r#type, id, entity } => put(&mut proposal.entities, &r#type, &id, entity),
                Change::Delete { r#type, id } => delete(&mut proposal.entities, &r#type, &id),
            };
            errors.extend(result.err());
        }
        self.install(&mut state, delta.format, proposal, errors)
    }

    fn install(&self, state: &mut State, format: u32, proposal: Proposal, mut errors: Vec<ConfigError>) -> Report {
        let (id, version) = (proposal.control_plane_id.clone(), proposal.version);
        if format != FORMAT {
            return Report::refused(&id, version, Some("format"), format!("this engine reads format {FORMAT} only"));
        }
        check_owner(state, &proposal, &mut errors);
        let earlier = state.tenants.get(&id);
        let number = earlier.map_or(state.numbered + 1, |held| held.number);
        let counters = earlier.map_or_else(|| Arc::new(Counters::new(self.threads)), |held| held.counters.clone());
        // Entities that could not be read would make others' references look broken; report the cause alone.
        let compiled = if errors.is_empty() {
            compile(number, version, &proposal.settings, &proposal.limits, &proposal.entities, counters.clone())
        } else {
            Err(errors)
        };
        let tenant = match compiled {
            Ok(tenant) => Arc::new(tenant),
            Err(errors) => return Report { control_plane_id: id, version, accepted: false, errors: reported(errors) },
        };
        let (slot, before) = match state.tenants.get(&id) {
            Some(held) => {
                held.slot.current.store(tenant);
                (held.slot.clone(), held.hosts.clone())
            }
            None => (Arc::new(Slot { current: ArcSwap::new(tenant) }), Vec::new()),
        };
        self.move_hosts(state, &id, &before, &proposal.hosts, &slot);
        state.numbered = state.numbered.max(number);
        let held = Held {
            number,
            organization_id: proposal.organization_id,
            version,
            hosts: proposal.hosts,
            settings: proposal.settings,
            limits: proposal.limits,
            entities: proposal.entities,
            slot,
            counters,
        };
        state.tenants.insert(id.clone(), held);
        Report { control_plane_id: id, version, accepted: true, errors: Vec::new() }
    }

    fn move_hosts(&self, state: &mut State, id: &str, before: &[String], after: &[String], slot: &Arc<Slot>) {
        for host in after.iter().filter(|host| !before.contains(host)) {
            state.owners.insert(host.clone(), id.to_owned());
            self.hosts.insert(host, slot);
        }
        for host in before.iter().filter(|host| !after.contains(host)) {
            state.owners.remove(host);
            self.hosts.remove(host);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while compiling leaves the state as it was: everything is stored after the last fallible step.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A control plane keeps its organization, and a host belongs to one control plane only.
fn check_owner(state: &State, proposal: &Proposal, errors: &mut Vec<ConfigError>) {
    let mut refuse = |field: &str, message: String| {
        errors.push(whole(&proposal.control_plane_id, Some(field), message));
    };
    let id = &proposal.control_plane_id;
    if state.tenants.get(id).is_some_and(|held| held.organization_id != proposal.organization_id) {
        refuse("organization_id", "the control plane belongs to another organization".into());
    }
    for host in &proposal.hosts {
        if host.is_empty() || host.bytes().any(|byte| byte.is_ascii_uppercase()) {
            refuse("hosts", format!("'{host}' is not a host in lower case"));
        }
        if state.owners.get(host).is_some_and(|owner| owner != id) {
            refuse("hosts", format!("'{host}' belongs to another control plane"));
        }
    }
}

fn put(entities: &mut EntitySet, plural: &str, id: &str, document: Value) -> Result<(), ConfigError> {
    let name = ["name", "username"].iter().find_map(|key| document.get(key)?.as_str()).map(str::to_owned);
    let singular = plural.strip_suffix('s').unwrap_or(plural);
    let result = match plural {
        "services" => parse(document).map(|spec| drop(entities.services.insert(id.to_owned(), spec))),
        "routes" => parse(document).map(|spec| drop(entities.routes.insert(id.to_owned(), spec))),
        "plugins" => parse(document).map(|spec| drop(entities.plugins.insert(id.to_owned(), spec))),
        "consumers" => parse(document).map(|spec| drop(entities.consumers.insert(id.to_owned(), spec))),
        _ => Err("this engine does not know this type of entity".to_owned()),
    };
    result.map_err(|message| ConfigError { entity: singular.into(), id: id.into(), name, field: None, message })
}

/// Deleting what is not there is fine: an entity may have come and gone between two versions.
fn delete(entities: &mut EntitySet, plural: &str, id: &str) -> Result<(), ConfigError> {
    match plural {
        "services" => drop(entities.services.remove(id)),
        "routes" => drop(entities.routes.remove(id)),
        "plugins" => drop(entities.plugins.remove(id)),
        "consumers" => drop(entities.consumers.remove(id)),
        _ => {
            let entity = plural.strip_suffix('s').unwrap_or(plural).into();
            let message = "this engine does not know this type of entity".into();
            return Err(ConfigError { entity, id: id.into(), name: None, field: None, message });
        }
    }
    Ok(())
}

fn parse<T: DeserializeOwned>(document: Value) -> Result<Arc<T>, String> {
    serde_json::from_value(document).map(Arc::new).map_err(|error| error.to_string())
}

/// Where a document breaks off, without its content: updates hold secrets.
fn position(error: &serde_json::Error) -> String {
    format!("{:?} error at line {}, column {}", error.classify(), error.line(), error.column())
}
