//! statsd: sends figures of requests to a server of statistics, as datagrams or over TCP.
//!
//! Source: the behaviour of Kong Gateway's plugin of the same name.

mod text;

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use self::text::{TagStyle, Tags, Text, plain};
use super::logging::figures::{Figure, Identifier, StatType, is_sampled};
use super::logging::receivers::{Datagrams, Lines};
use super::{Compiled, Place, read};
use crate::config::entities::ServiceSpec;
use crate::error::FieldError;
use crate::logs::queue::{Queue, QueueConfig};
use crate::phases::{Phases, Plugin, Record};

/// Longest wait for a name, a connection, and for figures to be taken.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long an idle connection is kept.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// The name of the only workspace that a control plane has.
const WORKSPACE: &str = "default";

/// The configuration as the control plane sends it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    host: String,
    port: u16,
    prefix: String,
    metrics: Vec<Metric>,
    allow_status_codes: Option<Vec<String>>,
    udp_packet_size: f64,
    use_tcp: bool,
    hostname_in_prefix: bool,
    consumer_identifier_default: Identifier,
    service_identifier_default: ServiceIdentifier,
    workspace_identifier_default: WorkspaceIdentifier,
    tag_style: Option<TagStyle>,
    queue: QueueConfig,
    #[serde(rename = "retry_count", default)]
    _retry_count: Option<IgnoredAny>,
    #[serde(default)]
    queue_size: Option<usize>,
    #[serde(default)]
    flush_timeout: Option<f64>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Metric {
    name: Name,
    stat_type: StatType,
    sample_rate: Option<f64>,
    consumer_identifier: Option<Identifier>,
    service_identifier: Option<ServiceIdentifier>,
    workspace_identifier: Option<WorkspaceIdentifier>,
}

/// Which figure.
#[derive(Clone, Copy, Deserialize)]
#[serde(untagged)]
enum Name {
    Plain(Figure),
    Own(Own),
}

/// Those that say more in their names than the service.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Own {
    RequestPerUser,
    StatusCount,
    StatusCountPerUser,
    StatusCountPerUserPerRoute,
    StatusCountPerWorkspace,
    UniqueUsers,
    /// Of shared memory for Lua, of which there is none here.
    ShdictUsage,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::enum_variant_names, reason = "the user's own words")]
enum ServiceIdentifier {
    ServiceHost,
    ServiceId,
    ServiceName,
    ServiceNameOrHost,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::enum_variant_names, reason = "the user's own words")]
enum WorkspaceIdentifier {
    WorkspaceId,
    WorkspaceName,
}

struct Statsd {
    queue: Queue,
    prefix: String,
    metrics: Box<[Metric]>,
    statuses: Option<Box<[RangeInclusive<u64>]>>,
    consumer: Identifier,
    service: ServiceIdentifier,
    workspace: WorkspaceIdentifier,
    tag_style: Option<TagStyle>,
}

/// Compiles an instance.
pub(super) fn compile(config: Value, _: &Place) -> Compiled {
    let config: Config = read(config)?;
    if config.hostname_in_prefix {
        return Err(vec![FieldError::new("hostname_in_prefix", "this gateway does not tell the name of its host")]);
    }
    let settings = config.queue.with_old(config.queue_size, config.flush_timeout);
    let queue = if config.use_tcp {
        let lines = Lines::to((&config.host, config.port), None, PATIENCE, KEEPALIVE)?;
        Queue::new(&settings, Box::new(lines))
    } else {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a size of a datagram")]
        let size = config.udp_packet_size as usize;
        Datagrams::queue(&config.host, config.port, PATIENCE, size, &settings)?
    };
    let statuses = config.allow_status_codes.map(|ranges| ranges.iter().map(|range| statuses(range)).collect());
    Ok(Arc::new(Statsd {
        queue,
        prefix: plain(&config.prefix),
        metrics: config.metrics.into(),
        statuses: statuses.transpose()?,
        consumer: config.consumer_identifier_default,
        service: config.service_identifier_default,
        workspace: config.workspace_identifier_default,
        tag_style: config.tag_style,
    }))
}

/// A range of statuses, as `200-299`.
fn statuses(range: &str) -> Result<RangeInclusive<u64>, Vec<FieldError>> {
    // The control plane lets digits through only; more of them than a number has are more than any status.
    let bound =
        |digits: &str| digits.bytes().all(|digit| digit.is_ascii_digit()).then(|| digits.parse().unwrap_or(u64::MAX));
    let bounds = range.split_once('-').and_then(|(least, most)| Some(bound(least)?..=bound(most)?));
    bounds.ok_or_else(|| vec![FieldError::new("allow_status_codes", format!("invalid value: {range}"))])
}

impl ServiceIdentifier {
    fn of(self, service: &ServiceSpec) -> Option<&str> {
        match self {
            Self::ServiceHost => Some(&service.host),
            Self::ServiceId => Some(&service.id),
            Self::ServiceName => service.name.as_deref(),
            Self::ServiceNameOrHost => Some(service.name.as_deref().unwrap_or(&service.host)),
        }
    }
}

impl Own {
    /// What a figure's name says after the prefix, its value and kind; `None` if the request has none.
    fn of(self, scope: &str, consumer: Option<&str>, workspace: &str, record: &Record<'_>) -> Option<(String, String)> {
        let status = record.status;
        let count = |name| Some((name, "1|c".to_owned()));
        let consumer = consumer.map(plain);
        match self {
            Self::StatusCount => count(format!("{scope}.status.{status}")),
            Self::StatusCountPerWorkspace => count(format!("{scope}.workspace.{workspace}.status.{status}")),
            Self::RequestPerUser => count(format!("{scope}.user.{}.request.count", consumer?)),
            Self::StatusCountPerUser => count(format!("{scope}.user.{}.status.{status}", consumer?)),
            Self::StatusCountPerUserPerRoute => {
                count(format!("route.{}.user.{}.status.{status}", record.route?.id, consumer?))
            }
            Self::UniqueUsers => Some((format!("{scope}.user.uniques"), format!("{}|s", consumer?))),
            Self::ShdictUsage => None,
        }
    }
}

impl Statsd {
    fn write(&self, metric: &Metric, record: &Record<'_>, text: &mut Text) {
        let rate = metric.sample_rate.unwrap_or(1.0);
        let service = record.route.and_then(|route| route.service.as_ref()).and_then(|service| service.logged.spec());
        let service = service.map(|service| metric.service_identifier.unwrap_or(self.service).of(service));
        let consumer =
            record.consumer.and_then(|consumer| metric.consumer_identifier.unwrap_or(self.consumer).of(consumer));
        let workspace = match metric.workspace_identifier.unwrap_or(self.workspace) {
            WorkspaceIdentifier::WorkspaceId => &*record.tenant.control_plane_id,
            WorkspaceIdentifier::WorkspaceName => WORKSPACE,
        };
        let scope = || match service {
            Some(name) => {
                format!("service.{}", name.map_or("unnamed".to_owned(), |name| plain(name).replace('.', "_")))
            }
            None => "global.unmatched".to_owned(),
        };
        let (name, value) = match (metric.name, self.tag_style) {
            (Name::Plain(figure), style) => {
                let Some(value) = figure.value(record) else { return };
                let value = format!("{value}|{}", metric.stat_type.as_str());
                let name =
                    if style.is_some() { figure.name().to_owned() } else { format!("{}.{}", scope(), figure.name()) };
                (name, value)
            }
            (Name::Own(own), None) => {
                let Some(found) = own.of(&scope(), consumer, workspace, record) else { return };
                found
            }
            // What they say stands in the tags of all others.
            (Name::Own(_), Some(_)) => return,
        };
        if !is_sampled(record, rate) {
            return;
        }
        let tags = self.tag_style.zip(service.flatten()).map(|(style, service)| {
            let route = record.route.and_then(|route| route.logged.spec());
            let route = route.map(|route| route.name.as_deref().unwrap_or(&route.id));
            Tags { style, service, route, workspace, consumer, status: record.status }
        });
        text.figure(&self.prefix, &name, &value, rate, tags.as_ref());
    }
}

impl Plugin for Statsd {
    fn phases(&self) -> Phases {
        Phases::LOG
    }

    fn log(&self, record: &Record<'_>) {
        let status = u64::from(record.status);
        if self.statuses.as_ref().is_some_and(|ranges| !ranges.iter().any(|range| range.contains(&status))) {
            return;
        }
        let mut text = Text::default();
        for metric in &self.metrics {
            self.write(metric, record, &mut text);
        }
        if let Some(lines) = text.finish() {
            self.queue.push(record, lines);
        }
    }
}
