//! Entities → [`Tenant`], off the request path. What did not change is taken over from the version before.

mod routes;
mod services;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::certificates::Certificates;
use super::directory::Directory;
use super::entities::{Changes, EntitySet, broken_references};
use super::plugins::Plugins;
use super::tenant::{ResponseHeaders, Tenant};
use super::update::{Limits, Settings};
use crate::error::ConfigError;
use crate::gateway::client_address::{Told, Trust};
use crate::plugins::{Metrics, Responses, Windows};
use crate::router::Flavor;
use crate::stats::Counters;
use crate::upstream::balancer::registry::Proposed;

use routes::Routes;
use services::Services;

/// What a version is compiled from.
pub struct Input<'a> {
    /// The entities, all of them.
    pub entities: &'a EntitySet,
    /// Those that are different from what the parts were compiled from.
    pub changes: &'a Changes,
    /// The balancers as they would be.
    pub upstreams: &'a Proposed,
    /// Gateway settings.
    pub settings: &'a Settings,
    /// Bounds.
    pub limits: &'a Limits,
    /// Whether the bounds are different.
    pub other_limits: bool,
}

/// The compiled parts of a tenant, one per noun. Persistent: a copy costs nothing, and shares what neither changes.
#[derive(Clone, Default)]
pub struct Parts {
    services: Services,
    plugins: Plugins,
    routes: Routes,
    certificates: Certificates,
    directory: Directory,
    /// What rate limits count: the same for all versions.
    windows: Arc<Windows>,
    /// What proxy-cache has stored: the same for all versions.
    responses: Arc<Responses>,
    /// What is counted for Prometheus: the same for all versions.
    pub(super) metrics: Arc<Metrics>,
}

impl Parts {
    /// The parts of the next version. `self` stays as it is, whatever is wrong with the input; everything that is wrong
    /// with it is reported.
    pub fn updated(&self, input: &Input<'_>) -> Result<Self, Vec<ConfigError>> {
        let mut parts = self.clone();
        let mut errors = broken_references(input.entities, input.changes);
        check_flavor(input.settings, &mut errors);
        errors.extend(input.upstreams.errors.iter().cloned());
        let services = parts.services.update(input, &mut errors);
        let chains = parts.plugins.update(&input.changes.plugins, &mut errors);
        parts.routes.update(input, (&parts.services, &services), (&mut parts.plugins, chains), &mut errors);
        errors.extend(parts.plugins.errors());
        parts.certificates.update(input, &mut errors);
        parts.directory = parts.directory.updated(input.settings.credential_key.clone(), input.entities, input.changes);
        if errors.is_empty() { Ok(parts) } else { Err(errors) }
    }

    /// The tenant that is made of the parts.
    #[must_use]
    pub fn tenant(
        &self,
        (number, version): (u64, u64),
        control_plane_id: &str,
        settings: &Settings,
        limits: &Limits,
        counters: Arc<Counters>,
    ) -> Tenant {
        Tenant {
            number,
            version,
            control_plane_id: control_plane_id.into(),
            response_headers: response_headers(&settings.headers),
            trust: Trust {
                networks: settings.trusted_ips.clone(),
                told: Told::named(&settings.real_ip_header),
                recursive: settings.real_ip_recursive,
            },
            limits: limits.clone(),
            router: self.routes.router.clone(),
            routes: self.routes.by_number.clone(),
            certificates: self.certificates.clone(),
            unrouted: self.plugins.unrouted.clone(),
            scoped: self.plugins.scoped.clone(),
            directory: self.directory.clone(),
            windows: self.windows.clone(),
            responses: self.responses.clone(),
            metrics: self.metrics.clone(),
            counters,
        }
    }
}

fn check_flavor(settings: &Settings, errors: &mut Vec<ConfigError>) {
    if Flavor::named(&settings.router_flavor).is_none() {
        errors.push(ConfigError {
            entity: "control_plane".into(),
            id: String::new(),
            name: None,
            field: Some("settings.router_flavor".into()),
            message: format!("this engine has no router flavour '{}'", settings.router_flavor),
        });
    }
}

fn error(entity: &str, id: &str, name: Option<&str>, field: &str, message: impl Into<String>) -> ConfigError {
    ConfigError {
        entity: entity.into(),
        id: id.into(),
        name: name.map(Into::into),
        field: Some(field.into()),
        message: message.into(),
    }
}

/// Reads the `headers` setting; `off` in the first place switches everything off.
fn response_headers(tokens: &[String]) -> ResponseHeaders {
    let mut on = ResponseHeaders::default();
    if tokens.first().is_some_and(|token| token.eq_ignore_ascii_case("off")) {
        return on;
    }
    for token in tokens {
        match token.to_ascii_lowercase().as_str() {
            "server_tokens" => (on.server, on.via) = (true, true),
            "latency_tokens" => (on.proxy_latency, on.upstream_latency, on.response_latency) = (true, true, true),
            "via" => on.via = true,
            "server" => on.server = true,
            "x-kong-proxy-latency" => on.proxy_latency = true,
            "x-kong-upstream-latency" => on.upstream_latency = true,
            "x-kong-response-latency" => on.response_latency = true,
            "x-kong-upstream-status" => on.upstream_status = true,
            "x-kong-request-id" => on.request_id = true,
            _ => {}
        }
    }
    on
}
