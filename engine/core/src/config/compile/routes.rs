//! Routes: their numbers, what each of them needs, and the router that finds them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imbl::{OrdMap, OrdSet};

use super::Input;
use super::services::Services;
use crate::config::entities::{EntitySet, Id, Kind};
use crate::config::plugins::{Plugins, StaleChains};
use crate::config::slots::Slots;
use crate::config::tenant::{Route, Transport};
use crate::error::ConfigError;
use crate::logs::Logged;
use crate::message::Scheme;
use crate::phases::chain::Protocols;
use crate::router::{Flavor, Join, RouteSpec, Router};

/// Protocols of routes that requests can match.
const HTTP_PROTOCOLS: [&str; 6] = ["http", "https", "grpc", "grpcs", "ws", "wss"];
/// Protocols of routes that other connections can match.
const STREAM_PROTOCOLS: [&str; 3] = ["tcp", "tls", "tls_passthrough"];

/// The routes that can match: those that the engine serves, whose service is not switched off.
#[derive(Clone, Default)]
pub struct Routes {
    pub(super) numbers: OrdMap<Id, usize>,
    /// Numbers of routes that are gone, for routes to come.
    free: OrdSet<usize>,
    /// Finds a route's number.
    pub router: Router,
    /// Routes by number.
    pub by_number: Slots<Route>,
}

impl Routes {
    /// Compiles what changed: routes, those of `services`, and those with `chains` to be put together again. All of them
    /// in another flavour.
    pub fn update(
        &mut self,
        input: &Input<'_>,
        (services, changed): (&Services, &BTreeSet<Id>),
        (plugins, chains): (&mut Plugins, StaleChains),
        errors: &mut Vec<ConfigError>,
    ) {
        let entities = input.entities;
        let mut stale: BTreeSet<Id> = input.changes.routes.keys().cloned().collect();
        stale.extend(chains.routes);
        for service in changed.union(&chains.services) {
            stale.extend(entities.referrers.of(Kind::Service, service, Kind::Route).cloned());
        }
        // One that nobody knows is refused where the settings are looked at.
        let flavor = Flavor::named(&input.settings.router_flavor).unwrap_or_default();
        let anew = self.router.flavor() != flavor;
        if anew {
            self.router = Router::of(flavor);
        }
        if chains.all || anew {
            stale.extend(entities.routes.keys().cloned());
        }
        let spare = Arc::new(Route::spare());
        let mut routes = BTreeMap::new();
        let (mut put, mut deleted) = (Vec::new(), Vec::new());
        for id in stale {
            let known = self.numbers.get(&id).copied();
            if let Some(spec) = entities.routes.get(&id).filter(|spec| is_routable(spec, entities)) {
                let number = known.unwrap_or_else(|| self.take_number(&id));
                routes.insert(number, Arc::new(compile(&id, spec, flavor, (entities, services), plugins)));
                if anew || known.is_none() || input.changes.routes.contains_key(&id) {
                    put.push((number, spec.clone()));
                }
            } else if let Some(number) = known {
                self.numbers.remove(&id);
                self.free.insert(number);
                routes.insert(number, spare.clone());
                deleted.push(number);
            }
        }
        self.by_number.set(routes, &spare);
        if !put.is_empty() || !deleted.is_empty() {
            match self.router.updated(&put, &deleted) {
                Ok(changed) => self.router = changed,
                Err(found) => errors.extend(found),
            }
        }
    }

    fn take_number(&mut self, id: &Id) -> usize {
        let number = self.free.get_min().copied().unwrap_or(self.numbers.len());
        self.free.remove(&number);
        self.numbers.insert(id.clone(), number);
        number
    }
}

fn is_routable(spec: &RouteSpec, entities: &EntitySet) -> bool {
    let service = spec.service.as_ref().and_then(|reference| entities.services.get(reference.id.as_str()));
    service.is_none_or(|service| service.enabled)
        && (speaks_any(spec, &HTTP_PROTOCOLS) || speaks_any(spec, &STREAM_PROTOCOLS))
}

fn speaks_any(spec: &RouteSpec, protocols: &[&str]) -> bool {
    spec.protocols.iter().any(|protocol| protocols.contains(&protocol.as_str()))
}

fn compile(
    id: &Id,
    spec: &Arc<RouteSpec>,
    flavor: Flavor,
    (entities, services): (&EntitySet, &Services),
    plugins: &mut Plugins,
) -> Route {
    let speaks = |protocol: &str| spec.protocols.iter().any(|own| own == protocol);
    let service = spec.service.as_ref().and_then(|service| services.get(&service.id));
    let service_id = spec.service.as_ref().and_then(|service| entities.services.get_key_value(service.id.as_str()));
    let service_id = service_id.map(|(id, _)| id.clone());
    let transport = |plain: &str, secure: &str| match (speaks(plain), speaks(secure)) {
        (true, _) => Some(Transport::Any),
        (false, true) => Some(Transport::SecureOnly),
        (false, false) => None,
    };
    let handling = spec.path_handling.filter(|_| flavor == Flavor::Traditional);
    let is_stream = speaks_any(spec, &STREAM_PROTOCOLS);
    let mut chain = |scheme| plugins.chain(Some((id, service_id.as_deref())), request_protocols(spec, scheme));
    Route {
        http: speaks("http"),
        https: speaks("https"),
        grpc: transport("grpc", "grpcs"),
        websocket: transport("ws", "wss"),
        redirect_status: spec.https_redirect_status_code,
        join: Join { strip: spec.strip_path.unwrap_or(true), handling: handling.unwrap_or_default() },
        preserve_host: spec.preserve_host,
        request_buffering: spec.request_buffering,
        response_buffering: spec.response_buffering,
        service: service.filter(|service| service.protocol.takes_requests() != is_stream).cloned(),
        chains: Scheme::ALL.map(&mut chain),
        id: id.clone(),
        service_id,
        logged: Logged::of(spec),
    }
}

/// The protocols that a route's requests of a scheme count as, or its streams without TLS and with it. A route speaks one
/// family of protocols.
fn request_protocols(route: &RouteSpec, scheme: Scheme) -> Protocols {
    let families =
        [("http", "https"), ("grpc", "grpcs"), ("ws", "wss"), ("tcp", "tls"), ("tls_passthrough", "tls_passthrough")];
    let spoken = |name: &str| route.protocols.iter().any(|own| own == name);
    let family = families.into_iter().find(|(plain, secure)| spoken(plain) || spoken(secure)).unwrap_or(families[0]);
    Protocols::of([match scheme {
        Scheme::Http => family.0,
        Scheme::Https => family.1,
    }])
}
