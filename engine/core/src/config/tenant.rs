//! A tenant's configuration, compiled: what requests are served from. Immutable; a change makes a new one.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::certificates::Certificates;
use super::directory::Directory;
use super::entities::ServiceSpec;
use super::protocol::Protocol;
use super::slots::Slots;
use super::update::Limits;
use crate::gateway::client_address::Trust;
use crate::logs::Logged;
use crate::message::Scheme;
use crate::phases::chain::{Chain, ScopedByKind};
use crate::plugins::{Metrics, Responses, Windows};
use crate::router::{Join, RouteSpec, Router};
use crate::stats::Counters;
use crate::upstream::balancer::Balancer;
use crate::upstream::tls::TlsIdentity;

/// One version of a tenant.
pub struct Tenant {
    /// Number of the tenant in this process.
    pub number: u64,
    /// Id of its control plane.
    pub control_plane_id: Arc<str>,
    /// Version of the configuration.
    pub version: u64,
    /// Which response headers the gateway adds.
    pub response_headers: ResponseHeaders,
    /// Peers whose forwarding headers are believed, and what they tell.
    pub trust: Trust,
    /// Bounds.
    pub limits: Limits,
    /// Finds the route.
    pub router: Router,
    /// By the number that the router finds.
    pub routes: Slots<Route>,
    /// What TLS clients are shown.
    pub certificates: Certificates,
    /// Plugins for requests without a route, by scheme.
    pub unrouted: [Arc<Chain>; 2],
    /// Who may ask.
    pub directory: Directory,
    /// What rate limits count, shared by all versions.
    pub windows: Arc<Windows>,
    /// What proxy-cache has stored, shared by all versions.
    pub responses: Arc<Responses>,
    /// What is counted for Prometheus, shared by all versions.
    pub metrics: Arc<Metrics>,
    /// Plugins for consumers and groups.
    pub scoped: ScopedByKind,
    /// Counters, shared by all versions.
    pub counters: Arc<Counters>,
}

/// Which headers the gateway adds to responses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "one switch per header, as users configure them")]
pub struct ResponseHeaders {
    /// `Server` where the upstream sent none.
    pub server: bool,
    /// `Via` on proxied responses.
    pub via: bool,
    /// `X-Kong-Proxy-Latency`.
    pub proxy_latency: bool,
    /// `X-Kong-Upstream-Latency`.
    pub upstream_latency: bool,
    /// `X-Kong-Response-Latency`.
    pub response_latency: bool,
    /// `X-Kong-Upstream-Status`.
    pub upstream_status: bool,
    /// `X-Kong-Request-Id`.
    pub request_id: bool,
}

/// A route with everything that its requests need.
#[allow(clippy::struct_excessive_bools, reason = "the user's own switches")]
pub struct Route {
    /// Whether plain HTTP is served.
    pub http: bool,
    /// Whether HTTPS is served.
    pub https: bool,
    /// Whether the route is for gRPC.
    pub grpc: Option<Transport>,
    /// Whether the route is for `WebSockets`.
    pub websocket: Option<Transport>,
    /// Answer to plain HTTP if only HTTPS is served.
    pub redirect_status: u16,
    /// How upstream paths are made.
    pub join: Join,
    /// Whether the client's `Host` goes upstream.
    pub preserve_host: bool,
    /// Whether request bodies are taken in before the upstream is asked.
    pub request_buffering: bool,
    /// Whether responses are read ahead of clients that are slower than the upstream.
    pub response_buffering: bool,
    /// Where requests go; `None` answers 503 unless a plugin answers.
    pub service: Option<Arc<Service>>,
    /// Id.
    pub id: Arc<str>,
    /// Id of its service.
    pub service_id: Option<Arc<str>>,
    /// The entity, for records of requests.
    pub logged: Logged<RouteSpec>,
    /// Plugins by scheme.
    pub chains: [Arc<Chain>; 2],
}

/// How a route takes gRPC, or `WebSockets`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// With TLS or without.
    Any,
    /// With TLS only.
    SecureOnly,
}

impl Route {
    /// What stands where there is no route.
    pub(super) fn spare() -> Self {
        Self {
            http: false,
            https: false,
            grpc: None,
            websocket: None,
            redirect_status: 426,
            join: Join::default(),
            preserve_host: false,
            request_buffering: true,
            response_buffering: true,
            service: None,
            id: Arc::default(),
            service_id: None,
            logged: Logged::default(),
            chains: Default::default(),
        }
    }

    /// The plugins for a scheme.
    #[must_use]
    pub fn chain(&self, scheme: Scheme) -> &Arc<Chain> {
        &self.chains[scheme as usize]
    }
}

impl Tenant {
    /// The plugins for requests of a scheme that have no route, or not yet.
    #[must_use]
    pub fn unrouted_chain(&self, scheme: Scheme) -> &Arc<Chain> {
        &self.unrouted[scheme as usize]
    }
}

/// Where a service is.
#[derive(Debug, Clone)]
pub enum Address {
    /// An address, and whether the tenant may connect to it.
    Literal(IpAddr, bool),
    /// A name to resolve.
    Name(Box<str>),
    /// The targets of an upstream.
    Balanced(Arc<Balancer>),
}

/// A service with everything that its requests need.
#[derive(Debug)]
pub struct Service {
    /// What it speaks.
    pub protocol: Protocol,
    /// Where it is.
    pub address: Address,
    /// Its port.
    pub port: u16,
    /// Value of `Host`.
    pub host_header: Vec<u8>,
    /// Prefix of upstream paths.
    pub path: Option<String>,
    /// TLS, if it speaks it.
    pub tls: Option<Arc<TlsIdentity>>,
    /// Tries after the first one.
    pub retries: u32,
    /// Bound of a connect, TLS included.
    pub connect_timeout: Duration,
    /// Bound between two writes.
    pub write_timeout: Duration,
    /// Bound between two reads.
    pub read_timeout: Duration,
    /// The entity, for records of requests.
    pub logged: Logged<ServiceSpec>,
}
