//! Which instances of plugins a request meets: the most specific one of each kind.
//!
//! A route's chain is compiled with the configuration. What depends on the consumer is not in it: a slot only says that
//! its kind has such instances, and the tenant's table of the kind answers when the slot's turn comes, which is after
//! authentication for all plugins that may be scoped so.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::IpAddr;
use std::sync::Arc;

use imbl::HashMap;

use super::order::{self, Cycle, Ordering};
use super::{Phases, Plugin};
use crate::config::directory::{Consumer, Group};

/// A compiled instance of a plugin.
pub struct Instance {
    /// The entity's id.
    pub id: Box<str>,
    /// The kind's index in the registry.
    pub kind: usize,
    /// What it takes part in.
    pub phases: Phases,
    /// Protocols that it applies to.
    pub protocols: Protocols,
    /// Its place in the access phase, where that is not the kind's.
    pub ordering: Option<Ordering>,
    /// The instance.
    pub plugin: Arc<dyn Plugin>,
}

/// A set of protocols.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Protocols(u16);

impl Protocols {
    const NAMES: [&'static str; 9] = ["http", "https", "grpc", "grpcs", "ws", "wss", "tcp", "tls", "tls_passthrough"];

    /// The set of the names; those that the engine does not speak are left out.
    pub fn of<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        let bit = |name: &str| Self::NAMES.iter().position(|known| *known == name).map_or(0, |index| 1 << index);
        Self(names.into_iter().fold(0, |set, name| set | bit(name)))
    }

    /// Whether the sets have a protocol in common.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// How specific an instance without a consumer or group is. Between the first two lie those for consumers and groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// No scope.
    Global,
    /// Service.
    Service,
    /// Route.
    Route,
    /// Route and service.
    Both,
}

/// The place of one kind of plugin in a chain.
#[derive(Clone)]
pub struct Slot {
    /// Index in the registry.
    pub kind: usize,
    /// The instance for requests without a consumer.
    pub fixed: Option<(Arc<Instance>, Rank)>,
    /// Whether there are instances of this kind for consumers or groups.
    pub scoped: bool,
}

/// Plugins of a route, or of requests without one.
#[derive(Default)]
pub struct Chain {
    /// In the order of the access phase.
    pub slots: Box<[Slot]>,
    /// Places of those that may take part in later phases, in order of priority.
    pub later: Box<[usize]>,
    /// Places of those that take part in `rewrite`.
    pub rewrite: Box<[usize]>,
    /// Whether one of them, for whichever consumer, wants to know of the others' turns.
    pub notes_turns: bool,
    /// The protocols that it was made for.
    pub protocols: Protocols,
}

impl Chain {
    /// Whether a stream of a client may go on; nothing is known of it but its address.
    #[must_use]
    pub fn admits(&self, client: IpAddr) -> bool {
        self.slots.iter().filter_map(|slot| slot.fixed.as_ref()).all(|(instance, _)| instance.plugin.admits(client))
    }

    /// The instances that take part in `log` of a stream, in order of priority; none of those for consumers.
    pub fn logging(&self) -> impl Iterator<Item = &Arc<Instance>> {
        let fixed = self.later.iter().filter_map(|place| self.slots[*place].fixed.as_ref());
        fixed.map(|(instance, _)| instance).filter(|instance| instance.phases.has(Phases::LOG))
    }

    /// Puts slots in order.
    pub fn new(mut slots: Vec<Slot>, protocols: Protocols) -> Result<Self, Cycle> {
        slots.sort_by_key(|slot| order::rank(slot.kind));
        let slots = order::access(slots)?;
        let mut by_priority: Vec<usize> = (0..slots.len()).collect();
        by_priority.sort_by_key(|place| order::rank(slots[*place].kind));
        let takes_part = |slot: &Slot, phases| slot.fixed.as_ref().is_some_and(|(fixed, _)| fixed.phases.has(phases));
        let places = |wanted: &dyn Fn(&Slot) -> bool| {
            by_priority.iter().copied().filter(|place| wanted(&slots[*place])).collect::<Box<[usize]>>()
        };
        let later = places(&|slot| slot.scoped || takes_part(slot, Phases::LATER));
        let rewrite = places(&|slot| takes_part(slot, Phases::REWRITE));
        let notes_turns = slots.iter().any(|slot| takes_part(slot, Phases::TURNS));
        Ok(Self { later, rewrite, notes_turns, slots: slots.into(), protocols })
    }
}

/// What consumer-scoped instances are looked up by.
struct Seeker<'s> {
    consumer: &'s Consumer,
    route: &'s str,
    service: Option<&'s str>,
}

/// The instances of one kind that are scoped to consumers or groups. A change costs as much as the logarithm of their
/// number; a look-up is at most a handful of probes.
#[derive(Clone, Default)]
pub struct Scoped {
    instances: HashMap<Box<str>, Arc<Instance>>,
    /// How many instances there are of each combination of scopes.
    combinations: [usize; COMBINATIONS.len()],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Combination {
    group: bool,
    route: bool,
    service: bool,
}

const fn combination(group: bool, route: bool, service: bool) -> Combination {
    Combination { group, route, service }
}

/// Most specific first. The first [`BEFORE_BOTH`] go before an instance for route and service.
const COMBINATIONS: [Combination; 8] = [
    combination(false, true, true),
    combination(true, true, true),
    combination(false, true, false),
    combination(false, false, true),
    combination(true, true, false),
    combination(true, false, true),
    combination(false, false, false),
    combination(true, false, false),
];
const BEFORE_BOTH: usize = 6;

/// The scope of an instance for a consumer or a group.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'s> {
    /// Id of the consumer or group.
    pub who: &'s str,
    /// Whether it is a group.
    pub group: bool,
    /// Id of the route.
    pub route: Option<&'s str>,
    /// Id of the service.
    pub service: Option<&'s str>,
}

impl Scope<'_> {
    fn combination(&self) -> usize {
        let own = combination(self.group, self.route.is_some(), self.service.is_some());
        COMBINATIONS.iter().position(|known| *known == own).unwrap_or_default()
    }

    /// Ids have no line breaks, so no two scopes have the same key.
    fn write(&self, key: &mut String) {
        key.clear();
        let kind = if self.group { 'g' } else { 'c' };
        let _ = write!(key, "{kind}{}\n{}\n{}", self.who, self.route.unwrap_or(""), self.service.unwrap_or(""));
    }

    fn key(&self) -> String {
        let mut key = String::new();
        self.write(&mut key);
        key
    }
}

impl Scoped {
    /// Gives a scope its instance, or takes it away.
    pub fn set(&mut self, scope: &Scope<'_>, instance: Option<Arc<Instance>>) {
        let count = &mut self.combinations[scope.combination()];
        let (key, present) = (scope.key(), instance.is_some());
        let before = match instance {
            Some(instance) => self.instances.insert(key.into(), instance),
            None => self.instances.remove(key.as_str()),
        };
        *count += usize::from(present);
        *count -= usize::from(before.is_some());
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.instances.is_empty()
    }

    fn find(&self, seeker: &Seeker<'_>, ranks: std::ops::Range<usize>, protocols: Protocols) -> Option<&Arc<Instance>> {
        let mut key = String::new();
        for rank in ranks {
            let combination = COMBINATIONS[rank];
            if self.combinations[rank] == 0 || (combination.service && seeker.service.is_none()) {
                continue;
            }
            let route = combination.route.then_some(seeker.route);
            let service = if combination.service { seeker.service } else { None };
            let mut probe = |who: &str| {
                Scope { who, group: combination.group, route, service }.write(&mut key);
                self.instances.get(key.as_str()).filter(|instance| instance.protocols.has(protocols))
            };
            let found = if combination.group {
                seeker.consumer.groups.iter().find_map(|group: &Group| probe(&group.id))
            } else {
                probe(&seeker.consumer.id)
            };
            if found.is_some() {
                return found;
            }
        }
        None
    }
}

/// The consumer- and group-scoped instances of a tenant, by kind.
pub type ScopedByKind = BTreeMap<usize, Scoped>;

/// The instance that a slot stands for in one request.
#[must_use]
pub fn pick<'t>(
    slot: &'t Slot,
    tables: &'t ScopedByKind,
    consumer: Option<&Consumer>,
    place: Option<(&str, Option<&str>)>,
    protocols: Protocols,
) -> Option<&'t Arc<Instance>> {
    let fixed = slot.fixed.as_ref();
    let without_consumer = fixed.map(|(instance, _)| instance);
    if !slot.scoped {
        return without_consumer;
    }
    let (Some(consumer), Some((route, service)), Some(table)) = (consumer, place, tables.get(&slot.kind)) else {
        return without_consumer;
    };
    let seeker = Seeker { consumer, route, service };
    let found = table.find(&seeker, 0..BEFORE_BOTH, protocols);
    if found.is_some() {
        return found;
    }
    if fixed.is_some_and(|(_, rank)| *rank == Rank::Both) {
        return without_consumer;
    }
    table.find(&seeker, BEFORE_BOTH..COMBINATIONS.len(), protocols).or(without_consumer)
}
