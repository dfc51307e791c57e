//! What is noted of an exchange for those who log it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Tries of one exchange that are noted. A service may be configured to have very many.
const MOST_TRIES: usize = 64;

/// Notes about one exchange. A connection reuses them; where no plugin logs, they stay empty and cost nothing.
#[derive(Debug, Default)]
pub struct Account {
    /// Bytes of the request's head.
    pub head_bytes: u64,
    /// The head that the client was sent, as it was written; empty if it got none.
    pub sent_head: Vec<u8>,
    /// Whether a service was, or should have been, asked.
    pub is_proxied: bool,
    /// Whether the response is the service's.
    pub is_upstreams: bool,
    /// The status that it had when it came.
    pub upstream_status: u16,
    /// The attempts to get a response.
    pub tries: Vec<Try>,
    /// When its route was known. As the turns, noted where a plugin of the chain wants that.
    pub routed: Option<Instant>,
    /// The turns of plugins in the access phase.
    pub turns: Vec<Turn>,
}

/// A plugin's turn.
#[derive(Debug, Clone, Copy)]
pub struct Turn {
    /// Its kind's index in the registry.
    pub kind: usize,
    /// When it began.
    pub began: Instant,
    /// How long it took.
    pub took: Duration,
}

/// An attempt to get a response.
#[derive(Debug, Clone, Copy)]
pub struct Try {
    /// When it began to be known where to.
    pub began: Instant,
    /// How long finding that out took.
    pub choosing: Duration,
    /// Where to.
    pub address: SocketAddr,
    /// Whether the connection had been used before.
    pub kept_alive: bool,
    /// The status that stands for its failure.
    pub failure: Option<u16>,
}

impl Account {
    /// Forgets the exchange before. The request's head has so many bytes.
    pub(crate) fn start(&mut self, head_bytes: usize) {
        self.head_bytes = head_bytes as u64;
        self.is_proxied = false;
        self.is_upstreams = false;
        self.sent_head.clear();
        self.tries.clear();
        self.routed = None;
        self.turns.clear();
    }

    /// Notes an attempt.
    pub(crate) fn tried(&mut self, attempt: Try) {
        if self.tries.len() < MOST_TRIES {
            self.tries.push(attempt);
        }
    }
}
