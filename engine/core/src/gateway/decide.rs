//! From a request's head to what is done with it: tenant, route, plugins. No I/O; shared by all client protocols.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use crate::budget::Attachment;
use crate::config::hosts::HostTable;
use crate::config::tenant::{Route, Tenant, Transport};
use crate::http1::request::RequestFraming;
use crate::message::{Request, RequestHead, Response, ResponseBody, Scheme, Version};
use crate::router::{MatchInput, TooCostly, normalise, upstream_path};
use crate::tls::server::Handshake;

/// Beginning of the media types of gRPC.
pub(super) const GRPC_TYPE: &str = "application/grpc";

/// What is known of the connection that a request came on.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Address of the other end.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// Address of the client that the other end, a balancer, speaks for, as it says.
    pub proxied: Option<IpAddr>,
    /// What the client connected to, by the port that clients know.
    pub local: SocketAddr,
    /// Plain or TLS.
    pub scheme: Scheme,
    /// What the client asked for and got in its TLS handshake.
    pub handshake: Handshake,
    /// The tenants that the connection counts for.
    pub attachment: Rc<Attachment>,
}

/// A request that found its route.
#[derive(Clone)]
pub struct Routed {
    /// The configuration that the whole request is served from, whatever changes meanwhile.
    pub tenant: Arc<Tenant>,
    /// Index of the route.
    pub route: usize,
    /// Whether the peer's forwarding headers are believed.
    pub trusted: bool,
}

impl Routed {
    /// The route.
    #[must_use]
    pub fn route(&self) -> &Route {
        &self.tenant.routes[self.route]
    }
}

/// The message for requests that belong to no route, or to no tenant.
pub const NO_ROUTE: &str = "no Route matched with those values";

/// The message for requests whose route costs too much to find. It is no 404, and no other route: any of those that were
/// not asked might be the right one, and keep out whom another one lets in.
const TOO_COSTLY: &str = "too many routes of this gateway can only be told apart one by one";

/// The answer to a tenant that has used up its budget.
#[must_use]
pub fn over_budget() -> Response {
    Response::message(429, "Too many requests for this gateway").with_header("Retry-After", "1")
}

/// The answer while the machine cannot keep up.
#[must_use]
pub fn overloaded() -> Response {
    Response::message(503, "The gateway is overloaded").with_header("Retry-After", "1")
}

/// Finds the tenant of a request and fills in `request.client_ip`. Also tells whether the peer's forwarding headers are
/// believed. A request that is for no tenant gets the answer.
pub fn admit(hosts: &HostTable, peer: &Peer, request: &mut Request) -> Result<(Arc<Tenant>, bool), Response> {
    let Some(tenant) = hosts.find(&request.host) else { return Err(Response::message(404, NO_ROUTE)) };
    if peer.handshake.tenant != Some(tenant.number) && is_misdirected(&peer.handshake, &tenant, &request.host) {
        return Err(Response::failure(421, "Misdirected request"));
    }
    let (client, trusted) = tenant.trust.client(peer, &request.head);
    request.client_ip = client;
    Ok((tenant, trusted))
}

/// Finds the route of a request, or why there is none, and fills in `request.upstream` and `captures`. `prefix` receives
/// what will be sent as `X-Forwarded-Prefix`: empty if nothing but `/` is stripped. `thread` numbers the calling worker.
pub fn route(
    thread: usize,
    (tenant, trusted): (&Arc<Tenant>, bool),
    peer: &Peer,
    framing: &RequestFraming,
    request: &mut Request,
    prefix: &mut Vec<u8>,
) -> Result<Routed, Response> {
    let Ok(path) = normalise(request.head.path()) else {
        return Err(Response::failure(400, "Bad request"));
    };
    let found = tenant.router.find(&MatchInput {
        method: request.head.method(),
        host: &request.host,
        port: framing.host_port.unwrap_or(peer.local.port()),
        path: &path,
        headers: &request.head.headers,
        sni: peer.handshake.server_name.as_deref(),
        scheme: peer.scheme,
        query: request.head.query(),
        source: SocketAddr::new(request.client_ip, peer.port),
        destination: peer.local,
    });
    let found = match found {
        Ok(Some(found)) => found,
        Ok(None) => return Err(Response::message(404, NO_ROUTE)),
        Err(TooCostly) => {
            tenant.counters.unroutable(thread);
            return Err(Response::message(503, TOO_COSTLY));
        }
    };
    let route = &tenant.routes[found.route];
    let secure = peer.scheme == Scheme::Https || (trusted && forwarded_https(&request.head));
    if let Some(response) = refusal(route, secure, trusted, framing.websocket, request) {
        return Err(response);
    }
    let service_path = route.service.as_ref().and_then(|service| service.path.as_deref());
    upstream_path(&mut request.upstream.path, service_path, &path, found.matched, route.join);
    prefix.clear();
    if route.join.strip
        && let Some(matched) = found.matched
        && matched > 1
    {
        prefix.extend_from_slice(path.get(..matched).unwrap_or_default());
    }
    drop(path);
    request.captures = found.captures;
    request.upstream.query = request.head.query().map(<[u8]>::to_vec);
    request.upstream.method = None;
    request.upstream.host = None;
    Ok(Routed { route: found.route, tenant: tenant.clone(), trusted })
}

/// The answer to a request that came by another protocol than its route takes.
fn refusal(route: &Route, secure: bool, trusted: bool, websocket: bool, request: &Request) -> Option<Response> {
    let secure_only = (route.https && !route.http) || route.websocket == Some(Transport::SecureOnly);
    if secure_only && !secure {
        return Some(to_https(route.redirect_status, trusted, request));
    }
    if route.websocket.is_some() && !websocket {
        let response = Response::message(426, "Please use WebSocket protocol");
        return Some(response.with_header("Connection", "Upgrade").with_header("Upgrade", "websocket"));
    }
    route.grpc.and_then(|grpc| not_grpc(grpc, secure, &request.head))
}

/// Whether a request for a tenant's host came on a connection that was made to another tenant's, or to nobody's, and
/// either side has a certificate of its own for its name: then the client has not seen the certificate that it would
/// have to see for this host. A client that joins hosts on one connection (RFC 9113 section 9.1.1) asks again on another
/// one (RFC 9110 section 15.5.20). Hosts that all show the gateway's certificate may share a connection.
fn is_misdirected(handshake: &Handshake, tenant: &Tenant, host: &str) -> bool {
    handshake.server_name.is_some() && (handshake.own_certificate || tenant.certificates.find(Some(host)).is_some())
}

/// Whether a trusted peer says that the client spoke HTTPS. Several values say nothing.
fn forwarded_https(head: &RequestHead) -> bool {
    let mut values = head.headers.get_all("x-forwarded-proto");
    let is_https = values.next().is_some_and(|value| value.eq_ignore_ascii_case(b"https"));
    is_https && values.next().is_none()
}

/// Whether a media type is gRPC's, or begins as gRPC-Web's does.
fn begins_as_grpc(media_type: &[u8]) -> bool {
    media_type.get(..GRPC_TYPE.len()).is_some_and(|start| start.eq_ignore_ascii_case(GRPC_TYPE.as_bytes()))
}

/// Whether a media type is gRPC's, whatever the messages are made of. gRPC-Web is something else.
#[must_use]
pub fn is_grpc_type(media_type: &[u8]) -> bool {
    begins_as_grpc(media_type) && matches!(media_type.get(GRPC_TYPE.len()), None | Some(b'+' | b';' | b' '))
}

/// The answer to a request that is none that a gRPC route takes.
fn not_grpc(route: Transport, secure: bool, head: &RequestHead) -> Option<Response> {
    if !head.headers.get("content-type").is_some_and(begins_as_grpc) {
        return Some(Response::message(415, "Non-gRPC request matched gRPC route"));
    }
    if head.version != Version::Http2 {
        let response = Response::message(426, "Please use HTTP2 protocol");
        return Some(response.with_header("Connection", "Upgrade").with_header("Upgrade", "HTTP/2"));
    }
    let refused = route == Transport::SecureOnly && !secure;
    refused.then(|| Response {
        status: 200,
        headers: vec![
            ("Content-Type".into(), GRPC_TYPE.into()),
            ("grpc-status".into(), b"1".into()),
            ("grpc-message".into(), b"gRPC request matched gRPCs route".into()),
        ],
        body: ResponseBody::Empty,
    })
}

/// The answer to plain HTTP on a route that only speaks HTTPS.
fn to_https(status: u16, trusted: bool, request: &Request) -> Response {
    if status == 426 {
        return Response::message(426, "Please use HTTPS protocol")
            .with_header("Connection", "Upgrade")
            .with_header("Upgrade", "TLS/1.2, HTTP/1.1");
    }
    let host = request.host.as_bytes();
    let forwarded = if trusted { request.head.headers.get("x-forwarded-host") } else { None };
    let mut location = b"https://".to_vec();
    let host = forwarded.unwrap_or(host);
    if host.is_empty() {
        // Without a host the path would be read as one.
        return Response::failure(400, "Bad request");
    }
    location.extend_from_slice(host);
    location.extend_from_slice(request.head.path());
    if let Some(query) = request.head.query() {
        location.push(b'?');
        location.extend_from_slice(query);
    }
    Response { body: ResponseBody::Empty, ..Response::message(status, "") }.with_header("Location", location)
}
