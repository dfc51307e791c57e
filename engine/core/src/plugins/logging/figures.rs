//! Figures of requests, for servers of statistics.

use serde::Deserialize;

use crate::config::directory::Consumer;
use crate::phases::Record;

/// What kind of figure something is for a server of statistics.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::plugins) enum StatType {
    Counter,
    Distribution,
    Gauge,
    Histogram,
    Meter,
    Set,
    Timer,
}

impl StatType {
    /// As it is written.
    pub(in crate::plugins) fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "c",
            Self::Distribution => "d",
            Self::Gauge => "g",
            Self::Histogram => "h",
            Self::Meter => "m",
            Self::Set => "s",
            Self::Timer => "ms",
        }
    }
}

/// A figure that every request has.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::plugins) enum Figure {
    KongLatency,
    Latency,
    RequestCount,
    RequestSize,
    ResponseSize,
    UpstreamLatency,
}

impl Figure {
    /// As it is written.
    pub(in crate::plugins) fn name(self) -> &'static str {
        match self {
            Self::KongLatency => "kong_latency",
            Self::Latency => "latency",
            Self::RequestCount => "request.count",
            Self::RequestSize => "request.size",
            Self::ResponseSize => "response.size",
            Self::UpstreamLatency => "upstream_latency",
        }
    }

    /// Milliseconds, bytes or 1. A request that no service was asked for has no latency of one.
    pub(in crate::plugins) fn value(self, record: &Record<'_>) -> Option<u64> {
        Some(match self {
            Self::KongLatency => record.gateway_millis(),
            Self::Latency => record.request_millis(),
            Self::RequestCount => 1,
            Self::RequestSize => record.request_bytes(),
            Self::ResponseSize => record.response_bytes(),
            Self::UpstreamLatency => return record.latency.map(|(_, waiting)| waiting),
        })
    }
}

/// How consumers are named.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::plugins) enum Identifier {
    ConsumerId,
    CustomId,
    Username,
}

impl Identifier {
    /// The name of a consumer, if it has one of this kind.
    pub(in crate::plugins) fn of(self, consumer: &Consumer) -> Option<&str> {
        match self {
            Self::ConsumerId => Some(&*consumer.id),
            Self::CustomId => consumer.custom_id.as_deref(),
            Self::Username => consumer.username.as_deref(),
        }
    }
}

/// Whether a request is among those of which a figure is sent.
pub(in crate::plugins) fn is_sampled(record: &Record<'_>, rate: f64) -> bool {
    rate >= 1.0 || record.worker.random() < rate
}
