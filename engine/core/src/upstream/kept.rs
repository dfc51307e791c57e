//! Idle connections of one thread on which plugins speak protocols of their own.

use std::collections::HashMap;
use std::task::Context;
use std::time::{Duration, Instant};

use super::pool::PoolKey;
use crate::counts::Share;
use crate::net::io::Io;

/// How long a connection may lie idle.
const IDLE: Duration = Duration::from_secs(60);
/// Idle connections kept for one tenant.
const MOST_OF_ONE: usize = 64;
/// Idle connections kept by one thread.
const MOST: usize = 1024;

/// What makes two connections interchangeable besides where they lead to: a digest of what was said on them first, who
/// has signed in for instance.
pub type Purpose = [u8; 32];

/// Where a connection leads to and what it is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeptKey {
    /// The tenant, the address and whom TLS was spoken with.
    pub place: PoolKey,
    /// What it is for.
    pub purpose: Purpose,
}

/// A connection, and the right to it.
pub type Held = (Io, Share);

#[derive(Debug)]
struct Idle {
    held: Held,
    since: Instant,
}

/// The idle connections, newest first.
#[derive(Debug, Default)]
pub struct Kept {
    tenants: HashMap<u64, OfTenant>,
    count: usize,
}

#[derive(Debug, Default)]
struct OfTenant {
    idle: HashMap<KeptKey, Vec<Idle>>,
    count: usize,
}

impl Kept {
    /// Takes a connection that is still usable.
    pub fn take(&mut self, key: &KeptKey, now: Instant, cx: &mut Context<'_>) -> Option<Held> {
        let own = self.tenants.get_mut(&key.place.tenant)?;
        let list = own.idle.get_mut(key)?;
        while let Some(mut idle) = list.pop() {
            own.count -= 1;
            self.count -= 1;
            if now.duration_since(idle.since) < IDLE && idle.held.0.is_quiet(cx) {
                return Some(idle.held);
            }
        }
        None
    }

    /// Keeps a connection for later; drops it if there are enough.
    pub fn put(&mut self, key: KeptKey, held: Held, now: Instant) {
        let own = self.tenants.entry(key.place.tenant).or_default();
        if own.count >= MOST_OF_ONE || self.count >= MOST {
            return;
        }
        own.idle.entry(key).or_default().push(Idle { held, since: now });
        own.count += 1;
        self.count += 1;
    }

    /// Drops what has been idle too long, was closed by the other side, or is not wanted.
    pub fn sweep(&mut self, now: Instant, is_wanted: impl Fn(&PoolKey) -> bool, cx: &mut Context<'_>) {
        for own in self.tenants.values_mut() {
            own.idle.retain(|key, list| {
                let is_usable = |idle: &mut Idle| now.duration_since(idle.since) < IDLE && idle.held.0.is_quiet(cx);
                if is_wanted(&key.place) {
                    list.retain_mut(is_usable);
                } else {
                    list.clear();
                }
                !list.is_empty()
            });
            own.count = own.idle.values().map(Vec::len).sum();
        }
        self.tenants.retain(|_, own| own.count > 0);
        self.count = self.tenants.values().map(|own| own.count).sum();
    }

    /// Drops everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}
