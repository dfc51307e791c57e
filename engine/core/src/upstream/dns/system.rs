//! What the system says of names: its hosts file and its name servers.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::SystemTime;

/// Largest file that is read.
const LARGEST: u64 = 1024 * 1024;
/// The port of name servers.
const PORT: u16 = 53;

/// Name servers and how names are completed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolvers {
    /// Name servers in order.
    pub servers: Vec<SocketAddr>,
    /// Domains that short names may lie in.
    pub search: Vec<String>,
    /// Dots that make a name long.
    pub dots: usize,
}

/// Reads the resolver's configuration; without one there is no server.
#[must_use]
pub fn resolvers(path: &Path) -> Resolvers {
    let mut found = Resolvers { servers: Vec::new(), search: Vec::new(), dots: 1 };
    for line in read(path).lines() {
        let mut words = line.split([' ', '\t']).filter(|word| !word.is_empty());
        match words.next() {
            Some("nameserver") => {
                let address = words.next().and_then(|word| word.split('%').next()).and_then(|word| word.parse().ok());
                found.servers.extend(address.map(|address: IpAddr| SocketAddr::new(address, PORT)));
            }
            Some("search" | "domain") => found.search = words.map(|word| word.trim_end_matches('.').into()).collect(),
            Some("options") => {
                for dots in words.filter_map(|word| word.strip_prefix("ndots:")?.parse().ok()) {
                    found.dots = dots;
                }
            }
            _ => {}
        }
    }
    found.servers.truncate(3);
    found.search.truncate(6);
    found
}

/// Reads a hosts file: lower-case names to addresses.
#[must_use]
pub fn hosts(path: &Path) -> HashMap<Box<str>, Vec<IpAddr>> {
    let mut names: HashMap<Box<str>, Vec<IpAddr>> = HashMap::new();
    for line in read(path).lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_ascii_whitespace();
        let Some(address) = words.next().and_then(|word| word.parse().ok()) else { continue };
        for name in words {
            names.entry(name.to_ascii_lowercase().into()).or_default().push(address);
        }
    }
    // RFC 6761 section 6.3.
    let local = names.entry("localhost".into()).or_default();
    if local.is_empty() {
        local.extend([IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()]);
    }
    names
}

/// What tells one version of a file from another.
pub type Stamp = (SystemTime, u64);

/// The stamp of a file; `None` if there is none.
#[must_use]
pub fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn read(path: &Path) -> String {
    let fits = std::fs::metadata(path).is_ok_and(|metadata| metadata.len() <= LARGEST);
    let bytes = if fits { std::fs::read(path).unwrap_or_default() } else { Vec::new() };
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Resolvers {
    /// The names that a name may mean, in the order in which they are tried.
    #[must_use]
    pub fn candidates(&self, name: &str) -> Vec<String> {
        if let Some(whole) = name.strip_suffix('.') {
            return vec![whole.to_owned()];
        }
        let completed = self.search.iter().map(|domain| format!("{name}.{domain}"));
        let is_long = name.bytes().filter(|byte| *byte == b'.').count() >= self.dots;
        let own = std::iter::once(name.to_owned());
        if is_long { own.chain(completed).collect() } else { completed.chain(own).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_follow_the_dots() {
        let resolvers = Resolvers { servers: Vec::new(), search: vec!["x.test".into()], dots: 2 };
        assert_eq!(resolvers.candidates("a.b"), ["a.b.x.test", "a.b"]);
        assert_eq!(resolvers.candidates("a.b.c"), ["a.b.c", "a.b.c.x.test"]);
        assert_eq!(resolvers.candidates("a."), ["a"]);
    }
}
