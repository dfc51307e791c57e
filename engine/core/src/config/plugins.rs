//! Plugin entities → compiled instances → the chains of routes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::entities::PluginSpec;
use crate::error::ConfigError;
use crate::phases::chain::{Chain, Instance, Protocols, Rank, Scope, ScopedByKind, Slot};
use crate::phases::order::Cycle;
use crate::plugins::{self, Place};

/// Instances of one kind by route and service.
type ByPlace = BTreeMap<(Option<Box<str>>, Option<Box<str>>), Arc<Instance>>;

/// The instances of a tenant that are switched on, by what they apply to.
#[derive(Default)]
pub struct Installed {
    fixed: BTreeMap<usize, ByPlace>,
    /// Those for consumers and groups.
    pub scoped: ScopedByKind,
}

/// Makes chains; those that consist of the same instances are made once.
pub struct Chains<'i> {
    installed: &'i Installed,
    made: HashMap<ChainKey, Arc<Chain>>,
    cycles: BTreeSet<String>,
}

/// Protocols, and of each slot its kind, the address of its instance, and whether it is scoped.
type ChainKey = (Protocols, Vec<(usize, usize, bool)>);

/// Compiles an instance; every error names its field.
pub fn compile_instance(spec: &PluginSpec) -> Result<Arc<Instance>, Vec<ConfigError>> {
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
    let id_of = |reference: &Option<crate::router::Reference>| reference.as_ref().map(|to| to.id.clone());
    let place = Place { route: id_of(&spec.route), service: id_of(&spec.service) };
    let plugin = (registration.compile)(spec.config.clone(), &place).map_err(|found| {
        let below = |field: Option<String>| field.map_or_else(|| "config".into(), |field| format!("config.{field}"));
        found.into_iter().map(|refusal| error(below(refusal.field), refusal.message)).collect::<Vec<_>>()
    })?;
    Ok(Arc::new(Instance {
        id: spec.id.as_str().into(),
        kind,
        phases: plugin.phases(),
        protocols: Protocols::of(spec.protocols.iter().map(String::as_str)),
        ordering: spec.ordering.clone(),
        plugin,
    }))
}

impl Installed {
    /// Every kind that there is an instance of, in order.
    fn kinds(&self) -> BTreeSet<usize> {
        self.fixed.keys().chain(self.scoped.keys()).copied().collect()
    }

    /// Adds an instance that is switched on.
    pub fn insert(&mut self, spec: &PluginSpec, instance: &Arc<Instance>) {
        let route = spec.route.as_ref().map(|to| to.id.as_str());
        let service = spec.service.as_ref().map(|to| to.id.as_str());
        let scopes = [(&spec.consumer, false), (&spec.consumer_group, true)];
        if let Some((who, group)) = scopes.into_iter().find_map(|(who, group)| who.as_ref().map(|who| (who, group))) {
            let scope = Scope { who: &who.id, group, route, service };
            self.scoped.entry(instance.kind).or_default().insert(&scope, instance.clone());
        } else {
            let place = (route.map(Into::into), service.map(Into::into));
            self.fixed.entry(instance.kind).or_default().insert(place, instance.clone());
        }
    }
}

impl<'i> Chains<'i> {
    /// Makes chains of these instances.
    #[must_use]
    pub fn new(installed: &'i Installed) -> Self {
        Self { installed, made: HashMap::new(), cycles: BTreeSet::new() }
    }

    /// The chain of a route: of each kind the most specific instance.
    pub fn of(&mut self, route: &str, service: Option<&str>, protocols: Protocols) -> Arc<Chain> {
        self.make(Some((route, service)), protocols)
    }

    /// The chain of requests without a route.
    pub fn unrouted(&mut self, protocols: Protocols) -> Arc<Chain> {
        self.make(None, protocols)
    }

    /// What was wrong with the chains made.
    #[must_use]
    pub fn finish(self) -> Vec<ConfigError> {
        let error = |id: String| ConfigError {
            entity: "plugin".into(),
            id,
            name: None,
            field: Some("ordering".into()),
            message: "the order that the plugins of a route ask for goes round in a circle".into(),
        };
        self.cycles.into_iter().map(error).collect()
    }

    fn make(&mut self, route: Option<(&str, Option<&str>)>, protocols: Protocols) -> Arc<Chain> {
        let installed = self.installed;
        let mut slots = Vec::new();
        for kind in installed.kinds() {
            let fixed = installed.fixed.get(&kind).and_then(|instances| most_specific(instances, route, protocols));
            let scoped = route.is_some() && installed.scoped.contains_key(&kind);
            if fixed.is_some() || scoped {
                slots.push(Slot { kind, fixed, scoped });
            }
        }
        let address = |slot: &Slot| slot.fixed.as_ref().map_or(0, |(instance, _)| Arc::as_ptr(instance).addr());
        let key = (protocols, slots.iter().map(|slot| (slot.kind, address(slot), slot.scoped)).collect());
        let cycles = &mut self.cycles;
        let made = self.made.entry(key).or_insert_with(|| {
            Arc::new(Chain::new(slots, protocols).unwrap_or_else(|Cycle(ids)| {
                cycles.extend(ids);
                Chain::default()
            }))
        });
        made.clone()
    }
}

fn most_specific(
    instances: &ByPlace,
    route: Option<(&str, Option<&str>)>,
    protocols: Protocols,
) -> Option<(Arc<Instance>, Rank)> {
    let (route, service) = route.map_or((None, None), |(route, service)| (Some(route), service));
    let candidates = [
        (Rank::Both, route, service),
        (Rank::Route, route, None),
        (Rank::Service, None, service),
        (Rank::Global, None, None),
    ];
    candidates.into_iter().find_map(|(rank, route, service)| {
        let complete = match rank {
            Rank::Both => route.is_some() && service.is_some(),
            Rank::Route => route.is_some(),
            Rank::Service => service.is_some(),
            Rank::Global => true,
        };
        let place = (route.map(Into::into), service.map(Into::into));
        let found = if complete { instances.get(&place) } else { None };
        found.filter(|instance| instance.protocols.has(protocols)).map(|instance| (instance.clone(), rank))
    })
}
