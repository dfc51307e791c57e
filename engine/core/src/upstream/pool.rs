//! Idle upstream connections of one thread.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Context;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;

use super::tls::TlsIdentity;
use crate::counts::Share;
use crate::net::buffer::Buffer;
use crate::net::stream::Stream;

/// Size of a connection's read buffer while it is idle.
const READ_BUFFER: usize = 16 * 1024;
/// How long a connection may lie idle. Below the 75 s after which nginx and others close their side.
const IDLE: Duration = Duration::from_secs(60);
/// Idle connections kept for one key.
const MOST_PER_KEY: usize = 256;
/// Idle connections kept by one thread.
const MOST: usize = 4096;
/// Buffers kept by one thread for connections that are taken up again.
const MOST_BUFFERS: usize = 64;

/// Connections are interchangeable only within one tenant, address and TLS identity: a tenant whose upstream leaves
/// a connection in a bad state can hurt nobody else.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PoolKey {
    /// The tenant's number in this process.
    pub tenant: u64,
    /// The address connected to.
    pub address: SocketAddr,
    /// Whom TLS was spoken with; `None` for plain HTTP.
    pub tls: Option<Arc<TlsIdentity>>,
}

/// A connection to an upstream.
#[derive(Debug)]
pub struct Connection {
    /// The socket.
    pub stream: Stream,
    /// What was read from it and not yet used.
    pub buffer: Buffer,
    /// Whether it has carried a request before.
    pub reused: bool,
    /// The right to the connection; a stream on a shared one has none of its own.
    pub share: Option<Share>,
}

impl Connection {
    /// A connection that has carried nothing yet.
    #[must_use]
    pub fn new(stream: Stream, share: Option<Share>) -> Self {
        Self { stream, buffer: Buffer::with_size(READ_BUFFER), reused: false, share }
    }
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Instant,
}

/// The idle connections of one thread, newest first. They leave their buffers to those that are in use: thousands lie
/// idle where dozens are busy.
#[derive(Debug, Default)]
pub struct Pool {
    idle: HashMap<PoolKey, Vec<Idle>, RandomState>,
    count: usize,
    buffers: Vec<Buffer>,
}

impl Pool {
    /// Takes a connection that is still usable. The newest one is the least likely to be closed by the upstream.
    pub fn take(&mut self, key: &PoolKey, now: Instant, cx: &mut Context<'_>) -> Option<Connection> {
        let list = self.idle.get_mut(key)?;
        while let Some(mut idle) = list.pop() {
            self.count -= 1;
            if now.duration_since(idle.since) < IDLE && idle.connection.stream.is_quiet(cx) {
                idle.connection.buffer = self.buffers.pop().unwrap_or_else(|| Buffer::with_size(READ_BUFFER));
                return Some(idle.connection);
            }
        }
        None
    }

    /// Keeps a connection for later; drops it if there are enough. Nothing may be left in its buffer.
    pub fn put(&mut self, key: &PoolKey, mut connection: Connection, now: Instant) {
        if self.count >= MOST {
            return;
        }
        connection.reused = true;
        let mut buffer = std::mem::take(&mut connection.buffer);
        if self.buffers.len() < MOST_BUFFERS {
            buffer.shrink(READ_BUFFER);
            self.buffers.push(buffer);
        }
        let idle = Idle { connection, since: now };
        match self.idle.get_mut(key) {
            Some(list) if list.len() >= MOST_PER_KEY => return,
            Some(list) => list.push(idle),
            None => drop(self.idle.insert(key.clone(), vec![idle])),
        }
        self.count += 1;
    }

    /// Drops what has been idle too long, was closed by the upstream, or is not wanted.
    pub fn sweep(&mut self, now: Instant, is_wanted: impl Fn(&PoolKey) -> bool, cx: &mut Context<'_>) {
        self.idle.retain(|key, list| {
            let is_usable =
                |idle: &mut Idle| now.duration_since(idle.since) < IDLE && idle.connection.stream.is_quiet(cx);
            if is_wanted(key) {
                list.retain_mut(is_usable);
            } else {
                list.clear();
            }
            !list.is_empty()
        });
        self.count = self.idle.values().map(Vec::len).sum();
    }

    /// Drops everything.
    pub fn clear(&mut self) {
        self.idle.clear();
        self.count = 0;
    }

    /// Number of idle connections.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is no idle connection.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}
