//! The messages of a configuration update, and its report.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::directory::CredentialKey;
use crate::base64;
use crate::error::ConfigError;

/// The only version of the format that there is.
pub const FORMAT: u32 = 1;

/// A configuration update for one control plane.
#[derive(Debug)]
pub enum Update {
    /// Everything.
    Snapshot(Snapshot),
    /// What changed since a version.
    Delta(Delta),
}

impl Update {
    /// Reads an update. Entities stay text until each is looked at: as a tree, those of a large tenant would take several
    /// times their size.
    pub fn read(update: &[u8]) -> serde_json::Result<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "lowercase")]
        enum Kind {
            Snapshot,
            Delta,
        }
        #[derive(Deserialize)]
        struct Tagged {
            kind: Kind,
        }
        let Tagged { kind } = serde_json::from_slice(update)?;
        match kind {
            Kind::Snapshot => serde_json::from_slice(update).map(Self::Snapshot),
            Kind::Delta => serde_json::from_slice(update).map(Self::Delta),
        }
    }
}

/// The whole configuration of a control plane.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    #[serde(rename = "kind")]
    _kind: IgnoredAny,
    /// Version of the format.
    pub format: u32,
    /// Owner.
    pub organization_id: String,
    /// The tenant.
    pub control_plane_id: String,
    /// Version of the configuration.
    pub version: u64,
    /// Hosts that select the tenant; `*` stands for all that select no other.
    pub hosts: Vec<String>,
    /// The control plane's name for the entities at this version; the agent reports it.
    #[serde(default)]
    pub config_hash: String,
    /// Gateway settings.
    pub settings: Settings,
    /// Bounds.
    #[serde(default)]
    pub limits: Limits,
    /// All entities by plural type.
    pub entities: BTreeMap<String, Vec<Box<RawValue>>>,
}

/// Changes since a version.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delta {
    #[serde(rename = "kind")]
    _kind: IgnoredAny,
    /// Version of the format.
    pub format: u32,
    /// Owner.
    pub organization_id: String,
    /// The tenant.
    pub control_plane_id: String,
    /// Version that the changes start from.
    pub from_version: u64,
    /// Version that they lead to.
    pub version: u64,
    /// Hosts, complete.
    pub hosts: Vec<String>,
    /// The control plane's name for the entities at this version; the agent reports it.
    #[serde(default)]
    pub config_hash: String,
    /// Settings, if they changed.
    #[serde(default)]
    pub settings: Option<Settings>,
    /// Limits, if they changed.
    #[serde(default)]
    pub limits: Option<Limits>,
    /// Entity changes in order.
    pub changes: Vec<Change>,
}

/// One change of an entity.
#[derive(Debug, Deserialize)]
pub struct Change {
    /// What is done.
    pub operation: Operation,
    /// Plural type.
    pub r#type: String,
    /// Id.
    pub id: String,
    /// The whole entity, if it is put.
    pub entity: Option<Box<RawValue>>,
}

/// What a change does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// Create or replace.
    Put,
    /// Remove.
    Delete,
}

/// Gateway settings of a control plane.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// How routes are matched and ranked, by the name of a [`crate::router::Flavor`].
    pub router_flavor: String,
    /// Peers whose forwarding headers are believed.
    #[serde(deserialize_with = "networks")]
    pub trusted_ips: Vec<IpNet>,
    /// Header with the client's address, or `proxy_protocol`.
    pub real_ip_header: String,
    /// Whether addresses in it that are trusted peers' themselves are passed over.
    #[serde(default)]
    pub real_ip_recursive: bool,
    /// Which headers the gateway adds to responses.
    pub headers: Vec<String>,
    /// What the keyed hashes of credentials are made with; base64 on the wire. Without it nobody's key is known.
    #[serde(default, deserialize_with = "credential_key")]
    pub credential_key: CredentialKey,
}

fn credential_key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<CredentialKey, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(CredentialKey::default()) };
    let secret = base64::decode(text.as_bytes()).filter(|secret| secret.len() >= 32);
    secret.map(|secret| CredentialKey::new(&secret)).ok_or_else(|| serde::de::Error::custom("credential_key: no key"))
}

/// Bounds of a control plane. What is absent is at its safest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Private networks that upstreams may lie in; none if absent.
    #[serde(deserialize_with = "networks")]
    pub allow_upstream: Vec<IpNet>,
    /// Largest request body; absent or 0 means no limit for streamed bodies.
    pub max_body_bytes: Option<u64>,
    /// Requests and new streams per second over all threads, with a burst of one second; absent means no limit, as below.
    pub max_requests_per_second: Option<u64>,
    /// Requests and streams at once.
    pub max_concurrent_requests: Option<u64>,
    /// Client connections at once.
    pub max_connections: Option<u64>,
}

/// Networks, where a bare address is a network of one.
fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    let network = |text: &String| {
        text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).map_err(serde::de::Error::custom)
    };
    texts.iter().map(network).collect()
}

/// What became of an update.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The tenant; empty if the update could not be read.
    pub control_plane_id: String,
    /// Version of the update.
    pub version: u64,
    /// Whether it is live now. If not, nothing changed.
    pub accepted: bool,
    /// Why not.
    pub errors: Vec<ReportedError>,
}

/// An error as it is reported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReportedError {
    /// `version-gap` if a delta does not start at the version held: a snapshot is needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    /// The error.
    #[serde(flatten)]
    pub error: ConfigError,
}

impl Report {
    /// A refusal for a reason that is no entity's.
    #[must_use]
    pub fn refused(control_plane_id: &str, version: u64, field: Option<&str>, message: impl Into<String>) -> Self {
        let errors = reported(vec![whole(control_plane_id, field, message)]);
        Self { control_plane_id: control_plane_id.into(), version, accepted: false, errors }
    }

    /// A refusal of a delta that does not fit.
    #[must_use]
    pub fn version_gap(control_plane_id: &str, version: u64, message: &str) -> Self {
        let mut report = Self::refused(control_plane_id, version, Some("from_version"), message);
        report.errors.iter_mut().for_each(|error| error.code = Some("version-gap"));
        report
    }
}

/// An error of the update itself.
pub(crate) fn whole(control_plane_id: &str, field: Option<&str>, message: impl Into<String>) -> ConfigError {
    ConfigError {
        entity: "control_plane".into(),
        id: control_plane_id.into(),
        name: None,
        field: field.map(Into::into),
        message: message.into(),
    }
}

pub(crate) fn reported(errors: Vec<ConfigError>) -> Vec<ReportedError> {
    errors.into_iter().map(|error| ReportedError { code: None, error }).collect()
}
