//! Routes of connections that are not HTTP: by server name and by addresses.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;

use super::expression::{self, Expression, Subject};
use super::names::{Name, Names, Shape};
use super::pattern::Patterns;
use super::rank;
use super::route::error;
use super::spec::{AddressSpec, Flavor, RouteSpec};
use super::tree::offset;
use super::work::{TooCostly, Work};
use crate::error::ConfigError;

/// What looking at a route costs, in units of work.
const CONNECTION: usize = 16;

/// What a connection that is not HTTP is matched by.
#[derive(Debug, Clone, Copy)]
pub struct StreamInput<'a> {
    /// `tcp`, `tls`, `tls_passthrough` or `udp`.
    pub protocol: &'a str,
    /// The TLS server name, lower case and without a dot at its end.
    pub sni: Option<&'a str>,
    /// Where the client is.
    pub source: SocketAddr,
    /// What it connected to.
    pub destination: SocketAddr,
}

/// One route of streams.
#[derive(Debug)]
pub(super) struct StreamRoute {
    pub(super) key: u32,
    /// Of routes that rank equal the one with the greater text wins.
    tie: Box<str>,
    precedence: u64,
    protocols: Box<[Box<str>]>,
    snis: Names,
    sources: Box<[Place]>,
    destinations: Box<[Place]>,
    expression: Option<Box<Expression>>,
}

/// An address, a network or a port.
#[derive(Debug)]
struct Place {
    network: Option<IpNet>,
    port: Option<u16>,
}

/// All routes of streams, indexed by whole server names and by the ports that clients connect to.
#[derive(Debug, Default)]
pub(super) struct Streams {
    /// Best first.
    ranked: Box<[Arc<StreamRoute>]>,
    by_server_name: HashMap<Box<str>, Vec<u32>>,
    by_port: HashMap<u16, Vec<u32>>,
    /// Those that only asking can tell.
    rest: Vec<u32>,
}

impl StreamRoute {
    /// Every field that cannot be compiled is added to `errors`.
    pub(super) fn new(
        key: u32,
        spec: &RouteSpec,
        flavor: Flavor,
        patterns: &Patterns,
        errors: &mut Vec<ConfigError>,
    ) -> Self {
        let mut places = |specs: &Option<Vec<AddressSpec>>, field: &str| {
            let mut places = Vec::new();
            for (index, one) in specs.iter().flatten().enumerate() {
                match Place::new(one) {
                    Ok(place) => places.push(place),
                    Err(message) => errors.push(error(spec, (format!("{field}[{index}].ip"), message))),
                }
            }
            places.into_boxed_slice()
        };
        let sources = places(&spec.sources, "sources");
        let destinations = places(&spec.destinations, "destinations");
        let snis = Names::new(spec.snis.iter().flatten().map(|sni| Name::server_name(sni)).collect());
        let expression = spec.expression.as_ref().and_then(|text| {
            let parsed = expression::parse(text, true, patterns).map(Box::new);
            parsed.map_err(|message| errors.push(error(spec, ("expression".to_owned(), message)))).ok()
        });
        let precedence = match expression {
            Some(_) => rank::of_expression(spec.priority.unwrap_or(0)),
            None => precedence(flavor, !snis.is_empty(), &sources, &destinations),
        };
        let protocols = spec.protocols.iter().map(|protocol| protocol.as_str().into()).collect();
        let tie = rank::tie(spec, flavor);
        Self { key, tie, precedence, protocols, snis, sources, destinations, expression }
    }

    fn accepts(&self, input: &StreamInput<'_>, work: &Work) -> bool {
        work.take(CONNECTION + self.snis.wild().len() + self.sources.len() + self.destinations.len())
            && self.protocols.iter().any(|own| **own == *input.protocol)
            && (self.snis.is_empty() || input.sni.is_some_and(|sni| self.snis.accept(sni, 0)))
            && (self.sources.is_empty() || self.sources.iter().any(|place| place.holds(input.source)))
            && (self.destinations.is_empty() || self.destinations.iter().any(|place| place.holds(input.destination)))
            && self.expression.as_ref().is_none_or(|expression| {
                let StreamInput { protocol, sni, source, destination } = *input;
                expression.accepts(&Subject { protocol, sni, source, destination, request: None, work })
            })
    }
}

impl Place {
    fn new(spec: &AddressSpec) -> Result<Self, String> {
        let network = |text: &String| {
            let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
            network.map_err(|_| format!("invalid address or network '{text}'"))
        };
        Ok(Self { network: spec.ip.as_ref().map(network).transpose()?, port: spec.port })
    }

    fn holds(&self, address: SocketAddr) -> bool {
        self.port.is_none_or(|port| port == address.port())
            && self.network.is_none_or(|network| network.contains(&address.ip().to_canonical()))
    }

    fn is_one_address(&self) -> bool {
        self.network.is_some_and(|network| network.prefix_len() == network.max_prefix_len())
    }

    fn is_network(&self) -> bool {
        self.network.is_some() && !self.is_one_address()
    }
}

/// Bigger wins: both sources and destinations, a server name, then addresses before ports before networks. In the
/// traditional flavour more kinds of conditions, then server names before sources before destinations.
fn precedence(flavor: Flavor, has_names: bool, sources: &[Place], destinations: &[Place]) -> u64 {
    if flavor == Flavor::Traditional {
        let kinds = [has_names, !sources.is_empty(), !destinations.is_empty()];
        let bits = kinds.iter().fold(0, |bits, &has| bits << 1 | u64::from(has));
        return u64::from(bits.count_ones()) << 3 | bits;
    }
    let count = |has: fn(&Place) -> bool| u64::from(sources.iter().any(has)) + u64::from(destinations.iter().any(has));
    let both = !sources.is_empty() && !destinations.is_empty();
    u64::from(both) << 7
        | u64::from(has_names) << 6
        | count(Place::is_one_address) << 4
        | count(|place| place.port.is_some()) << 2
        | count(Place::is_network)
}

impl Streams {
    fn build(mut routes: Vec<Arc<StreamRoute>>) -> Self {
        routes.sort_unstable_by(|a, b| b.precedence.cmp(&a.precedence).then_with(|| b.tie.cmp(&a.tie)));
        let mut streams = Self::default();
        for (rank, route) in routes.iter().enumerate() {
            let rank = offset(rank);
            let ports: Option<HashSet<u16>> = route.destinations.iter().map(|place| place.port).collect();
            if !route.snis.is_empty() && route.snis.iter().all(|name| name.shape == Shape::Exact) {
                for name in route.snis.iter() {
                    streams.by_server_name.entry(name.text.clone()).or_default().push(rank);
                }
            } else if let Some(ports) = ports.filter(|ports| !ports.is_empty()) {
                for port in ports {
                    streams.by_port.entry(port).or_default().push(rank);
                }
            } else {
                streams.rest.push(rank);
            }
        }
        streams.ranked = routes.into();
        streams
    }

    /// Without the routes of `keys` and with `added`; `None` if that changes nothing.
    pub(super) fn changed(&self, keys: &[u32], added: Vec<Arc<StreamRoute>>) -> Option<Self> {
        let gone: HashSet<u32> = if self.ranked.is_empty() { HashSet::new() } else { keys.iter().copied().collect() };
        let kept: Vec<Arc<StreamRoute>> =
            self.ranked.iter().filter(|route| !gone.contains(&route.key)).cloned().collect();
        let changes = kept.len() < self.ranked.len() || !added.is_empty();
        changes.then(|| Self::build(kept.into_iter().chain(added).collect()))
    }

    /// The key of the route that wins.
    pub(super) fn find(&self, input: &StreamInput<'_>, work: &Work) -> Result<Option<u32>, TooCostly> {
        let named = input.sni.and_then(|sni| self.by_server_name.get(sni)).map_or(&[][..], Vec::as_slice);
        let reached = self.by_port.get(&input.destination.port()).map_or(&[][..], Vec::as_slice);
        // The first that would accept, or the one at which the search ends without a result.
        let accepts = |rank: &&u32| self.ranked[**rank as usize].accepts(input, work) || work.is_spent();
        let best = [named, reached, &self.rest].iter().filter_map(|ranks| ranks.iter().find(accepts)).min();
        work.judge(best.map(|&best| self.ranked[best as usize].key))
    }
}
