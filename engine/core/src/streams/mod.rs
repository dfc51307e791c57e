//! Proxying connections that are not HTTP: plain TCP, TLS that ends here, and TLS that ends at the service.
//!
//! A listener for streams belongs to the tenant of the host `*`. A connection has one route for its whole life, found by
//! its addresses and, where clients speak TLS, by the server name in the first message of their handshake.

mod connect;
pub mod hello;

use std::cell::OnceCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

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
use crate::phases::StreamRecord;
use crate::phases::chain::Chain;
use crate::router::StreamInput;
use crate::tls::server::{Spoken, named};
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
    /// The port that it knows.
    port: u16,
    route: usize,
}

impl Routed {
    /// Version and cipher of its TLS, if that ends here.
    fn spoken(&self) -> Option<Spoken> {
        match &self.stream {
            Stream::Tls(stream) => Spoken::on(stream.get_ref().1),
            _ => None,
        }
    }
}

/// Serves a connection until it ends.
pub async fn serve(worker: Rc<Worker>, tcp: TcpStream, peer: SocketAddr, entrance: Entrance) {
    let started = Instant::now();
    let Some(tenant) = worker.shared.store.hosts.find(HostTable::ANY) else { return };
    // Held for as long as the stream lives.
    let Some(_charge) = charge(&worker, &tenant) else { return };
    let finding = find_route(&worker, &tenant, tcp, peer, entrance);
    let Ok(Some(client)) = timeout(worker.shared.timeouts.handshake, finding).await else { return };
    let route = &tenant.routes[client.route];
    let scheme = if matches!(client.stream, Stream::Plain(_)) { Scheme::Http } else { Scheme::Https };
    let chain = route.chain(scheme).clone();
    let (source, port, spoken) = (client.source, client.port, client.spoken());
    let became = carry(&worker, &tenant, client, &chain).await;
    let mut logging = chain.logging().peekable();
    if logging.peek().is_none() {
        return;
    }
    let record = StreamRecord {
        tenant: &tenant,
        route,
        client: source,
        port,
        spoken,
        status: became.status,
        bytes: became.bytes,
        service_at: became.service_at,
        connecting: became.connecting,
        elapsed: started.elapsed(),
        worker: &worker,
        document: OnceCell::new(),
    };
    logging.for_each(|instance| instance.plugin.log_stream(&record));
}

/// What became of a stream.
#[derive(Default)]
struct Became {
    status: u16,
    bytes: (u64, u64),
    service_at: Option<SocketAddr>,
    connecting: Duration,
}

/// Carries a client's bytes to its service and back, until there are no more.
async fn carry(worker: &Rc<Worker>, tenant: &Tenant, client: Routed, chain: &Chain) -> Became {
    let Routed { stream, sent, source, route, .. } = client;
    let failed = |status| Became { status, ..Became::default() };
    if !chain.admits(source) {
        return failed(403);
    }
    let Some(service) = tenant.routes[route].service.clone() else { return failed(502) };
    let asked = Instant::now();
    let reached = connect(worker, tenant, &service, &stream, source).await;
    let connecting = asked.elapsed();
    let Some(reached) = reached else { return Became { connecting, ..failed(502) } };
    tenant.counters.stream_began(worker.index);
    let (mut up, mut down) = (Pump::default(), Pump::default());
    for pump in [&mut up, &mut down] {
        pump.start(Framing::UntilClose, Coding::Identity, u64::MAX);
    }
    let already = sent.len() as u64;
    up.out = sent;
    let mut client = End { stream, buffer: Buffer::with_size(READ_BUFFER) };
    let Reached { stream: upstream, address, _held } = reached;
    let mut upstream = End { stream: upstream, buffer: Buffer::with_size(READ_BUFFER) };
    let mut deadline = Deadline::after(service.read_timeout);
    let from = (&mut client.stream, &mut client.buffer);
    let whole = join(from, &mut upstream, (&mut up, &mut down), &mut deadline, (tenant, &service)).await;
    let bytes = (already + up.body_bytes(), down.body_bytes());
    tenant.counters.stream_ended(worker.index, bytes.0, bytes.1);
    if !whole {
        // What was cut off must not look as if it were complete.
        for stream in [&client.stream, &upstream.stream] {
            if let Some(tcp) = stream.tcp() {
                let _ = SockRef::from(tcp).set_linger(Some(Duration::ZERO));
            }
        }
    }
    Became { status: if whole { 200 } else { 500 }, bytes, service_at: Some(address), connecting }
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
        return Some(Routed {
            stream: Stream::Plain(tcp),
            sent: Vec::new(),
            source: client,
            port: destination.port(),
            route,
        });
    }
    let Hello { accepted, bytes, nothing_after } = hello::read(&mut tcp).await.ok()?;
    let name = named(&accepted.client_hello());
    if let Some(route) = find("tls_passthrough", name.as_deref()).ok()? {
        return Some(Routed {
            stream: Stream::Plain(tcp),
            sent: bytes,
            source: client,
            port: destination.port(),
            route,
        });
    }
    // Nobody has reason to send more before the answer, and it would be lost.
    let route = find("tls", name.as_deref()).ok()?.filter(|_| nothing_after)?;
    let (config, _) = worker.shared.tls.answer(Some(tenant), &accepted.client_hello(), false);
    let stream = StartHandshake::from_parts(accepted, tcp).into_stream(config).await.ok()?;
    Some(Routed {
        stream: Stream::Tls(Box::new(stream.into())),
        sent: Vec::new(),
        source: client,
        port: destination.port(),
        route,
    })
}
