//! Upstreams.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Entity, Kind};
use crate::router::Reference;

/// How a target is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// In turn, by weight.
    #[default]
    RoundRobin,
    /// The one with the fewest requests under way, by weight.
    LeastConnections,
    /// The one that a value of the request selects.
    ConsistentHashing,
    /// The faster one of two.
    Latency,
    /// The one that the client's cookie names.
    StickySessions,
}

/// What of a request selects the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names say it")]
pub enum HashOn {
    #[default]
    None,
    Consumer,
    Ip,
    Header,
    Cookie,
    Path,
    QueryArg,
    UriCapture,
}

/// A set of targets behind one name.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UpstreamSpec {
    /// Id.
    pub id: String,
    /// The host name that services use.
    pub name: String,
    /// How a target is chosen.
    pub algorithm: Algorithm,
    /// What selects the target.
    pub hash_on: HashOn,
    /// What selects it where that is missing.
    pub hash_fallback: HashOn,
    /// Header for `header`.
    pub hash_on_header: Option<String>,
    /// Header for a fallback to `header`.
    pub hash_fallback_header: Option<String>,
    /// Cookie for `cookie`, also as fallback.
    pub hash_on_cookie: Option<String>,
    /// Path of the cookie.
    pub hash_on_cookie_path: Option<String>,
    /// Argument for `query_arg`.
    pub hash_on_query_arg: Option<String>,
    /// Argument for a fallback to `query_arg`.
    pub hash_fallback_query_arg: Option<String>,
    /// Capture for `uri_capture`.
    pub hash_on_uri_capture: Option<String>,
    /// Capture for a fallback to `uri_capture`.
    pub hash_fallback_uri_capture: Option<String>,
    /// Most points on the ring.
    pub slots: Option<u32>,
    /// Health checks.
    pub healthchecks: Option<HealthchecksSpec>,
    /// `Host` towards all targets.
    pub host_header: Option<String>,
    /// Certificate shown to targets, unless the service has its own.
    pub client_certificate: Option<Reference>,
    /// Whether the name in an SRV record takes the place of the target's.
    pub use_srv_name: Option<bool>,
    /// Cookie for `sticky-sessions`.
    pub sticky_sessions_cookie: Option<String>,
    /// Path of that cookie.
    pub sticky_sessions_cookie_path: Option<String>,
    #[serde(rename = "tags")]
    _tags: Option<IgnoredAny>,
    #[serde(rename = "created_at")]
    _created_at: Option<IgnoredAny>,
    #[serde(rename = "updated_at")]
    _updated_at: Option<IgnoredAny>,
}

/// When a target counts as healthy.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HealthchecksSpec {
    /// Per cent of the weight that must be more than available.
    pub threshold: f64,
    /// Probes.
    pub active: ActiveSpec,
    /// Judgement of the traffic.
    pub passive: PassiveSpec,
}

/// What a check speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names say it")]
pub enum CheckKind {
    Tcp,
    #[default]
    Http,
    Https,
    Grpc,
    Grpcs,
}

/// Probes.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ActiveSpec {
    /// What they speak.
    pub r#type: CheckKind,
    /// Seconds.
    pub timeout: f64,
    /// Probes of one upstream at once.
    pub concurrency: u64,
    /// Path that is asked for.
    pub http_path: String,
    /// TLS server name.
    pub https_sni: Option<String>,
    /// Whether the target's certificate is verified.
    pub https_verify_certificate: bool,
    /// Further headers.
    pub headers: Option<BTreeMap<String, Vec<String>>>,
    /// Probes of healthy targets.
    pub healthy: SuccessSpec,
    /// Probes of unhealthy targets.
    pub unhealthy: FailureSpec,
}

impl Default for ActiveSpec {
    fn default() -> Self {
        Self {
            r#type: CheckKind::Http,
            timeout: 1.0,
            concurrency: 10,
            http_path: "/".into(),
            https_sni: None,
            https_verify_certificate: true,
            headers: None,
            healthy: SuccessSpec { http_statuses: vec![200, 302], ..SuccessSpec::default() },
            unhealthy: FailureSpec {
                http_statuses: vec![429, 404, 500, 501, 502, 503, 504, 505],
                ..FailureSpec::default()
            },
        }
    }
}

/// Judgement of the traffic.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PassiveSpec {
    /// What targets speak.
    pub r#type: CheckKind,
    /// What makes a target healthy.
    pub healthy: SuccessSpec,
    /// What makes a target unhealthy.
    pub unhealthy: FailureSpec,
}

impl Default for PassiveSpec {
    fn default() -> Self {
        let fine = (200..=208).chain([226]).chain(300..=308).collect();
        Self {
            r#type: CheckKind::Http,
            healthy: SuccessSpec { http_statuses: fine, ..SuccessSpec::default() },
            unhealthy: FailureSpec { http_statuses: vec![429, 500, 503], ..FailureSpec::default() },
        }
    }
}

/// What counts as a success, and how many make a target healthy; 0 switches the criterion off.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SuccessSpec {
    /// Seconds between probes of healthy targets.
    pub interval: f64,
    /// Successes.
    pub successes: u8,
    /// Statuses that are successes.
    pub http_statuses: Vec<u16>,
}

/// What counts as a failure, and how many make a target unhealthy; 0 switches a criterion off.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FailureSpec {
    /// Seconds between probes of unhealthy targets.
    pub interval: f64,
    /// Failed connections.
    pub tcp_failures: u8,
    /// Timeouts.
    pub timeouts: u8,
    /// Bad statuses.
    pub http_failures: u8,
    /// Statuses that are failures.
    pub http_statuses: Vec<u16>,
}

impl Entity for UpstreamSpec {
    fn id(&self) -> &str {
        &self.id
    }

    fn name(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn references(&self, visit: &mut dyn FnMut(&str, Kind, &str)) {
        if let Some(certificate) = &self.client_certificate {
            visit("client_certificate.id", Kind::Certificate, &certificate.id);
        }
    }
}
