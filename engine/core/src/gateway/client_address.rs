//! Whose request it is: the peer's, or that of a client whose address a trusted peer tells.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::decide::Peer;
use crate::message::RequestHead;
use crate::net::address::canonical;

/// Whom a tenant believes, and what.
#[derive(Debug, Default)]
pub struct Trust {
    /// Peers whose forwarding headers are believed.
    pub networks: Vec<IpNet>,
    /// Where they tell the client's address.
    pub told: Told,
    /// Whether an address that is a trusted peer's itself is passed over for the one that this peer told.
    pub recursive: bool,
}

/// Where the client's address is told.
#[derive(Debug, PartialEq, Eq)]
pub enum Told {
    /// In a header; of a list of addresses, the last one is the one that the peer saw.
    Header(String),
    /// Before the first request, by the PROXY protocol.
    Connection,
}

impl Default for Told {
    fn default() -> Self {
        Self::Header("X-Real-IP".into())
    }
}

impl Told {
    /// Reads the setting `real_ip_header`.
    #[must_use]
    pub fn named(setting: &str) -> Self {
        if setting == "proxy_protocol" { Self::Connection } else { Self::Header(setting.into()) }
    }
}

impl Trust {
    /// Whether an address is a trusted peer's.
    #[must_use]
    pub fn covers(&self, address: IpAddr) -> bool {
        !self.networks.is_empty() && self.networks.iter().any(|network| network.contains(&address))
    }

    /// The client's address, and whether the peer is trusted.
    #[must_use]
    pub fn client(&self, peer: &Peer, head: &RequestHead) -> (IpAddr, bool) {
        let address = canonical(peer.address);
        if !self.covers(address) {
            return (address, false);
        }
        let told = match &self.told {
            Told::Connection => peer.proxied.map(canonical),
            Told::Header(name) if self.recursive => self.followed(head.headers.get_all(name)),
            Told::Header(name) => head.headers.get_all(name).last().and_then(last),
        };
        (told.unwrap_or(address), true)
    }

    /// The client's address for a connection that has no headers.
    #[must_use]
    pub fn client_of_stream(&self, peer: IpAddr, proxied: Option<IpAddr>) -> IpAddr {
        let peer = canonical(peer);
        proxied.filter(|_| self.told == Told::Connection && self.covers(peer)).map_or(peer, canonical)
    }

    /// The last address that is no trusted peer's, or else the first one; what stands before something that is no address
    /// does not count.
    fn followed<'a>(&self, lines: impl Iterator<Item = &'a [u8]>) -> Option<IpAddr> {
        let mut client = None;
        for item in lines.flat_map(|line| line.split(|byte| *byte == b',')) {
            let item = item.trim_ascii();
            match address(item) {
                _ if item.is_empty() => {}
                None => client = None,
                Some(told) if client.is_none() || !self.covers(told) => client = Some(told),
                Some(_) => {}
            }
        }
        client
    }
}

fn last(line: &[u8]) -> Option<IpAddr> {
    let item = line.rsplit(|byte| *byte == b',').map(<[u8]>::trim_ascii).find(|item| !item.is_empty())?;
    address(item)
}

/// An address with or without brackets and port.
fn address(item: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(item).ok()?;
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()))?;
    Some(canonical(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(item: &str) -> Option<String> {
        address(item.as_bytes()).map(|address| address.to_string())
    }

    #[test]
    fn addresses_come_in_many_shapes() {
        for (item, wanted) in [
            ("10.1.1.1", "10.1.1.1"),
            ("10.1.1.1:80", "10.1.1.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:80", "2001:db8::1"),
            ("::ffff:10.1.1.1", "10.1.1.1"),
        ] {
            assert_eq!(found(item).as_deref(), Some(wanted), "{item}");
        }
        for none in ["", "unknown", "10.1.1", "10.1.1.1:x", "[10.1.1.1", "10.1.1.1 10.1.1.2", "_hidden"] {
            assert_eq!(found(none), None, "{none}");
        }
    }

    #[test]
    fn trusted_addresses_are_passed_over() {
        let networks = vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
        let trust = Trust { networks, recursive: true, ..Trust::default() };
        let follow = |lines: &[&str]| {
            trust.followed(lines.iter().map(|line| line.as_bytes())).map(|address| address.to_string())
        };
        for (lines, wanted) in [
            (&["192.0.2.1, 10.0.0.1"][..], Some("192.0.2.1")),
            (&["192.0.2.9, 192.0.2.1, 10.0.0.1, 10.0.0.2"], Some("192.0.2.1")),
            (&["192.0.2.9", "192.0.2.1,10.0.0.1", "[2001:db8::1]:4"], Some("192.0.2.1")),
            (&["10.0.0.3, 10.0.0.2, 10.0.0.1"], Some("10.0.0.3")),
            (&["192.0.2.1, unknown, 10.0.0.2, 10.0.0.1"], Some("10.0.0.2")),
            (&["192.0.2.1, ,10.0.0.1, ,"], Some("192.0.2.1")),
            (&["192.0.2.1, unknown"], None),
            (&[], None),
        ] {
            assert_eq!(follow(lines).as_deref(), wanted, "{lines:?}");
        }
        assert_eq!(last(b"192.0.2.1, 10.0.0.1:80 , ").map(|address| address.to_string()).as_deref(), Some("10.0.0.1"));
    }
}
