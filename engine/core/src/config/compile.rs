//! Entities → [`Tenant`]. Runs off the request path; every error of every entity is reported.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;

use super::certificates::Certificates;
use super::entities::{EntitySet, ServiceSpec};
use super::plugins::{Chains, Installed, compile_instance};
use super::protocol::Protocol;
use super::service_tls::policy;
use super::tenant::{Address, Grpc, ResponseHeaders, Route, Service, Tenant};
use super::update::{Limits, Settings};
use crate::error::ConfigError;
use crate::message::Scheme;
use crate::net::address::may_connect;
use crate::phases::chain::Protocols;
use crate::router::{RouteSpec, Router};
use crate::stats::Counters;
use crate::upstream::tls::TlsIdentity;

/// Protocols of routes that requests can match.
const HTTP_PROTOCOLS: [&str; 4] = ["http", "https", "grpc", "grpcs"];

/// Compiles a tenant.
pub fn compile(
    number: u64,
    version: u64,
    settings: &Settings,
    limits: &Limits,
    entities: &EntitySet,
    counters: Arc<Counters>,
) -> Result<Tenant, Vec<ConfigError>> {
    let mut errors = Vec::new();
    let services = compile_services(entities, limits, &mut errors);
    let certificates = Certificates::compile(entities, &mut errors);
    let installed = install_plugins(entities, &mut errors);
    check_flavor(settings, &mut errors);

    let specs = routable(entities);
    let router = Router::compile(&specs).map_err(|found| errors.extend(found)).ok();
    let mut chains = Chains::new(&installed);
    let compiled_routes = specs.iter().map(|spec| compile_route(spec, &services, &mut chains)).collect();
    let unrouted = Scheme::ALL.map(|scheme| chains.unrouted(Protocols::of([scheme.as_str()])));
    errors.extend(chains.finish());
    match router {
        Some(router) if errors.is_empty() => Ok(Tenant {
            number,
            version,
            response_headers: response_headers(&settings.headers),
            trusted: settings.trusted_ips.clone(),
            real_ip_header: settings.real_ip_header.clone(),
            limits: limits.clone(),
            router,
            routes: compiled_routes,
            certificates,
            unrouted,
            scoped: installed.scoped,
            counters,
        }),
        _ => Err(errors),
    }
}

fn check_flavor(settings: &Settings, errors: &mut Vec<ConfigError>) {
    if settings.router_flavor != "traditional_compatible" {
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

/// The routes that can match: those of HTTP and gRPC whose service is not switched off.
fn routable(entities: &EntitySet) -> Vec<Arc<RouteSpec>> {
    let routable = |spec: &&Arc<RouteSpec>| {
        let service = spec.service.as_ref().and_then(|reference| entities.services.get(reference.id.as_str()));
        service.is_none_or(|service| service.enabled)
            && spec.protocols.iter().any(|protocol| HTTP_PROTOCOLS.contains(&protocol.as_str()))
    };
    entities.routes.values().filter(routable).cloned().collect()
}

fn compile_services(
    entities: &EntitySet,
    limits: &Limits,
    errors: &mut Vec<ConfigError>,
) -> BTreeMap<String, Arc<Service>> {
    let mut services = BTreeMap::new();
    for spec in entities.services.values() {
        let refuse = |field: &str, message: &str| error("service", &spec.id, spec.name.as_deref(), field, message);
        match compile_service(spec, entities, limits) {
            Ok(Some(service)) => drop(services.insert(spec.id.clone(), Arc::new(service))),
            Ok(None) => {}
            Err((field, message)) => errors.push(refuse(field, message)),
        }
    }
    services
}

/// `None` for a protocol that the engine does not speak: its routes answer as routes without a service do.
fn compile_service(
    spec: &ServiceSpec,
    entities: &EntitySet,
    limits: &Limits,
) -> Result<Option<Service>, (&'static str, &'static str)> {
    let Some(protocol) = Protocol::named(&spec.protocol) else { return Ok(None) };
    let bare = spec.host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&spec.host);
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    if spec.host.is_empty() || !spec.host.bytes().all(valid) {
        return Err(("host", "invalid host"));
    }
    let literal: Option<IpAddr> = bare.parse().ok();
    let address = match literal {
        Some(address) => Address::Literal(address, may_connect(address, &limits.allow_upstream)),
        None => Address::Name(spec.host.as_str().into()),
    };
    let name = bare.trim_end_matches('.').to_owned();
    let tls = if protocol.is_secure() {
        let name = ServerName::try_from(name).map_err(|_| ("host", "invalid host"))?;
        Some(Arc::new(TlsIdentity::new(name, policy(spec, entities, None))))
    } else {
        None
    };
    let authority = if matches!(literal, Some(IpAddr::V6(_))) { format!("[{bare}]") } else { spec.host.clone() };
    let host_header =
        if spec.port == protocol.standard_port() { authority } else { format!("{authority}:{}", spec.port) };
    Ok(Some(Service {
        protocol,
        address,
        port: spec.port,
        host_header: host_header.into_bytes(),
        path: spec.path.clone(),
        tls,
        retries: spec.retries,
        connect_timeout: Duration::from_millis(spec.connect_timeout),
        write_timeout: Duration::from_millis(spec.write_timeout),
        read_timeout: Duration::from_millis(spec.read_timeout),
    }))
}

fn install_plugins(entities: &EntitySet, errors: &mut Vec<ConfigError>) -> Installed {
    let mut installed = Installed::default();
    for spec in entities.plugins.values() {
        match compile_instance(spec) {
            Ok(instance) if spec.enabled => installed.insert(spec, &instance),
            Ok(_) => {}
            Err(found) => errors.extend(found),
        }
    }
    installed
}

fn compile_route(spec: &RouteSpec, services: &BTreeMap<String, Arc<Service>>, chains: &mut Chains<'_>) -> Route {
    let speaks = |protocol: &str| spec.protocols.iter().any(|own| own == protocol);
    let service = spec.service.as_ref().and_then(|service| services.get(&service.id));
    let service_id: Option<Arc<str>> = spec.service.as_ref().map(|service| service.id.as_str().into());
    Route {
        http: speaks("http"),
        https: speaks("https"),
        grpc: match (speaks("grpc"), speaks("grpcs")) {
            (true, _) => Some(Grpc::Any),
            (false, true) => Some(Grpc::SecureOnly),
            (false, false) => None,
        },
        redirect_status: spec.https_redirect_status_code,
        strip_path: spec.strip_path.unwrap_or(true),
        preserve_host: spec.preserve_host,
        service: service.filter(|service| service.protocol.takes_requests()).cloned(),
        chains: Scheme::ALL.map(|scheme| chains.of(&spec.id, service_id.as_deref(), request_protocols(spec, scheme))),
        id: spec.id.as_str().into(),
        service_id,
    }
}

/// The protocols that a route's requests of a scheme count as. A route speaks one family of protocols.
fn request_protocols(route: &RouteSpec, scheme: Scheme) -> Protocols {
    let families = [("http", "https"), ("grpc", "grpcs"), ("ws", "wss")];
    let spoken = |name: &str| route.protocols.iter().any(|own| own == name);
    let family = families.into_iter().find(|(plain, secure)| spoken(plain) || spoken(secure)).unwrap_or(families[0]);
    Protocols::of([match scheme {
        Scheme::Http => family.0,
        Scheme::Https => family.1,
    }])
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
