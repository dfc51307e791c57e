//! TLS towards upstreams: whom it is spoken with, how strictly, and who the gateway says it is.

mod configs;
mod policy;
mod verifier;

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use ring::digest;
use rustls::pki_types::ServerName;

pub use configs::ClientConfigs;
pub use policy::{Roots, TlsPolicy, Verification};

/// Whom TLS is spoken with, and by which policy. Two of them are compared for every request that looks for a connection
/// to reuse, so they are told apart by a digest that is made once.
#[derive(Debug, Clone)]
pub struct TlsIdentity {
    name: ServerName<'static>,
    policy: Arc<TlsPolicy>,
    digest: [u8; 32],
}

impl TlsIdentity {
    /// An identity with a server name: sent as SNI unless it is an address, and verified if the policy says so.
    #[must_use]
    pub fn new(name: ServerName<'static>, policy: Arc<TlsPolicy>) -> Self {
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(policy.fingerprint());
        hash.update(name.to_str().as_bytes());
        Self { name, policy, digest: finish(hash) }
    }

    /// The server name.
    #[must_use]
    pub fn name(&self) -> &ServerName<'static> {
        &self.name
    }

    /// How strictly, and as whom.
    #[must_use]
    pub fn policy(&self) -> &Arc<TlsPolicy> {
        &self.policy
    }

    /// The same policy towards the server that a `Host` header names; this very identity if that is its name, or no name
    /// that TLS knows.
    #[must_use]
    pub fn towards(self: &Arc<Self>, host: &[u8]) -> Arc<Self> {
        match server_name(host) {
            Some(name) if name != self.name => Arc::new(Self::new(name, self.policy.clone())),
            _ => self.clone(),
        }
    }
}

impl PartialEq for TlsIdentity {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for TlsIdentity {}

impl Hash for TlsIdentity {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
    }
}

/// The name or address in the value of a `Host` header, without its port.
#[must_use]
pub fn server_name(host: &[u8]) -> Option<ServerName<'static>> {
    let host = std::str::from_utf8(host).ok()?;
    let bare = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    ServerName::try_from(bare.trim_end_matches('.').to_ascii_lowercase()).ok()
}

fn finish(hash: digest::Context) -> [u8; 32] {
    let mut digest = [0; 32];
    digest.copy_from_slice(hash.finish().as_ref());
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(host: &str) -> Option<String> {
        server_name(host.as_bytes()).map(|name| name.to_str().into_owned())
    }

    #[test]
    fn hosts_are_names_or_addresses() {
        assert_eq!(named("A.test:8443").as_deref(), Some("a.test"));
        assert_eq!(named("a.test.").as_deref(), Some("a.test"));
        assert_eq!(named("192.0.2.1:1").as_deref(), Some("192.0.2.1"));
        assert_eq!(named("[2001:db8::1]:1").as_deref(), Some("2001:db8::1"));
        for none in ["", "[::1", "a b", "a..b", ":1"] {
            assert_eq!(named(none), None, "{none}");
        }
    }

    #[test]
    fn identities_differ_by_name_and_policy() {
        let policy = Arc::new(TlsPolicy::new(Verification::Off, None));
        let one = Arc::new(TlsIdentity::new(server_name(b"a.test").unwrap(), policy.clone()));
        assert_eq!(*one, TlsIdentity::new(server_name(b"a.test").unwrap(), policy));
        assert!(Arc::ptr_eq(&one, &one.towards(b"A.test:1")) && Arc::ptr_eq(&one, &one.towards(b"no name")));
        assert_ne!(one, one.towards(b"b.test"));
        let strict = Arc::new(TlsPolicy::new(Verification::On(Roots::default()), None));
        assert_ne!(*one, TlsIdentity::new(server_name(b"a.test").unwrap(), strict));
    }
}
