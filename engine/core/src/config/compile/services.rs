//! Services.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use imbl::OrdMap;
use rustls::pki_types::ServerName;

use super::{Input, error};
use crate::config::entities::{Id, Kind, ServiceSpec, UpstreamSpec};
use crate::config::protocol::Protocol;
use crate::config::service_tls::policy;
use crate::config::tenant::{Address, Service};
use crate::error::ConfigError;
use crate::logs::Logged;
use crate::net::address::may_connect;
use crate::upstream::tls::TlsIdentity;

/// The services that can be proxied to.
#[derive(Clone, Default)]
pub struct Services {
    by_id: OrdMap<Id, Arc<Service>>,
}

impl Services {
    /// Compiles what changed. Returns the ids of the services that are different now.
    pub fn update(&mut self, input: &Input<'_>, errors: &mut Vec<ConfigError>) -> BTreeSet<Id> {
        let (entities, changes) = (input.entities, input.changes);
        let mut stale: BTreeSet<Id> = changes.services.keys().cloned().collect();
        let certificates = changes.certificates.keys().map(|id| (Kind::Certificate, id));
        for (kind, id) in certificates.chain(changes.ca_certificates.keys().map(|id| (Kind::CaCertificate, id))) {
            stale.extend(entities.referrers.of(kind, id, Kind::Service).cloned());
        }
        let names = renamed(input);
        if !names.is_empty() {
            let of_name = |spec: &ServiceSpec| names.contains(spec.host.to_ascii_lowercase().as_str());
            stale.extend(entities.services.iter().filter(|(_, spec)| of_name(spec)).map(|(id, _)| id.clone()));
        }
        if input.other_limits {
            stale.extend(entities.services.keys().cloned());
        }
        for id in &stale {
            self.by_id.remove(id);
            let Some(spec) = entities.services.get(id) else { continue };
            if let Some(service) = compile(spec, input, errors) {
                self.by_id.insert(id.clone(), Arc::new(service));
            }
        }
        stale
    }

    /// A service, if it can be proxied to.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Arc<Service>> {
        self.by_id.get(id)
    }
}

/// Names that stand for another upstream now, or for one that shows another certificate.
fn renamed(input: &Input<'_>) -> BTreeSet<String> {
    let (entities, changes) = (input.entities, input.changes);
    let mut names = BTreeSet::new();
    for change in changes.upstreams.values() {
        let facts = |spec: &Option<Arc<UpstreamSpec>>| {
            spec.as_ref().map(|spec| (spec.name.to_ascii_lowercase(), spec.client_certificate.clone()))
        };
        let (before, after) = (facts(&change.before), facts(&change.after));
        if before != after {
            names.extend([before, after].into_iter().flatten().map(|(name, _)| name));
        }
    }
    for id in changes.certificates.keys() {
        let referrers = entities.referrers.of(Kind::Certificate, id, Kind::Upstream);
        let upstreams = referrers.filter_map(|id| entities.upstreams.get(id));
        names.extend(upstreams.map(|upstream| upstream.name.to_ascii_lowercase()));
    }
    names
}

fn compile(spec: &Arc<ServiceSpec>, input: &Input<'_>, errors: &mut Vec<ConfigError>) -> Option<Service> {
    let refuse = |field: &str, message: &str| error("service", &spec.id, spec.name.as_deref(), field, message);
    match compile_service(spec, input) {
        Ok(service) => service,
        Err((field, message)) => {
            errors.push(refuse(field, message));
            None
        }
    }
}

/// `None` for a protocol that the engine does not speak: its routes answer as routes without a service do.
fn compile_service(
    spec: &Arc<ServiceSpec>,
    input: &Input<'_>,
) -> Result<Option<Service>, (&'static str, &'static str)> {
    let Some(protocol) = Protocol::named(&spec.protocol) else { return Ok(None) };
    let bare = spec.host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&spec.host);
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    if spec.host.is_empty() || !spec.host.bytes().all(valid) {
        return Err(("host", "invalid host"));
    }
    let literal: Option<IpAddr> = bare.parse().ok();
    let upstream = input.upstreams.named(&spec.host).filter(|_| literal.is_none());
    let address = match (literal, upstream) {
        (Some(address), _) => Address::Literal(address, may_connect(address, &input.limits.allow_upstream)),
        (None, Some((_, balancer))) => Address::Balanced(balancer.clone()),
        (None, None) => Address::Name(spec.host.as_str().into()),
    };
    let name = bare.trim_end_matches('.').to_owned();
    let tls = if protocol.is_secure() {
        let name = ServerName::try_from(name).map_err(|_| ("host", "invalid host"))?;
        let upstream = upstream.and_then(|(id, _)| input.entities.upstreams.get(id));
        let fallback = upstream.and_then(|upstream| upstream.client_certificate.as_ref());
        Some(Arc::new(TlsIdentity::new(name, policy(spec, input.entities, fallback))))
    } else {
        None
    };
    let authority = if matches!(literal, Some(IpAddr::V6(_))) { format!("[{bare}]") } else { spec.host.clone() };
    Ok(Some(Service {
        protocol,
        address,
        port: spec.port,
        host_header: protocol.authority(&authority, spec.port).into_bytes(),
        path: spec.path.clone(),
        tls,
        retries: spec.retries,
        connect_timeout: Duration::from_millis(spec.connect_timeout),
        write_timeout: Duration::from_millis(spec.write_timeout),
        read_timeout: Duration::from_millis(spec.read_timeout),
        logged: Logged::of(spec),
    }))
}
