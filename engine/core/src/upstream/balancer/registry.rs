//! The balancers of a tenant, from one version of its configuration to the next.

use std::collections::BTreeSet;
use std::sync::Arc;

use imbl::OrdMap;

use super::Balancer;
use super::plan::{Plan, Refusal, Target, check};
use super::report::{HealthOrder, UpstreamHealths};
use crate::config::entities::{Changes, EntitySet, Id, Kind};
use crate::config::update::Limits;
use crate::error::ConfigError;
use crate::upkeep::Upkeep;

/// The balancers of a tenant. A clone costs nothing.
#[derive(Debug, Clone, Default)]
pub struct Balancers {
    by_id: OrdMap<Id, Arc<Balancer>>,
    by_name: OrdMap<Box<str>, Id>,
}

/// What the balancers of a tenant would become.
#[derive(Debug, Default)]
pub struct Proposed {
    balancers: Balancers,
    follow: Vec<(Arc<Balancer>, Arc<Plan>)>,
    opened: Vec<Arc<Balancer>>,
    closed: Vec<Arc<Balancer>>,
    /// Why they cannot.
    pub errors: Vec<ConfigError>,
}

impl Balancers {
    /// What they become with changed entities; `all` plans everything anew. Nothing happens to balancers in use until
    /// the proposal is installed.
    #[must_use]
    pub fn propose(
        &self,
        tenant: u64,
        entities: &EntitySet,
        changes: &Changes,
        limits: &Limits,
        all: bool,
    ) -> Proposed {
        let mut touched: BTreeSet<Id> = changes.upstreams.keys().cloned().collect();
        for change in changes.targets.values() {
            let sides = [&change.before, &change.after].into_iter().flatten();
            touched.extend(sides.map(|target| Id::from(target.upstream.id.as_str())));
        }
        if all {
            touched.extend(entities.upstreams.keys().cloned());
        }
        let mut proposed = Proposed { balancers: self.clone(), ..Proposed::default() };
        // Old names first: one upstream may take over the name of another.
        for change in changes.upstreams.values() {
            if let Some(before) = &change.before {
                proposed.balancers.by_name.remove(&*before.name.to_ascii_lowercase());
            }
        }
        for id in touched {
            proposed.plan(tenant, entities, &id, limits);
        }
        proposed
    }

    /// Lets all go.
    pub fn close(&self, upkeep: &Upkeep) {
        self.by_id.values().for_each(|balancer| balancer.close(upkeep));
    }

    /// The health of all upstreams, by id.
    #[must_use]
    pub fn health(&self) -> UpstreamHealths {
        self.by_id.iter().map(|(id, balancer)| (id.as_ref().to_owned(), balancer.health())).collect()
    }

    /// Sets the health of a target; returns whether there is one.
    #[must_use]
    pub fn set_health(&self, order: &HealthOrder) -> bool {
        let name = order.upstream.to_ascii_lowercase();
        let id = self.by_name.get(name.as_str()).map_or(order.upstream.as_str(), |id| id);
        let balancer = self.by_id.get(id);
        balancer.is_some_and(|balancer| balancer.set_health(&order.target, order.address, order.healthy))
    }
}

impl Proposed {
    /// The upstream that a service's host names.
    #[must_use]
    pub fn named(&self, host: &str) -> Option<(&Id, &Arc<Balancer>)> {
        if self.balancers.by_name.is_empty() {
            return None;
        }
        let id = self.balancers.by_name.get(host.to_ascii_lowercase().as_str())?;
        Some((id, self.balancers.by_id.get(id)?))
    }

    /// Puts the proposal into effect.
    #[must_use]
    pub fn install(self, upkeep: &Arc<Upkeep>) -> Balancers {
        for (balancer, plan) in self.follow {
            balancer.follow(plan, upkeep);
            balancer.watch(upkeep);
        }
        for balancer in self.opened {
            balancer.watch(upkeep);
        }
        for balancer in self.closed {
            balancer.close(upkeep);
        }
        self.balancers
    }

    fn plan(&mut self, tenant: u64, entities: &EntitySet, id: &Id, limits: &Limits) {
        let Some(spec) = entities.upstreams.get(id) else {
            self.closed.extend(self.balancers.by_id.remove(id));
            return;
        };
        if let Err(refusal) = check(spec) {
            self.errors.push(refused("upstream", id, &spec.name, refusal));
        }
        let mut targets = Vec::new();
        for target in entities.referrers.of(Kind::Upstream, id, Kind::Target) {
            let Some(target) = entities.targets.get(target) else { continue };
            match Target::new(target) {
                Ok(target) => targets.push(target),
                Err(refusal) => self.errors.push(refused("target", &target.id, &target.target, refusal)),
            }
        }
        let plan = Arc::new(Plan::new(spec, targets, &limits.allow_upstream));
        if let Some(balancer) = self.balancers.by_id.get(id) {
            self.follow.push((balancer.clone(), plan));
        } else {
            let balancer = Arc::new(Balancer::new(tenant, plan));
            self.opened.push(balancer.clone());
            self.balancers.by_id.insert(id.clone(), balancer);
        }
        self.balancers.by_name.insert(spec.name.to_ascii_lowercase().into(), id.clone());
    }
}

fn refused(entity: &str, id: &str, name: &str, (field, message): Refusal) -> ConfigError {
    ConfigError { entity: entity.into(), id: id.into(), name: Some(name.into()), field: Some(field.into()), message }
}
