//! Health as others see it, and as they set it.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::Balancer;
use super::plan::TargetHost;
use super::table::{Serving, Table};
use crate::upstream::health::HealthCounters;

/// The health of upstreams by id.
pub type UpstreamHealths = BTreeMap<String, UpstreamHealth>;

/// What is said of the health of an upstream, a target or an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Verdict {
    /// Nothing is checked.
    HealthchecksOff,
    /// Fit for use.
    Healthy,
    /// Not fit for use.
    Unhealthy,
    /// Its name does not resolve.
    DnsError,
}

/// The health of an upstream.
#[derive(Debug, Serialize)]
pub struct UpstreamHealth {
    /// Its name.
    pub name: String,
    /// Whether enough of its weight is available.
    pub health: Verdict,
    /// Its weight.
    pub weight: Weights,
    /// Its targets by id.
    pub targets: BTreeMap<String, TargetHealth>,
}

/// Weight, and how much of it is available.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Weights {
    pub total: u64,
    pub available: u64,
    pub unavailable: u64,
}

/// The health of a target.
#[derive(Debug, Serialize)]
pub struct TargetHealth {
    /// `host:port`.
    pub target: String,
    /// Whether one of its addresses is fit for use.
    pub health: Verdict,
    /// As configured.
    pub weight: u32,
    /// Its addresses.
    pub addresses: Vec<AddressHealth>,
}

/// The health of an address.
#[derive(Debug, Serialize)]
pub struct AddressHealth {
    /// Address.
    pub ip: String,
    /// Port.
    pub port: u16,
    /// Its share of the requests.
    pub weight: u32,
    /// Whether it is fit for use.
    pub health: Verdict,
    /// Outcomes since that last changed.
    pub counters: HealthCounters,
}

/// An operator's order to take a target for healthy or not.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthOrder {
    /// The tenant.
    pub control_plane_id: String,
    /// Id or name.
    pub upstream: String,
    /// Id or `host:port`.
    pub target: String,
    /// One of the target's addresses; all of them if absent.
    #[serde(default)]
    pub address: Option<SocketAddr>,
    /// What it is to be.
    pub healthy: bool,
}

impl Balancer {
    /// The health as it is now.
    #[must_use]
    pub fn health(&self) -> UpstreamHealth {
        let table = self.table();
        let on = table.plan.checks.are_on();
        let verdict = |healthy: bool| match (healthy, on) {
            (true, false) => Verdict::HealthchecksOff,
            (true, true) => Verdict::Healthy,
            (false, _) => Verdict::Unhealthy,
        };
        let (available, total) = table.regular.weights();
        let targets = (0..table.plan.targets.len())
            .map(|index| (table.plan.targets[index].id.to_string(), target(&table, index, &verdict)));
        UpstreamHealth {
            name: table.plan.name.to_string(),
            health: verdict(table.serving() != Serving::None),
            weight: Weights { total, available, unavailable: total - available },
            targets: targets.collect(),
        }
    }
}

fn target(table: &Table, index: usize, verdict: &dyn Fn(bool) -> Verdict) -> TargetHealth {
    let own = &table.plan.targets[index];
    let entries = || table.entries().filter(|entry| entry.target == index);
    let addresses: Vec<AddressHealth> = entries()
        .map(|entry| AddressHealth {
            ip: entry.peer.address.ip().to_string(),
            port: entry.peer.address.port(),
            weight: entry.weight,
            health: verdict(entry.peer.health.is_healthy()),
            counters: entry.peer.health.counters(),
        })
        .collect();
    let health = match (&own.host, addresses.is_empty()) {
        (TargetHost::Name(_), true) if !table.pending => Verdict::DnsError,
        (_, true) => verdict(true),
        _ => verdict(entries().any(|entry| entry.peer.health.is_healthy())),
    };
    TargetHealth { target: own.text.to_string(), health, weight: own.weight, addresses }
}
