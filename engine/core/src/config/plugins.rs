//! Plugin entities → compiled instances → the chains of routes.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::{Arc, Weak};

use imbl::{OrdMap, OrdSet};

use super::entities::{Changed, Id, PluginSpec};
use crate::error::ConfigError;
use crate::message::Scheme;
use crate::phases::chain::{Chain, Instance, Protocols, Rank, Scope, ScopedByKind, Slot};
use crate::phases::order::Cycle;
use crate::plugins::{self, Place};
use crate::router::Reference;

/// The plugins of a tenant. Persistent.
#[derive(Clone, Default)]
pub struct Plugins {
    instances: OrdMap<Id, Numbered>,
    /// Where those are that are switched on; the last one of a spot counts.
    spots: OrdSet<(Spot, Id)>,
    /// How many there are of each kind, apart from those for consumers and groups.
    fixed: BTreeMap<usize, usize>,
    /// Those for consumers and groups.
    pub scoped: ScopedByKind,
    /// For requests without a route, by scheme.
    pub unrouted: [Arc<Chain>; 2],
    /// How many instances were ever made.
    made: u64,
    /// Those that routes have, and now and then some that no route has any more.
    chains: OrdMap<ChainKey, Weak<Chain>>,
    live_chains: usize,
    /// Ids of plugins whose wishes for their order cannot be met.
    cycles: BTreeSet<String>,
}

/// An instance and its number: another number, another instance.
#[derive(Clone)]
struct Numbered {
    number: u64,
    instance: Arc<Instance>,
}

/// What an instance is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Spot {
    kind: usize,
    /// Id of a consumer or, if true, a group.
    who: Option<(bool, Id)>,
    route: Option<Id>,
    service: Option<Id>,
}

/// Protocols, and of each slot its kind, the number of its instance, and whether it is scoped.
type ChainKey = (Protocols, Box<[(usize, u64, bool)]>);

/// Whose chains have to be put together again.
#[derive(Debug, Default)]
pub struct StaleChains {
    /// Everybody's.
    pub all: bool,
    /// Those of all routes of a service.
    pub services: BTreeSet<Id>,
    /// Those of single routes.
    pub routes: BTreeSet<Id>,
}

impl Plugins {
    /// Compiles what changed. Where the configuration of an instance is the same, its plugin is taken over, and with it
    /// whatever that counts.
    pub fn update(&mut self, changed: &Changed<PluginSpec>, errors: &mut Vec<ConfigError>) -> StaleChains {
        let mut stale = StaleChains::default();
        let kinds = |plugins: &Self| plugins.scoped.keys().copied().collect::<Vec<_>>();
        let scoped_before = kinds(self);
        let mut spots = BTreeSet::new();
        for (id, change) in changed {
            let before = self.instances.remove(id);
            if let (Some(spec), Some(before)) = (&change.before, &before)
                && let Some(spot) = Spot::of(spec, before.instance.kind)
                && self.spots.remove(&(spot.clone(), id.clone())).is_some()
            {
                self.count(&spot, false);
                spots.insert(spot);
            }
            let Some(spec) = &change.after else { continue };
            let same = change.before.as_ref().is_some_and(|before| is_same_plugin(before, spec));
            let known = before.filter(|_| same).map(|before| before.instance);
            match compile_instance(spec, known.as_deref()) {
                Ok(instance) => {
                    if let Some(spot) = Spot::of(spec, instance.kind) {
                        self.spots.insert((spot.clone(), id.clone()));
                        self.count(&spot, true);
                        spots.insert(spot);
                    }
                    self.made += 1;
                    self.instances.insert(id.clone(), Numbered { number: self.made, instance });
                }
                Err(found) => errors.extend(found),
            }
        }
        for spot in spots {
            self.settle(&spot, &mut stale);
        }
        stale.all |= kinds(self) != scoped_before;
        self.unrouted = Scheme::ALL.map(|scheme| self.chain(None, Protocols::of([scheme.as_str()])));
        stale
    }

    fn count(&mut self, spot: &Spot, one_more: bool) {
        if spot.who.is_none() {
            let count = self.fixed.entry(spot.kind).or_default();
            *count = if one_more { *count + 1 } else { count.saturating_sub(1) };
            if *count == 0 {
                self.fixed.remove(&spot.kind);
            }
        }
    }

    /// Has whatever depends on a spot follow a change there.
    fn settle(&mut self, spot: &Spot, stale: &mut StaleChains) {
        let Some((group, who)) = &spot.who else {
            match (&spot.route, &spot.service) {
                (Some(route), _) => drop(stale.routes.insert(route.clone())),
                (None, Some(service)) => drop(stale.services.insert(service.clone())),
                (None, None) => stale.all = true,
            }
            return;
        };
        let instance = self.at(spot, |_| true).map(|found| found.instance.clone());
        let scope = Scope { who, group: *group, route: spot.route.as_deref(), service: spot.service.as_deref() };
        let table = self.scoped.entry(spot.kind).or_default();
        table.set(&scope, instance);
        if table.is_empty() {
            self.scoped.remove(&spot.kind);
        }
    }

    fn at(&self, spot: &Spot, suits: impl Fn(&Instance) -> bool) -> Option<&Numbered> {
        let from = (spot.clone(), Id::from(""));
        let here = self.spots.range((Bound::Included(from), Bound::Unbounded)).take_while(|(other, _)| other == spot);
        here.filter_map(|(_, id)| self.instances.get(id)).filter(|found| suits(&found.instance)).last()
    }

    /// The chain of a route (its id and that of its service), or of requests without one: of each kind the most specific
    /// instance. Routes with the same instances share one chain. What is wrong with it is told by [`Plugins::errors`].
    pub fn chain(&mut self, route: Option<(&str, Option<&str>)>, protocols: Protocols) -> Arc<Chain> {
        let kinds: BTreeSet<usize> = self.fixed.keys().chain(self.scoped.keys()).copied().collect();
        let mut slots = Vec::new();
        let mut key = Vec::new();
        for kind in kinds {
            let fixed = self.most_specific(kind, route, protocols);
            let scoped = route.is_some() && self.scoped.contains_key(&kind);
            if fixed.is_some() || scoped {
                key.push((kind, fixed.map_or(0, |(found, _)| found.number), scoped));
                slots.push(Slot { kind, fixed: fixed.map(|(found, rank)| (found.instance.clone(), rank)), scoped });
            }
        }
        let key = (protocols, key.into());
        if let Some(known) = self.chains.get(&key).and_then(Weak::upgrade) {
            return known;
        }
        match Chain::new(slots, protocols) {
            Ok(chain) => {
                let chain = Arc::new(chain);
                self.remember(key, &chain);
                chain
            }
            Err(Cycle(ids)) => {
                self.cycles.extend(ids);
                Arc::default()
            }
        }
    }

    fn most_specific(
        &self,
        kind: usize,
        route: Option<(&str, Option<&str>)>,
        protocols: Protocols,
    ) -> Option<(&Numbered, Rank)> {
        let (route, service) = route.map_or((None, None), |(route, service)| (Some(Id::from(route)), service));
        let service = service.map(Id::from);
        let candidates = [
            (Rank::Both, route.is_some() && service.is_some(), &route, &service),
            (Rank::Route, route.is_some(), &route, &None),
            (Rank::Service, service.is_some(), &None, &service),
            (Rank::Global, true, &None, &None),
        ];
        candidates.into_iter().filter(|(_, complete, ..)| *complete).find_map(|(rank, _, route, service)| {
            let spot = Spot { kind, who: None, route: route.clone(), service: service.clone() };
            self.at(&spot, |instance| instance.protocols.has(protocols)).map(|found| (found, rank))
        })
    }

    fn remember(&mut self, key: ChainKey, chain: &Arc<Chain>) {
        if self.chains.len() > 2 * self.live_chains + 8 {
            let live = self.chains.iter().filter(|(_, chain)| chain.strong_count() > 0);
            self.chains = live.map(|(key, chain)| (key.clone(), chain.clone())).collect();
            self.live_chains = self.chains.len();
        }
        self.chains.insert(key, Arc::downgrade(chain));
    }

    /// What was wrong with the chains made since the last version.
    #[must_use]
    pub fn errors(&self) -> Vec<ConfigError> {
        let error = |id: &String| ConfigError {
            entity: "plugin".into(),
            id: id.clone(),
            name: None,
            field: Some("ordering".into()),
            message: "the order that the plugins of a route ask for goes round in a circle".into(),
        };
        self.cycles.iter().map(error).collect()
    }

    #[cfg(test)]
    pub(super) fn known_chains(&self) -> usize {
        self.chains.len()
    }
}

impl Spot {
    /// The spot of an instance, if it is switched on.
    fn of(spec: &PluginSpec, kind: usize) -> Option<Self> {
        let id_of = |reference: &Option<Reference>| reference.as_ref().map(|to| Id::from(to.id.as_str()));
        let who = id_of(&spec.consumer).map(|id| (false, id));
        let who = who.or_else(|| id_of(&spec.consumer_group).map(|id| (true, id)));
        spec.enabled.then(|| Self { kind, who, route: id_of(&spec.route), service: id_of(&spec.service) })
    }
}

/// Whether a plugin compiled for one entity serves for the other.
fn is_same_plugin(one: &PluginSpec, other: &PluginSpec) -> bool {
    (&one.name, &one.config, &one.service, &one.route) == (&other.name, &other.config, &other.service, &other.route)
}

/// Compiles an instance, with the plugin of a known one if there is one; every error names its field.
fn compile_instance(spec: &PluginSpec, known: Option<&Instance>) -> Result<Arc<Instance>, Vec<ConfigError>> {
    let error = |field: String, message: String| ConfigError {
        entity: "plugin".into(),
        id: spec.id.clone(),
        name: Some(spec.name.clone()),
        field: Some(field),
        message,
    };
    let Some((kind, registration)) = plugins::find(&spec.name) else {
        return Err(vec![error("name".into(), format!("plugin '{}' is not known", spec.name))]);
    };
    let plugin = if let Some(known) = known {
        known.plugin.clone()
    } else {
        let id_of = |reference: &Option<Reference>| reference.as_ref().map(|to| to.id.clone());
        let place = Place { route: id_of(&spec.route), service: id_of(&spec.service) };
        let below = |field: Option<String>| field.map_or_else(|| "config".into(), |field| format!("config.{field}"));
        (registration.compile)(spec.config.clone(), &place).map_err(|found| {
            found.into_iter().map(|refusal| error(below(refusal.field), refusal.message)).collect::<Vec<_>>()
        })?
    };
    Ok(Arc::new(Instance {
        id: spec.id.as_str().into(),
        kind,
        phases: plugin.phases(),
        protocols: Protocols::of(spec.protocols.iter().map(String::as_str)),
        ordering: spec.ordering.clone(),
        plugin,
    }))
}
