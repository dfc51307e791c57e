//! HTTP/2 connections of one thread to upstreams. Several exchanges share one.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Context;
use std::time::{Duration, Instant};

use bytes::Bytes;
use foldhash::fast::RandomState;
use h2::client::{Builder, SendRequest};
use tokio::sync::Notify;

use super::connect::dial;
use super::pool::{Connection, PoolKey};
use super::pulse::{Pulse, Watch};
use crate::counts::Share;
use crate::http2::{CONNECTION_WINDOW, Outgoing, Place, SEND_BUFFER, STREAM_WINDOW};
use crate::net::buffer::Buffer;
use crate::net::io::Io;
use crate::net::stream::Stream;
use crate::worker::{Witness, Worker};

/// How long a connection may lie idle.
const IDLE: Duration = Duration::from_secs(60);
/// Exchanges that share a connection; more get another one. The upstream may allow fewer.
const MOST_STREAMS: usize = 100;
/// Largest response head.
const LARGEST_HEAD: u32 = 64 * 1024;
/// Size of the buffer that an exchange reads into.
const READ_BUFFER: usize = 4 * 1024;

/// A connection that takes calls. It ends once nobody holds a sender and no stream is open.
#[derive(Debug)]
struct Shared {
    sender: SendRequest<Bytes>,
    open: Rc<Cell<usize>>,
    pulse: Rc<Pulse>,
    ended: Rc<Cell<bool>>,
    used: Cell<Instant>,
}

impl Shared {
    fn has_room(&self) -> bool {
        self.open.get() < self.sender.current_max_send_streams().min(MOST_STREAMS)
    }

    fn is_sure(&self, now: Instant) -> bool {
        self.pulse.is_sure(now, self.open.get() > 0)
    }

    fn is_over(&self, cx: &mut Context<'_>) -> bool {
        self.ended.get()
            || self.pulse.is_shunned()
            || matches!(self.sender.clone().poll_ready(cx), std::task::Poll::Ready(Err(_)))
    }
}

/// The connections of one thread.
#[derive(Debug, Default)]
pub struct Multiplexed {
    connections: HashMap<PoolKey, Vec<Shared>, RandomState>,
    opening: HashMap<PoolKey, Rc<Notify>>,
}

impl Multiplexed {
    /// A stream on a connection that has room for one and is sure to be alive.
    pub fn take(&mut self, key: &PoolKey, now: Instant, cx: &mut Context<'_>) -> Option<Connection> {
        let list = self.connections.get_mut(key)?;
        list.retain(|shared| !shared.is_over(cx));
        let shared = list.iter().find(|shared| shared.has_room() && shared.is_sure(now))?;
        shared.used.set(now);
        shared.pulse.trust(now);
        Some(stream(shared, key, true))
    }

    /// A connection that has room and may be dead: to be asked before it is used.
    #[must_use]
    pub fn unsure(&self, key: &PoolKey, now: Instant) -> Option<Rc<Pulse>> {
        let list = self.connections.get(key)?;
        list.iter().find(|shared| shared.has_room() && !shared.is_sure(now)).map(|shared| shared.pulse.clone())
    }

    /// Whoever opens a connection for the key already: to be waited for.
    #[must_use]
    pub fn opening(&self, key: &PoolKey) -> Option<Rc<Notify>> {
        self.opening.get(key).cloned()
    }

    /// Drops what has been idle too long, has ended, or is not wanted; streams that are open come to their end.
    pub fn sweep(&mut self, now: Instant, is_wanted: impl Fn(&PoolKey) -> bool, cx: &mut Context<'_>) {
        self.connections.retain(|key, list| {
            let is_wanted = is_wanted(key);
            list.retain(|shared| {
                let idle = shared.open.get() == 0 && now.duration_since(shared.used.get()) >= IDLE;
                is_wanted && !idle && !shared.is_over(cx)
            });
            !list.is_empty()
        });
    }

    /// Drops the connections that nothing goes through.
    pub fn clear(&mut self) {
        self.connections.retain(|_, list| {
            list.retain(|shared| shared.open.get() > 0);
            !list.is_empty()
        });
    }
}

/// Says that a connection is being opened, for as long as it lives.
#[derive(Debug)]
pub struct Opening<'a> {
    pool: &'a RefCell<Multiplexed>,
    key: &'a PoolKey,
}

impl<'a> Opening<'a> {
    /// Has others wait.
    #[must_use]
    pub fn of(pool: &'a RefCell<Multiplexed>, key: &'a PoolKey) -> Self {
        pool.borrow_mut().opening.insert(key.clone(), Rc::default());
        Self { pool, key }
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        if let Some(waiting) = self.pool.borrow_mut().opening.remove(self.key) {
            waiting.notify_waiters();
        }
    }
}

/// Opens a connection to an address, with TLS if the key says so, and a stream on it. The caller bounds the time.
pub async fn open(worker: &Rc<Worker>, key: &PoolKey, share: Share) -> io::Result<Connection> {
    let socket = dial(&worker.shared.upkeep.tls, key, &["h2"]).await?;
    if matches!(&socket, Stream::Tls(tls) if tls.get_ref().1.alpn_protocol() != Some(b"h2")) {
        return Err(io::Error::other("no HTTP/2"));
    }
    let (sender, mut connection) = Builder::new()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(LARGEST_HEAD)
        .max_send_buffer_size(SEND_BUFFER)
        .enable_push(false)
        .handshake::<_, Bytes>(Io::new(socket, Buffer::default()))
        .await
        .map_err(io::Error::other)?;
    let timeouts = &worker.shared.timeouts;
    let pings = connection.ping_pong().ok_or(io::ErrorKind::Other)?;
    let shared = Shared {
        sender,
        open: Rc::default(),
        pulse: Rc::new(Pulse::new(timeouts)),
        ended: Rc::default(),
        used: Cell::new(Instant::now()),
    };
    let mut watch = Watch::new(shared.pulse.clone(), shared.open.clone(), pings, timeouts);
    let (ended, witness) = (shared.ended.clone(), Witness::new(worker));
    drop(tokio::task::spawn_local(async move {
        let (_witness, _share) = (witness, share);
        // How the connection ended is told to each of its streams, also when it is given up.
        poll_fn(|cx| {
            let ended = Pin::new(&mut connection).poll(cx).map(drop);
            if ended.is_ready() { ended } else { watch.poll(cx) }
        })
        .await;
        ended.set(true);
    }));
    let first = stream(&shared, key, false);
    worker.multiplexed.borrow_mut().connections.entry(key.clone()).or_default().push(shared);
    Ok(first)
}

fn stream(shared: &Shared, key: &PoolKey, reused: bool) -> Connection {
    let outgoing =
        Outgoing::new(shared.sender.clone(), key.tls.is_some(), shared.pulse.clone(), Place::of(&shared.open));
    Connection {
        stream: Stream::Translated(Box::new(outgoing)),
        buffer: Buffer::with_size(READ_BUFFER),
        reused,
        share: None,
    }
}
