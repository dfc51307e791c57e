//! ip-restriction: clients pass, or do not pass, by their addresses.
//!
//! Source: the behaviour of Kong Gateway's plugin of the same name.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::Value;

use super::{Compiled, Place, read};
use crate::error::FieldError;
use crate::message::{Request, Response};
use crate::net::address::canonical;
use crate::phases::{Exchange, Flow, Phases, Plugin};

/// The configuration as the control plane sends it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    allow: Option<Vec<String>>,
    deny: Option<Vec<String>>,
    status: Option<u16>,
    message: Option<String>,
}

struct IpRestriction {
    /// `None` lets everybody pass.
    allow: Option<Addresses>,
    deny: Addresses,
    status: u16,
    message: Option<Box<str>>,
}

/// A set of addresses: ranges that are in order and have nothing in common, so that finding one costs their logarithm.
#[derive(Debug, Default, PartialEq, Eq)]
struct Addresses {
    v4: Box<[(u32, u32)]>,
    v6: Box<[(u128, u128)]>,
}

/// Compiles an instance.
pub(super) fn compile(config: Value, _: &Place) -> Compiled {
    let config: Config = read(config)?;
    let status = config.status.unwrap_or(403);
    let mut errors = Vec::new();
    if !(200..600).contains(&status) {
        errors.push(FieldError::new("status", "value should be between 200 and 599"));
    }
    let mut addresses = |field: &str, list: Option<Vec<String>>| {
        let list = list.filter(|list| !list.is_empty())?;
        let networks = list.iter().enumerate().filter_map(|(index, text)| {
            let network = network(text);
            if network.is_none() {
                errors.push(FieldError::new(format!("{field}[{index}]"), "invalid ip or cidr range"));
            }
            network
        });
        Some(Addresses::new(networks))
    };
    let (allow, deny) = (addresses("allow", config.allow), addresses("deny", config.deny));
    if !errors.is_empty() {
        return Err(errors);
    }
    let message = config.message.map(Into::into);
    Ok(Arc::new(IpRestriction { allow, deny: deny.unwrap_or_default(), status, message }))
}

/// Reads an address or a range. An IPv4 address in an IPv6 spelling is that IPv4 address.
fn network(text: &str) -> Option<IpNet> {
    let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).ok()?;
    match (canonical(network.addr()), network.prefix_len().checked_sub(96)) {
        (address @ IpAddr::V4(_), Some(length)) if network.addr().is_ipv6() => IpNet::new(address, length).ok(),
        _ => Some(network),
    }
}

impl Addresses {
    fn new(networks: impl Iterator<Item = IpNet>) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for network in networks {
            match network {
                IpNet::V4(network) => v4.push((network.network().to_bits(), network.broadcast().to_bits())),
                IpNet::V6(network) => v6.push((network.network().to_bits(), network.broadcast().to_bits())),
            }
        }
        Self { v4: joined(v4), v6: joined(v6) }
    }

    fn contains(&self, address: IpAddr) -> bool {
        match canonical(address) {
            IpAddr::V4(address) => is_in(&self.v4, address.to_bits()),
            IpAddr::V6(address) => is_in(&self.v6, address.to_bits()),
        }
    }
}

/// Puts ranges in order, and those together that overlap.
fn joined<T: Ord + Copy>(mut ranges: Vec<(T, T)>) -> Box<[(T, T)]> {
    ranges.sort_unstable();
    ranges.dedup_by(|next, before| {
        let overlap = next.0 <= before.1;
        if overlap {
            before.1 = before.1.max(next.1);
        }
        overlap
    });
    ranges.into()
}

fn is_in<T: Ord + Copy>(ranges: &[(T, T)], value: T) -> bool {
    let after = ranges.partition_point(|(start, _)| *start <= value);
    after.checked_sub(1).and_then(|index| ranges.get(index)).is_some_and(|(_, end)| value <= *end)
}

impl IpRestriction {
    fn passes(&self, client: IpAddr) -> bool {
        !self.deny.contains(client) && self.allow.as_ref().is_none_or(|allowed| allowed.contains(client))
    }
}

impl Plugin for IpRestriction {
    fn phases(&self) -> Phases {
        Phases::ACCESS
    }

    fn access(&self, request: &mut Request, _: &mut Exchange<'_>) -> Flow {
        let client = request.client_ip;
        if self.passes(client) {
            return Flow::Continue;
        }
        let message = match &self.message {
            Some(message) => message.to_string(),
            None => format!("IP address not allowed: {client}"),
        };
        Flow::Respond(Response::message(self.status, message))
    }

    fn admits(&self, client: IpAddr) -> bool {
        self.passes(client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(list: &[&str]) -> Addresses {
        Addresses::new(list.iter().map(|text| network(text).unwrap()))
    }

    #[test]
    fn ranges_that_overlap_become_one() {
        let found = addresses(&["10.0.1.0/24", "10.0.0.0/16", "9.9.9.9", "10.0.0.0/8", "9.9.9.9/32"]);
        let bits = |text: &str| text.parse::<std::net::Ipv4Addr>().unwrap().to_bits();
        let expected = [("9.9.9.9", "9.9.9.9"), ("10.0.0.0", "10.255.255.255")];
        assert_eq!(*found.v4, expected.map(|(start, end)| (bits(start), bits(end))));
        assert_eq!(addresses(&["::ffff:10.0.0.0/104"]), addresses(&["10.0.0.0/8"]));
        assert_eq!(addresses(&["::ffff:9.9.9.9"]), addresses(&["9.9.9.9"]));
    }

    #[test]
    fn what_is_in_is_what_a_look_at_each_network_finds() {
        let list = ["10.1.0.0/16", "10.2.3.4", "0.0.0.0/30", "255.255.255.255", "fd00::/8", "::/127", "2001:db8::5"];
        let (found, networks) = (addresses(&list), list.map(|text| network(text).unwrap()));
        for text in [
            "10.0.255.255",
            "10.1.0.0",
            "10.1.255.255",
            "10.2.0.0",
            "10.2.3.4",
            "10.2.3.5",
            "0.0.0.0",
            "0.0.0.3",
            "0.0.0.4",
            "255.255.255.255",
            "255.255.255.254",
            "fc00::",
            "fd00::",
            "fdff::1",
            "fe00::",
            "::",
            "::1",
            "::2",
            "2001:db8::5",
            "2001:db8::6",
            "::ffff:10.1.2.3",
            "::ffff:10.3.0.0",
        ] {
            let address = text.parse().unwrap();
            let expected = networks.iter().any(|network| network.contains(&canonical(address)));
            assert_eq!(found.contains(address), expected, "{text}");
        }
        assert!(addresses(&["0.0.0.0/0"]).contains(IpAddr::from([9, 9, 9, 9])));
        assert!(!addresses(&["0.0.0.0/0"]).contains("2001:db8::5".parse().unwrap()));
        assert!(!Addresses::default().contains(IpAddr::from([0, 0, 0, 0])));
    }
}
