//! The plugins that this engine knows: one line each, and the only look-up by name.

mod acl;
mod authentication;
mod aws_lambda;
mod azure_functions;
mod basic_auth;
mod bot_detection;
mod correlation_id;
mod cors;
mod datadog;
mod file_log;
mod functions;
mod hmac_auth;
mod http_log;
mod ip_restriction;
mod jwt;
mod key_auth;
mod ldap_auth;
mod logging;
mod loggly;
mod opentelemetry;
mod prometheus;
mod proxy_cache;
mod rate_limiting;
mod redirect;
mod request_size_limiting;
mod request_termination;
pub mod request_transformer;
mod response_ratelimiting;
mod response_transformer;
mod session;
mod standard_webhooks;
mod statsd;
mod tcp_log;
mod udp_log;
mod zipkin;

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::FieldError;
use crate::phases::Plugin;

pub use authentication::{AuthenticatedGroups, Identity};
pub use correlation_id::Correlation;
pub use prometheus::{Labels, Metrics};
pub use proxy_cache::Responses;
pub use rate_limiting::{LastCaller, Windows};

/// An instance, or everything that is wrong with its configuration.
pub type Compiled = Result<Arc<dyn Plugin>, Vec<FieldError>>;

/// What an instance is attached to, besides consumers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// Id of its route.
    pub route: Option<String>,
    /// Id of its service.
    pub service: Option<String>,
}

/// What the engine needs to know of a kind of plugin before it has a configuration.
#[derive(Debug, Clone, Copy)]
pub struct Registration {
    /// The name in the configuration, kebab-case.
    pub name: &'static str,
    /// Higher runs earlier; equal ones by name from z to a.
    pub priority: i32,
    /// Compiles a complete `config` (defaults filled in by the control plane) into an instance.
    pub compile: fn(Value, &Place) -> Compiled,
}

const fn plugin(name: &'static str, priority: i32, compile: fn(Value, &Place) -> Compiled) -> Registration {
    Registration { name, priority, compile }
}

/// Every plugin with its published priority, one line each.
pub const REGISTRY: &[Registration] = &[
    plugin("correlation-id", 100_001, correlation_id::compile),
    plugin("zipkin", 100_000, zipkin::compile),
    plugin("bot-detection", 2500, bot_detection::compile),
    plugin("cors", 2000, cors::compile),
    plugin("session", 1900, session::compile),
    plugin("jwt", 1450, jwt::compile),
    plugin("key-auth", 1250, key_auth::compile),
    plugin("ldap-auth", 1200, ldap_auth::compile),
    plugin("basic-auth", 1100, basic_auth::compile),
    plugin("hmac-auth", 1030, hmac_auth::compile),
    plugin("ip-restriction", 990, ip_restriction::compile),
    plugin("request-size-limiting", 951, request_size_limiting::compile),
    plugin("acl", 950, acl::compile),
    plugin("rate-limiting", 910, rate_limiting::compile),
    plugin("response-ratelimiting", 900, response_ratelimiting::compile),
    plugin("request-transformer-advanced", 802, request_transformer::advanced::compile),
    plugin("request-transformer", 801, request_transformer::compile),
    plugin("response-transformer-advanced", 800, response_transformer::advanced::compile),
    plugin("response-transformer", 800, response_transformer::compile),
    plugin("redirect", 779, redirect::compile),
    plugin("standard-webhooks", 759, standard_webhooks::compile),
    plugin("aws-lambda", 750, aws_lambda::compile),
    plugin("azure-functions", 749, azure_functions::compile),
    plugin("proxy-cache", 100, proxy_cache::compile),
    plugin("opentelemetry", 14, opentelemetry::compile),
    plugin("prometheus", 13, prometheus::compile),
    plugin("http-log", 12, http_log::compile),
    plugin("statsd", 11, statsd::compile),
    plugin("datadog", 10, datadog::compile),
    plugin("file-log", 9, file_log::compile),
    plugin("udp-log", 8, udp_log::compile),
    plugin("tcp-log", 7, tcp_log::compile),
    plugin("loggly", 6, loggly::compile),
    plugin("request-termination", 2, request_termination::compile),
    #[cfg(test)]
    plugin("probe-a", 1_000_000, crate::phases::probe::compile),
    #[cfg(test)]
    plugin("probe-b", 500, crate::phases::probe::compile),
    #[cfg(test)]
    plugin("probe-c", 500, crate::phases::probe::compile),
];

/// The registration of a plugin name, and its index.
#[must_use]
pub fn find(name: &str) -> Option<(usize, &'static Registration)> {
    REGISTRY.iter().enumerate().find(|(_, known)| known.name == name)
}

/// Reads a complete `config`.
fn read<C: DeserializeOwned>(config: Value) -> Result<C, Vec<FieldError>> {
    serde_json::from_value(config).map_err(|error| vec![FieldError::whole(error.to_string())])
}
