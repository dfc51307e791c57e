//! Which tenant a host belongs to.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use foldhash::fast::RandomState;
use imbl::OrdMap;
use memchr::{memchr_iter, memrchr_iter};

use super::tenant::Tenant;

/// Parts of the host table: a change of one tenant's hosts copies one part.
const HOST_SHARDS: usize = 256;

/// The place of a tenant; its content is swapped when its configuration changes.
pub struct Slot {
    /// The version that new requests are served from.
    pub current: ArcSwap<Tenant>,
}

/// One part of the host table.
type Shard = ArcSwap<HashMap<String, Arc<Slot>, RandomState>>;

/// The hosts `*.rest`.
#[derive(Default, Clone)]
struct Wildcards {
    /// By `.rest`.
    by_suffix: OrdMap<Box<str>, Arc<Slot>>,
    /// The most dots that a suffix has, or had: no longer ones need to be looked for.
    most_dots: usize,
}

/// Host → tenant, read without a lock.
///
/// A host has the tenant of that very host; else that of `*.rest`, which stands for any labels before the rest, with the
/// longest rest; else that of [`HostTable::ANY`].
pub struct HostTable {
    shards: Box<[Shard]>,
    wildcards: ArcSwap<Wildcards>,
    any: ArcSwapOption<Slot>,
}

impl Wildcards {
    fn find(&self, host: &str) -> Option<&Arc<Slot>> {
        let dots = memrchr_iter(b'.', host.as_bytes()).take(self.most_dots).filter(|dot| *dot > 0);
        dots.filter_map(|dot| self.by_suffix.get(&host[dot..])).last()
    }
}

impl HostTable {
    /// The host that stands for all hosts that select no tenant.
    pub const ANY: &'static str = "*";

    /// An empty table.
    #[must_use]
    pub fn new() -> Self {
        Self {
            shards: (0..HOST_SHARDS).map(|_| ArcSwap::default()).collect(),
            wildcards: ArcSwap::default(),
            any: ArcSwapOption::empty(),
        }
    }

    /// Whether something can be in the table: a host in lower case, `*.` and a host, or [`HostTable::ANY`].
    #[must_use]
    pub fn takes(host: &str) -> bool {
        let name = host.strip_prefix("*.").unwrap_or(host);
        host == Self::ANY || !name.is_empty() && !name.bytes().any(|byte| byte.is_ascii_uppercase() || byte == b'*')
    }

    /// The tenant of a host (lower case, without port).
    #[must_use]
    pub fn find(&self, host: &str) -> Option<Arc<Tenant>> {
        if let Some(slot) = self.shard(host).load().get(host) {
            return Some(slot.current.load_full());
        }
        let wildcards = self.wildcards.load();
        if let Some(slot) = wildcards.find(host) {
            return Some(slot.current.load_full());
        }
        self.any.load().as_ref().map(|slot| slot.current.load_full())
    }

    /// Gives a host to a tenant. Writers are serialised by the caller.
    pub(crate) fn insert(&self, host: &str, slot: &Arc<Slot>) {
        self.set(host, Some(slot));
    }

    /// Takes a host away.
    pub(crate) fn remove(&self, host: &str) {
        self.set(host, None);
    }

    fn set(&self, host: &str, slot: Option<&Arc<Slot>>) {
        if host == Self::ANY {
            self.any.store(slot.cloned());
        } else if let Some(suffix) = host.strip_prefix('*') {
            let mut wildcards = Wildcards::clone(&self.wildcards.load());
            if let Some(slot) = slot {
                wildcards.most_dots = wildcards.most_dots.max(memchr_iter(b'.', suffix.as_bytes()).count());
                wildcards.by_suffix.insert(suffix.into(), slot.clone());
            } else {
                wildcards.by_suffix.remove(suffix);
            }
            self.wildcards.store(Arc::new(wildcards));
        } else {
            let shard = self.shard(host);
            let mut hosts = HashMap::clone(&shard.load());
            match slot {
                Some(slot) => drop(hosts.insert(host.to_owned(), slot.clone())),
                None => drop(hosts.remove(host)),
            }
            shard.store(Arc::new(hosts));
        }
    }

    /// FNV-1a: the shard only spreads the writer's work, so an unkeyed hash does.
    fn shard(&self, host: &str) -> &Shard {
        let hash = host
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        &self.shards[usize::from(hash.to_be_bytes()[3]) % HOST_SHARDS]
    }
}

impl Default for HostTable {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::compile::Parts;
    use crate::config::update::Limits;
    use crate::stats::Counters;

    fn slot(number: u64) -> Arc<Slot> {
        let settings = serde_json::from_value(serde_json::json!({
            "router_flavor": "traditional_compatible", "trusted_ips": [], "real_ip_header": "x-real-ip", "headers": [],
        }));
        let counters = Arc::new(Counters::new(1));
        let tenant = Parts::default().tenant((number, 1), "cp", &settings.unwrap(), &Limits::default(), counters);
        Arc::new(Slot { current: ArcSwap::new(Arc::new(tenant)) })
    }

    #[test]
    fn the_most_exact_host_counts() {
        let table = HostTable::new();
        let hosts = ["*", "*.example.com", "*.b.example.com", "a.example.com", "example.com"];
        for (number, host) in (0..).zip(hosts) {
            table.insert(host, &slot(number));
        }
        let owner = |host: &str| table.find(host).map(|tenant| tenant.number);
        for (host, expected) in [
            ("a.example.com", 3),
            ("c.example.com", 1),
            ("c.a.example.com", 1),
            ("b.example.com", 1),
            ("c.b.example.com", 2),
            ("d.c.b.example.com", 2),
            ("example.com", 4),
            (".example.com", 0),
            ("notexample.com", 0),
            ("example.com.evil.test", 0),
            ("", 0),
        ] {
            assert_eq!(owner(host), Some(expected), "{host}");
        }
        table.remove("*.b.example.com");
        table.remove("*");
        assert_eq!((owner("c.b.example.com"), owner("elsewhere.test")), (Some(1), None));
    }

    #[test]
    fn only_hosts_are_taken() {
        assert!(["*", "a", "a.test", "*.a.test", "[::1]"].into_iter().all(HostTable::takes));
        assert!(!["", "*.", "A.test", "a.*", "*a.test", "*.*.test", "**"].into_iter().any(HostTable::takes));
    }
}
