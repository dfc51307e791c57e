//! datadog: sends figures of requests as datagrams to a Datadog agent (`DogStatsD`).
//!
//! Source: the behaviour of Kong Gateway's plugin of the same name.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::logging::figures::{Figure, Identifier, StatType, is_sampled};
use super::logging::receivers::Datagrams;
use super::{Compiled, Place, read};
use crate::logs::queue::{Queue, QueueConfig};
use crate::phases::{Phases, Plugin, Record};

/// Longest wait for a name.
const PATIENCE: Duration = Duration::from_secs(10);

/// The configuration as the control plane sends it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    host: String,
    port: u16,
    prefix: String,
    service_name_tag: String,
    route_name_tag: Option<String>,
    status_tag: String,
    consumer_tag: String,
    metrics: Vec<Metric>,
    queue: QueueConfig,
    #[serde(rename = "retry_count", default)]
    _retry_count: Option<IgnoredAny>,
    #[serde(default)]
    queue_size: Option<usize>,
    #[serde(default)]
    flush_timeout: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Metric {
    name: Figure,
    stat_type: StatType,
    tags: Option<Vec<String>>,
    sample_rate: Option<f64>,
    consumer_identifier: Option<Identifier>,
}

struct Datadog {
    queue: Queue,
    config: Config,
}

/// Compiles an instance.
pub(super) fn compile(config: Value, _: &Place) -> Compiled {
    let mut config: Config = read(config)?;
    let settings = config.queue.clone().with_old(config.queue_size, config.flush_timeout);
    let queue = Datagrams::queue(&config.host, config.port, PATIENCE, 0, &settings)?;
    let tags = config.metrics.iter_mut().flat_map(|metric| metric.tags.iter_mut().flatten());
    tags.for_each(|tag| *tag = plain(tag));
    for text in [&mut config.prefix, &mut config.service_name_tag, &mut config.status_tag, &mut config.consumer_tag] {
        *text = plain(text);
    }
    config.route_name_tag = config.route_name_tag.as_deref().map(plain);
    Ok(Arc::new(Datadog { queue, config }))
}

/// A text without what has a meaning in the format.
fn plain(text: &str) -> String {
    text.chars().map(|char| if char.is_control() || matches!(char, ',' | '|' | '#') { '_' } else { char }).collect()
}

impl Plugin for Datadog {
    fn phases(&self) -> Phases {
        Phases::LOG
    }

    fn log(&self, record: &Record<'_>) {
        // What has no service is nobody's figure.
        let Some(route) = record.route else { return };
        let Some(service) = route.service.as_ref().and_then(|service| service.logged.spec()) else { return };
        let config = &self.config;
        let name = plain(service.name.as_deref().unwrap_or(&service.host)).replace('.', "_");
        let mut common = format!("{}:{name}", config.service_name_tag);
        // Writing to a string never fails.
        if let Some(tag) = &config.route_name_tag {
            let name = route.logged.spec().and_then(|route| route.name.as_deref()).unwrap_or(&route.id);
            let _ = write!(common, ",{tag}:{}", plain(name));
        }
        let _ = write!(common, ",{}:{}", config.status_tag, record.status);
        let mut text = String::new();
        for metric in &config.metrics {
            let rate = metric.sample_rate.unwrap_or(1.0);
            let Some(value) = metric.name.value(record).filter(|_| is_sampled(record, rate)) else {
                continue;
            };
            if !text.is_empty() {
                text.push('\n');
            }
            let _ = write!(text, "{}.{}:{value}|{}", config.prefix, metric.name.name(), metric.stat_type.as_str());
            if rate < 1.0 {
                let _ = write!(text, "|@{rate}");
            }
            let _ = write!(text, "|#{common}");
            let consumer = record.consumer.zip(metric.consumer_identifier);
            if let Some(consumer) = consumer.and_then(|(consumer, identifier)| identifier.of(consumer)) {
                let _ = write!(text, ",{}:{}", config.consumer_tag, plain(consumer));
            }
            for tag in metric.tags.iter().flatten() {
                let _ = write!(text, ",{tag}");
            }
        }
        if !text.is_empty() {
            self.queue.push(record, text.into_bytes().into());
        }
    }
}
