//! One thread of the engine: its own runtime, listeners, upstream connections and name cache.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::future::poll_fn;
use std::hash::BuildHasher;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::time::{MissedTickBehavior, timeout};
use tokio_rustls::TlsStream;

use crate::clients::{Clients, Presence};
use crate::clock::http_date;
use crate::counts::Share;
use crate::engine::{Shared, Speaks};
use crate::gateway::decide::Peer;
use crate::http1::connection::Connection;
use crate::http2;
use crate::message::Scheme;
use crate::net::buffer::Buffer;
use crate::net::proxy_protocol;
use crate::net::stream::Stream;
use crate::overload::{Load, TICK};
use crate::streams;
use crate::tls::server::Handshake;
use crate::upstream::kept::Kept;
use crate::upstream::multiplex::Multiplexed;
use crate::upstream::pool::{Pool, PoolKey};
use crate::upstream::resolve::Resolver;

/// How often idle upstream connections are looked through.
const SWEEP: Duration = Duration::from_secs(5);
/// Pause after a failed accept, which mostly means that file descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
/// How long connections may take to notice that they are to end, once they are idle.
const IDLE_GRACE: Duration = Duration::from_secs(1);
/// Said to a client that is one too many.
const REFUSAL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 1\r\nConnection: close\r\n\r\n";

/// What the connections of one thread share.
pub struct Worker {
    /// What all threads share.
    pub shared: Arc<Shared>,
    /// Number of this thread.
    pub index: usize,
    /// Idle upstream connections.
    pub pool: RefCell<Pool>,
    /// Idle connections of plugins.
    pub kept: RefCell<Kept>,
    /// HTTP/2 connections to upstreams.
    pub multiplexed: RefCell<Multiplexed>,
    /// Known names.
    pub resolver: RefCell<Resolver>,
    /// Set once the engine stops: connections end after their current request.
    pub stopping: Cell<bool>,
    clients: RefCell<Clients>,
    /// Tasks of this thread that deliver records.
    pub(crate) senders: Cell<usize>,
    /// Told once the engine stops, for tasks that wait.
    pub(crate) flush: Notify,
    /// How late this thread is, and who may come in then.
    pub load: Load,
    retired: Cell<u64>,
    random: Cell<u64>,
    date: RefCell<(u64, Rc<str>)>,
}

/// Takes a connection off the list, also when its task panics.
pub(crate) struct Registration {
    worker: Rc<Worker>,
    slot: usize,
}

impl Drop for Registration {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.worker.shared.counts.panicked();
        }
        self.worker.clients.borrow_mut().remove(self.slot);
        self.worker.shared.counts.closed();
    }
}

/// Counts a panic that it is dropped by, in a task that is no connection's own.
pub(crate) struct Witness(Rc<Worker>);

impl Witness {
    pub(crate) fn new(worker: &Rc<Worker>) -> Self {
        Self(worker.clone())
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.shared.counts.panicked();
        }
    }
}

/// A listener of a thread.
pub struct Listener {
    /// Bound, listening and non-blocking.
    pub socket: std::net::TcpListener,
    /// Whether clients speak TLS.
    pub tls: bool,
    /// What else they speak.
    pub speaks: Speaks,
    /// Port that clients know, if it is another one.
    pub public_port: Option<NonZeroU16>,
    /// Whether a balancer tells first whom it speaks for.
    pub proxy_protocol: bool,
}

/// The phases of stopping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Serve.
    No,
    /// Accept nothing more and end what is in flight until then.
    Until(Instant),
}

impl Worker {
    /// A worker; to be made on its own thread.
    #[must_use]
    pub fn new(shared: Arc<Shared>, index: usize) -> Self {
        let seed = std::hash::RandomState::new().hash_one(index);
        Self {
            shared,
            index,
            pool: RefCell::default(),
            kept: RefCell::default(),
            multiplexed: RefCell::default(),
            resolver: RefCell::default(),
            stopping: Cell::new(false),
            clients: RefCell::default(),
            senders: Cell::new(0),
            flush: Notify::new(),
            load: Load::default(),
            retired: Cell::new(0),
            random: Cell::new(seed),
            date: RefCell::new((u64::MAX, Rc::from(""))),
        }
    }

    /// A fresh request id: 32 hexadecimal digits. Unique, not secret.
    pub fn request_id(&self, id: &mut String) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut digits = [0; 32];
        let numbers = [self.next_random(), self.next_random()].map(u64::to_be_bytes);
        for (pair, byte) in digits.chunks_exact_mut(2).zip(numbers.as_flattened()) {
            pair[0] = HEX[usize::from(byte >> 4)];
            pair[1] = HEX[usize::from(byte & 15)];
        }
        id.clear();
        id.push_str(std::str::from_utf8(&digits).unwrap_or_default());
    }

    /// The value of `Date`, made once a second.
    pub fn date(&self) -> Rc<str> {
        let now = self.shared.clock.since_epoch();
        let mut date = self.date.borrow_mut();
        if date.0 != now.as_secs() {
            *date = (now.as_secs(), http_date(now).into());
        }
        date.1.clone()
    }

    /// Uniform in 0..1.
    pub fn random(&self) -> f64 {
        f64::from(u32::try_from(self.next_random() >> 32).unwrap_or(u32::MAX)) / (f64::from(u32::MAX) + 1.0)
    }

    /// Any number; `SplitMix64`.
    pub(crate) fn next_random(&self) -> u64 {
        let state = self.random.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.random.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Serves until told to stop, then until the last connection has ended or the time is over.
    pub async fn run(self: Rc<Self>, listeners: Vec<Listener>, mut stop: watch::Receiver<Stop>) {
        let mut doors = Vec::new();
        for listener in listeners {
            let door = Door::open(listener).map(Rc::new);
            doors.extend(door.map(|door| (door.clone(), tokio::task::spawn_local(accept(self.clone(), door)))));
        }
        drop(tokio::task::spawn_local(self.clone().watch_load()));
        let mut sweep = tokio::time::interval(SWEEP);
        let deadline = loop {
            tokio::select! {
                changed = stop.changed() => match (changed, *stop.borrow()) {
                    (Ok(()), Stop::Until(deadline)) => break deadline,
                    (Err(_), _) => break Instant::now(),
                    _ => {}
                },
                _ = sweep.tick() => self.sweep().await,
            }
        };
        self.stopping.set(true);
        for (door, accepting) in doors {
            accepting.abort();
            door.admit_waiting(&self);
        }
        self.pool.borrow_mut().clear();
        self.kept.borrow_mut().clear();
        self.flush.notify_waiters();
        self.clients.borrow().dismiss();
        let patience = Instant::now() + IDLE_GRACE;
        while self.clients.borrow().len() > 0 && Instant::now() < deadline {
            if Instant::now() > patience {
                self.clients.borrow().abort(true);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.clients.borrow().abort(false);
        tokio::task::yield_now().await;
        // What the last requests have left to be delivered.
        self.flush.notify_waiters();
        while self.senders.get() > 0 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// A task among the others, so that it waits for its turn as long as they do.
    async fn watch_load(self: Rc<Self>) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let due = ticks.tick().await;
            self.load.tick(due.elapsed(), self.shared.timeouts.delay);
        }
    }

    /// Closes the connections to upstreams that nobody uses any more, or nobody can: those of tenants that are gone, and
    /// those to addresses that have left their upstream.
    async fn sweep(&self) {
        let mut seen = self.retired.get();
        let left: HashSet<_> = self.shared.upkeep.retired.since(&mut seen).into_iter().collect();
        self.retired.set(seen);
        // Looked up rather than told, because a request that was under way may have put its connection back since.
        let tenants = self.shared.store.live();
        if self.index == 0 {
            let now = self.shared.clock.since_epoch().as_secs();
            tenants.values().for_each(|slot| slot.current.load().responses.sweep(now));
        }
        let is_wanted = |key: &PoolKey| tenants.contains_key(&key.tenant) && !left.contains(&(key.tenant, key.address));
        poll_fn(|cx| {
            self.pool.borrow_mut().sweep(Instant::now(), is_wanted, cx);
            self.kept.borrow_mut().sweep(Instant::now(), is_wanted, cx);
            self.multiplexed.borrow_mut().sweep(Instant::now(), is_wanted, cx);
            Poll::Ready(())
        })
        .await;
    }

    pub(crate) fn register(self: &Rc<Self>, presence: Rc<Presence>) -> Registration {
        let slot = self.clients.borrow_mut().add(presence);
        self.shared.counts.opened();
        Registration { worker: self.clone(), slot }
    }

    /// The right to one more upstream connection. If there are too many, this thread's idle ones make room.
    pub(crate) fn share_of_connections(&self) -> Option<Share> {
        let take = || self.shared.counts.upstream(self.shared.bounds.upstream_connections);
        take().or_else(|| {
            self.pool.borrow_mut().clear();
            self.kept.borrow_mut().clear();
            self.multiplexed.borrow_mut().clear();
            take()
        })
    }

    /// Whether another client may come in. If there are too many, one that is idle leaves for it.
    fn has_room(&self) -> bool {
        self.shared.counts.open() < self.shared.bounds.connections || self.clients.borrow_mut().make_room()
    }
}

/// A listener within the thread's runtime.
struct Door {
    socket: TcpListener,
    entrance: Entrance,
    speaks: Speaks,
}

/// What is true of every connection that comes through a door.
#[derive(Debug, Clone, Copy)]
pub struct Entrance {
    /// What it listens to, by the port that clients know.
    address: SocketAddr,
    /// Whether they speak TLS.
    pub tls: bool,
    /// Whether a balancer tells first whom it speaks for.
    proxied: bool,
}

impl Entrance {
    /// What a client has connected to, by the port that it knows; `None` if it is gone.
    pub fn local(&self, stream: &TcpStream) -> Option<SocketAddr> {
        if self.address.ip().is_unspecified() {
            let connected = stream.local_addr().ok()?.ip().to_canonical();
            Some(SocketAddr::new(connected, self.address.port()))
        } else {
            Some(self.address)
        }
    }

    /// Reads what a balancer tells of the client, where one does. The caller bounds the time.
    ///
    /// # Errors
    /// What comes first is no such header.
    pub async fn client(&self, stream: &mut TcpStream) -> io::Result<Option<IpAddr>> {
        if self.proxied { proxy_protocol::read(stream).await } else { Ok(None) }
    }
}

impl Door {
    fn open(listener: Listener) -> Option<Self> {
        let socket = TcpListener::from_std(listener.socket).ok()?;
        let mut address = socket.local_addr().ok()?;
        address.set_port(listener.public_port.map_or(address.port(), NonZeroU16::get));
        let entrance = Entrance { address, tls: listener.tls, proxied: listener.proxy_protocol };
        Some(Self { socket, entrance, speaks: listener.speaks })
    }

    /// Lets a client in, or turns it away.
    fn admit(&self, worker: &Rc<Worker>, stream: TcpStream, peer: SocketAddr) {
        if !worker.has_room() {
            worker.shared.counts.refused();
            if !self.entrance.tls && self.speaks == Speaks::Http {
                // As much as the socket takes at once; nobody is waited for here.
                let _ = SockRef::from(&stream).send(REFUSAL);
            }
            return;
        }
        let presence = Rc::new(Presence::default());
        let registration = worker.register(presence.clone());
        let slot = registration.slot;
        let task = match self.speaks {
            Speaks::Http => tokio::task::spawn_local(client(registration, stream, peer, self.entrance, presence)),
            Speaks::Stream => {
                let serving = streams::serve(worker.clone(), stream, peer, self.entrance);
                tokio::task::spawn_local(async move {
                    let _registration = registration;
                    serving.await;
                })
            }
        };
        worker.clients.borrow_mut().set_task(slot, task.abort_handle());
    }

    /// Lets everyone in who has connected already: closing the listener would reset them.
    fn admit_waiting(&self, worker: &Rc<Worker>) {
        while let Ok((socket, peer)) = SockRef::from(&self.socket).accept() {
            let stream: std::net::TcpStream = socket.into();
            let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
            if let (Ok(stream), Some(peer)) = (stream, peer.as_socket()) {
                self.admit(worker, stream, peer);
            }
        }
    }
}

async fn accept(worker: Rc<Worker>, door: Rc<Door>) {
    loop {
        match door.socket.accept().await {
            Ok((stream, peer)) => door.admit(&worker, stream, peer),
            // A client that left while it waited is no reason to keep others waiting.
            Err(error) if is_peers_fault(&error) => {}
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

fn is_peers_fault(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, PermissionDenied};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted | PermissionDenied)
}

async fn client(
    registration: Registration,
    mut stream: TcpStream,
    peer: SocketAddr,
    entrance: Entrance,
    presence: Rc<Presence>,
) {
    let worker = registration.worker.clone();
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let mut proxied = None;
    if entrance.proxied {
        let told = timeout(worker.shared.timeouts.handshake, entrance.client(&mut stream)).await;
        let Ok(Ok(client)) = told else { return };
        proxied = client;
    }
    let scheme = if entrance.tls { Scheme::Https } else { Scheme::Http };
    let Some(local) = entrance.local(&stream) else { return };
    let mut facts = Peer {
        address: peer.ip(),
        port: peer.port(),
        proxied,
        local,
        scheme,
        handshake: Handshake::default(),
        attachment: Rc::default(),
    };
    let stream = if entrance.tls {
        let accepting = worker.shared.tls.accept(&worker.shared.store.hosts, stream);
        let Ok(Ok((stream, handshake))) = timeout(worker.shared.timeouts.handshake, accepting).await else {
            return;
        };
        facts.handshake = handshake;
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let stream = Stream::Tls(Box::new(TlsStream::Server(stream)));
        if http2 {
            return http2::serve(worker, stream, Buffer::default(), facts, presence).await;
        }
        stream
    } else {
        Stream::Plain(stream)
    };
    Connection::new(worker, stream, facts, presence).serve().await;
    drop(registration);
}
