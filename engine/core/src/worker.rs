//! One thread of the engine: its own runtime, listeners, upstream connections and name cache.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::hash::BuildHasher;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio_rustls::{TlsAcceptor, TlsStream};

use crate::clock::http_date;
use crate::engine::Shared;
use crate::gateway::decide::Peer;
use crate::http1::connection::Connection;
use crate::http2;
use crate::message::Scheme;
use crate::net::buffer::Buffer;
use crate::net::stream::Stream;
use crate::upstream::pool::Pool;
use crate::upstream::resolve::Resolver;

/// How often idle upstream connections are looked through.
const SWEEP: Duration = Duration::from_secs(5);
/// Pause after a failed accept, which mostly means that file descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// What the connections of one thread share.
pub struct Worker {
    /// What all threads share.
    pub shared: Arc<Shared>,
    /// Number of this thread.
    pub index: usize,
    /// Idle upstream connections.
    pub pool: RefCell<Pool>,
    /// Known names.
    pub resolver: RefCell<Resolver>,
    /// Set once the engine stops: connections end after their current request.
    pub stopping: Cell<bool>,
    clients: RefCell<Clients>,
    random: Cell<u64>,
    date: RefCell<(u64, Rc<str>)>,
}

/// The client connections of a thread.
#[derive(Default)]
struct Clients {
    slots: Vec<Option<Client>>,
    free: Vec<usize>,
}

struct Client {
    task: Option<AbortHandle>,
    idle: Rc<Cell<bool>>,
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
        let mut clients = self.worker.clients.borrow_mut();
        clients.slots[self.slot] = None;
        clients.free.push(self.slot);
        self.worker.shared.counts.closed();
    }
}

/// A listener of a thread.
pub struct Listener {
    /// Bound, listening and non-blocking.
    pub socket: std::net::TcpListener,
    /// Present on TLS listeners.
    pub tls: Option<TlsAcceptor>,
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
            resolver: RefCell::default(),
            stopping: Cell::new(false),
            clients: RefCell::default(),
            random: Cell::new(seed),
            date: RefCell::new((u64::MAX, Rc::from(""))),
        }
    }

    /// A fresh request id: 32 hexadecimal digits. Unique, not secret.
    pub fn request_id(&self, id: &mut String) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        id.clear();
        for _ in 0..2 {
            for byte in self.next_random().to_be_bytes() {
                id.push(char::from(HEX[usize::from(byte >> 4)]));
                id.push(char::from(HEX[usize::from(byte & 15)]));
            }
        }
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

    /// `SplitMix64`.
    fn next_random(&self) -> u64 {
        let state = self.random.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.random.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Serves until told to stop, then until the last connection has ended or the time is over.
    pub async fn run(self: Rc<Self>, listeners: Vec<Listener>, mut stop: watch::Receiver<Stop>) {
        let mut accepting = Vec::new();
        for listener in listeners {
            accepting.push(tokio::task::spawn_local(accept(self.clone(), listener)));
        }
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
        for task in accepting {
            task.abort();
        }
        self.pool.borrow_mut().clear();
        // New connections may still be registering; idle ones are looked for until none is left.
        while self.close_idle() > 0 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for client in self.clients.borrow().slots.iter().flatten() {
            if let Some(task) = &client.task {
                task.abort();
            }
        }
        tokio::task::yield_now().await;
    }

    async fn sweep(&self) {
        poll_fn(|cx| {
            self.pool.borrow_mut().sweep(Instant::now(), cx);
            Poll::Ready(())
        })
        .await;
    }

    /// Ends the connections that wait for a request; returns how many others there are.
    fn close_idle(&self) -> usize {
        let mut busy = 0;
        for client in self.clients.borrow().slots.iter().flatten() {
            match &client.task {
                Some(task) if client.idle.get() => task.abort(),
                _ => busy += 1,
            }
        }
        busy
    }

    pub(crate) fn register(self: &Rc<Self>, idle: Rc<Cell<bool>>) -> Registration {
        let mut clients = self.clients.borrow_mut();
        let slot = clients.free.pop().unwrap_or(clients.slots.len());
        if slot == clients.slots.len() {
            clients.slots.push(None);
        }
        clients.slots[slot] = Some(Client { task: None, idle });
        self.shared.counts.opened();
        Registration { worker: self.clone(), slot }
    }
}

async fn accept(worker: Rc<Worker>, listener: Listener) {
    let Ok(socket) = TcpListener::from_std(listener.socket) else { return };
    let Ok(local) = socket.local_addr() else { return };
    loop {
        match socket.accept().await {
            Ok((stream, peer)) => {
                let idle = Rc::new(Cell::new(false));
                let registration = worker.register(idle.clone());
                let slot = registration.slot;
                let tls = listener.tls.clone();
                let task = tokio::task::spawn_local(client(registration, stream, peer, local, tls, idle));
                if let Some(Some(client)) = worker.clients.borrow_mut().slots.get_mut(slot) {
                    client.task = Some(task.abort_handle());
                }
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn client(
    registration: Registration,
    stream: TcpStream,
    peer: SocketAddr,
    local: SocketAddr,
    tls: Option<TlsAcceptor>,
    idle: Rc<Cell<bool>>,
) {
    let worker = registration.worker.clone();
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let scheme = if tls.is_some() { Scheme::Https } else { Scheme::Http };
    let mut facts = Peer { address: peer.ip(), local_port: local.port(), scheme, server_name: None };
    let stream = match tls {
        None => Stream::Plain(stream),
        Some(acceptor) => {
            let limit = worker.shared.timeouts.handshake;
            let Ok(Ok(stream)) = tokio::time::timeout(limit, acceptor.accept(stream)).await else { return };
            let session = stream.get_ref().1;
            facts.server_name = session.server_name().map(str::to_ascii_lowercase);
            let http2 = session.alpn_protocol() == Some(b"h2");
            let stream = Stream::Tls(Box::new(TlsStream::Server(stream)));
            if http2 {
                return http2::serve(worker, stream, Buffer::default(), facts, idle).await;
            }
            stream
        }
    };
    Connection::new(worker, stream, facts, idle).serve().await;
    drop(registration);
}
