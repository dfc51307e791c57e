//! prometheus: counts and times requests, for a Prometheus server to read.
//!
//! Source: the behaviour of Kong Gateway's plugin of the same name.

mod series;
mod text;

use std::sync::Arc;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

pub use series::{Labels, Metrics};

use self::series::Seen;
use super::{Compiled, Place, read};
use crate::phases::{Phases, Plugin, Record};

/// The configuration as the control plane sends it. `upstream_health_metrics` is looked at where figures are written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(clippy::struct_excessive_bools, reason = "the user's own switches")]
struct Config {
    per_consumer: bool,
    status_code_metrics: bool,
    latency_metrics: bool,
    bandwidth_metrics: bool,
    #[serde(rename = "upstream_health_metrics")]
    _upstream_health_metrics: bool,
    #[serde(rename = "ai_metrics")]
    _ai_metrics: bool,
    #[serde(rename = "wasm_metrics", default)]
    _wasm_metrics: IgnoredAny,
}

/// Compiles an instance.
pub(super) fn compile(config: Value, _: &Place) -> Compiled {
    Ok(Arc::new(read::<Config>(config)?))
}

impl Plugin for Config {
    fn phases(&self) -> Phases {
        let counts = self.status_code_metrics || self.latency_metrics || self.bandwidth_metrics;
        if counts { Phases::LOG } else { Phases::default() }
    }

    fn log(&self, record: &Record<'_>) {
        // What has no service is nobody's figure.
        let Some(route) = record.route else { return };
        let service = route.service.as_ref().and_then(|service| service.logged.spec());
        let Some((service, route)) = service.zip(route.logged.spec()) else { return };
        let consumer = record.consumer.filter(|_| self.per_consumer);
        let consumer = consumer.map(|consumer| consumer.username.as_deref().or(consumer.custom_id.as_deref()));
        let seen = Seen {
            labels: Labels::of(service, route),
            consumer: consumer.flatten().unwrap_or_default(),
            status: self.status_code_metrics.then_some((record.status, record.account.is_upstreams)),
            bytes: self.bandwidth_metrics.then(|| (record.request_bytes(), record.response_bytes())),
            latencies: self.latency_metrics.then(|| {
                let waiting = record.latency.map(|(_, waiting)| waiting);
                (record.gateway_millis(), waiting, record.request_millis())
            }),
        };
        record.tenant.metrics.add(record.worker.index, &record.tenant.counters, &seen);
    }
}
