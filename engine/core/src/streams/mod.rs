//! Proxying connections that are not HTTP: plain TCP, TLS that ends here, and TLS that ends at the service.
//!
//! A listener for streams belongs to the tenant of the host `*`. A connection has one route for its whole life, found by
//! its addresses and, where clients speak TLS, by the server name in the first message of their handshake.

mod connect;
pub mod hello;

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::StartHandshake;

use crate::budget::Admission;
use crate::config::hosts::HostTable;
use crate::config::tenant::Tenant;
use crate::counts::Share;
use crate::http1::head::Framing;
use crate::http1::pump::{Coding, Pump};
use crate::http1::tunnel::{End, join};
use crate::message::Scheme;
use crate::net::buffer::Buffer;
use crate::net::deadline::Deadline;
use crate::net::stream::Stream;
use crate::router::StreamInput;
use crate::tls::server::named;
use crate::worker::{Entrance, Worker};
use connect::{Reached, connect};
use hello::Hello;

/// Size of the read buffers of a connection that has not moved much yet.
const READ_BUFFER: usize = 8 * 1024;

/// A client whose route is known.
struct Routed {
    stream: Stream,
    /// What it has sent already, for the service to see.
    sent: Vec<u8>,
    /// Its address.
    source: IpAddr,
    route: usize,
}

/// Serves a connection until it ends.
pub async fn serve(worker: Rc<Worker>, tcp: TcpStream, peer: SocketAddr, entrance: Entrance) {
    let Some(tenant) = worker.shared.store.hosts.find(HostTable::ANY) else { return };
    // Held for as long as the stream lives.
    let Some(_charge) = charge(&worker, &tenant) else { return };
    let finding = find_route(&worker, &tenant, tcp, peer, entrance);
    let Ok(Some(client)) = timeout(worker.shared.timeouts.handshake, finding).await else { return };
    let Routed { stream, sent, source, route } = client;
    let scheme = if matches!(stream, Stream::Plain(_)) { Scheme::Http } else { Scheme::Https };
    if !tenant.routes[route].chain(scheme).admits(source) {
        return;
    }
    let Some(service) = tenant.routes[route].service.clone() else { return };
    let Some(reached) = connect(&worker, &tenant, &service, &stream, source).await else { return };
    tenant.counters.stream_began(worker.index);
    let (mut up, mut down) = (Pump::default(), Pump::default());
    for pump in [&mut up, &mut down] {
        pump.start(Framing::UntilClose, Coding::Identity, u64::MAX);
    }
    let already = sent.len() as u64;
    up.out = sent;
    let mut client = End { stream, buffer: Buffer::with_size(READ_BUFFER) };
    let Reached { stream: upstream, _held } = reached;
    let mut upstream = End { stream: upstream, buffer: Buffer::with_size(READ_BUFFER) };
    let mut deadline = Deadline::after(service.read_timeout);
    let from = (&mut client.stream, &mut client.buffer);
    let whole = join(from, &mut upstream, (&mut up, &mut down), &mut deadline, (&tenant, &service)).await;
    tenant.counters.stream_ended(worker.index, already + up.body_bytes(), down.body_bytes());
    if !whole {
        // What was cut off must not look as if it were complete.
        for stream in [&client.stream, &upstream.stream] {
            if let Some(tcp) = stream.tcp() {
                let _ = SockRef::from(tcp).set_linger(Some(Duration::ZERO));
            }
        }
    }
}

/// Takes a stream from its tenant's budget, before anything is done for it: it is one connection, and one request that
/// takes as long as it lives.
fn charge(worker: &Worker, tenant: &Tenant) -> Option<(Option<Share>, Admission)> {
    let (counters, limits) = (&tenant.counters, &tenant.limits);
    let connected = counters.budget.connect(limits);
    let admitted = connected.and_then(|share| {
        let admission = counters.budget.admit(limits, || worker.shared.clock.elapsed())?;
        Ok((share, admission))
    });
    if admitted.is_err() {
        counters.over_budget(worker.index);
    } else if !worker.load.admits(counters.recent(worker.index), || worker.random()) {
        counters.shed(worker.index);
        return None;
    }
    admitted.ok()
}

/// Finds the route of a client, after as much of a handshake as that takes.
async fn find_route(
    worker: &Worker,
    tenant: &Arc<Tenant>,
    mut tcp: TcpStream,
    peer: SocketAddr,
    entrance: Entrance,
) -> Option<Routed> {
    tcp.set_nodelay(true).ok()?;
    let destination = entrance.local(&tcp)?;
    let proxied = entrance.client(&mut tcp).await.ok()?;
    let client = tenant.trust.client_of_stream(peer.ip(), proxied);
    let source = SocketAddr::new(client, peer.port());
    let find = |protocol: &str, sni: Option<&str>| {
        let found = tenant.router.find_stream(&StreamInput { protocol, sni, source, destination });
        found.inspect_err(|_| tenant.counters.unroutable(worker.index))
    };
    if !entrance.tls {
        let route = find("tcp", None).ok()??;
        return Some(Routed { stream: Stream::Plain(tcp), sent: Vec::new(), source: client, route });
    }
    let Hello { accepted, bytes, nothing_after } = hello::read(&mut tcp).await.ok()?;
    let name = named(&accepted.client_hello());
    if let Some(route) = find("tls_passthrough", name.as_deref()).ok()? {
        return Some(Routed { stream: Stream::Plain(tcp), sent: bytes, source: client, route });
    }
    // Nobody has reason to send more before the answer, and it would be lost.
    let route = find("tls", name.as_deref()).ok()?.filter(|_| nothing_after)?;
    let (config, _) = worker.shared.tls.answer(Some(tenant), &accepted.client_hello(), false);
    let stream = StartHandshake::from_parts(accepted, tcp).into_stream(config).await.ok()?;
    Some(Routed { stream: Stream::Tls(Box::new(stream.into())), sent: Vec::new(), source: client, route })
}
