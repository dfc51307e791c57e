//! Routing: which route a request belongs to, and the path that its upstream gets.
//!
//! ```text
//! normalise(raw path)            → the path that routes are matched against, or an error (400)
//! Router::compile(flavor, routes) → once per configuration, off the request path
//! router.updated(put, deleted)   → the next configuration, at the cost of what changes
//! router.find(&MatchInput{..})   → Option<Match>, once per request, or TooCostly; allocates nothing for prefix paths
//! upstream_path(..)              → the path to send, escaped
//! ```
//!
//! A request matches a route when every kind of condition that the route has holds (methods, hosts, paths, headers,
//! server names), each by any one of its values. Of several matching routes the one that ranks highest wins: more
//! kinds of conditions, then only plain hosts, more headers, a regex path, the higher `regex_priority`, the longer
//! prefix, and at last the higher id. A route's protocols are no condition: the caller checks them after the match, to
//! answer plain HTTP on an HTTPS-only route with 426 or a redirect.
//!
//! In the [`Flavor::Traditional`] it is which kinds they are that counts after their number, then a regex path, only
//! plain hosts, more headers, the `regex_priority`, the longer prefix, and at last the older route.
//!
//! A route may have an expression instead of single conditions. Those outrank all others, by their `priority`.
//!
//! A search may only cost so much. Where routes cannot be told apart but by asking each of them, one that asks too many
//! has no result: the next best route might be one that lets in whom the right one would have kept out.

mod candidates;
mod expression;
mod index;
mod known;
mod levels;
mod literals;
mod names;
mod path;
mod pattern;
mod programs;
mod rank;
mod route;
mod rule;
mod segments;
mod size;
mod spec;
mod streams;
mod tree;
mod upstream_path;
mod walk;
mod work;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::error::ConfigError;
use crate::message::{Captures, Headers, Scheme};

use expression::Subject;
use levels::Levels;
use pattern::Patterns;
use route::{Compiled, PathTest};
use streams::{StreamRoute, Streams};
use tree::offset;
use work::Work;

pub use path::{InvalidPath, normalise};
pub use spec::{AddressSpec, Flavor, PathHandling, Reference, RouteSpec};
pub use streams::StreamInput;
pub use upstream_path::{Join, escape_path, upstream_path};
pub use work::TooCostly;

/// What a request is matched by.
#[derive(Debug, Clone, Copy)]
pub struct MatchInput<'a> {
    /// The client's method.
    pub method: &'a [u8],
    /// The request's host: lower case, without port.
    pub host: &'a str,
    /// The port of the `Host` header, else the listener's.
    pub port: u16,
    /// The normalised path.
    pub path: &'a [u8],
    /// All request headers.
    pub headers: &'a Headers,
    /// The TLS server name, lower case; `None` on plain HTTP or without SNI.
    pub sni: Option<&'a str>,
    /// The connection's scheme.
    pub scheme: Scheme,
    /// The query, without `?`.
    pub query: Option<&'a [u8]>,
    /// Where the client is.
    pub source: SocketAddr,
    /// What it connected to.
    pub destination: SocketAddr,
}

/// The route that won.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// The route's key: its index in the slice that the router was compiled from, or what [`Router::updated`] was told.
    pub route: usize,
    /// Length of the matched prefix (or of what the regex matched, from the start) of the normalised path; `None` if
    /// the route has no paths.
    pub matched: Option<usize>,
    /// Groups of a regex path.
    pub captures: Captures,
}

/// All routes of a tenant, compiled. Immutable and shared by all threads.
#[derive(Debug, Clone, Default)]
pub struct Router {
    flavor: Flavor,
    levels: Levels,
    streams: Arc<Streams>,
    patterns: Arc<Patterns>,
}

impl Router {
    /// Compiles routes, whose keys are their indices; every invalid one is reported.
    ///
    /// # Errors
    /// One [`ConfigError`] per bad regex (`paths[i]`, `headers.name[i]`), host port (`hosts[i]`), `expression` or address
    /// (`sources[i].ip`).
    pub fn compile(flavor: Flavor, routes: &[Arc<RouteSpec>]) -> Result<Self, Vec<ConfigError>> {
        let patterns = Arc::<Patterns>::default();
        let compiled = compile_all(routes.iter().enumerate(), flavor, &patterns)?;
        let streams = Arc::new(Streams::default().changed(&[], compiled.streams).unwrap_or_default());
        Ok(Self { flavor, levels: Levels::build(compiled.requests), streams, patterns })
    }

    /// A router of a flavour, without any route.
    #[must_use]
    pub fn of(flavor: Flavor) -> Self {
        Self { flavor, ..Self::default() }
    }

    /// How it matches.
    #[must_use]
    pub fn flavor(&self) -> Flavor {
        self.flavor
    }

    /// The router after a change: with the routes `put`, each by a key of the caller's choice, and without those
    /// whose keys are `deleted`. A key that is there already is replaced; of two routes put by one key the last counts.
    /// The result finds what a router compiled from all its routes would find. `self` stays as it is.
    ///
    /// Keys are small numbers: below 2³². Costs what is put, and now and then what has been put since longer.
    ///
    /// # Errors
    /// As [`Router::compile`], for the routes that are put.
    pub fn updated(&self, put: &[(usize, Arc<RouteSpec>)], deleted: &[usize]) -> Result<Self, Vec<ConfigError>> {
        let last: HashMap<usize, &Arc<RouteSpec>> = put.iter().map(|(key, spec)| (*key, spec)).collect();
        let compiled = compile_all(last.into_iter(), self.flavor, &self.patterns)?;
        let keys: Vec<u32> = put.iter().map(|(key, _)| key).chain(deleted).copied().map(offset).collect();
        let streams = self.streams.changed(&keys, compiled.streams).map_or_else(|| Arc::clone(&self.streams), Arc::new);
        let levels = self.levels.changed(&keys, compiled.requests);
        Ok(Self { flavor: self.flavor, levels, streams, patterns: Arc::clone(&self.patterns) })
    }

    /// The route of a request, if any. A path that is not UTF-8 has none.
    ///
    /// # Errors
    /// There are too many routes that only asking each of them can tell apart.
    pub fn find(&self, input: &MatchInput<'_>) -> Result<Option<Match>, TooCostly> {
        self.find_within(input, &Work::default())
    }

    fn find_within(&self, input: &MatchInput<'_>, work: &Work) -> Result<Option<Match>, TooCostly> {
        let Ok(path) = std::str::from_utf8(input.path) else { return Ok(None) };
        let Some(best) = self.levels.find(input, path, work)? else { return Ok(None) };
        let (matched, captures) = match &best.way.path {
            PathTest::Any => (None, Captures::default()),
            PathTest::Prefix(_) => (Some(best.end), Captures::default()),
            PathTest::Pattern(pattern) => (Some(best.end), pattern.captures(path, work)),
            PathTest::Expression(expression) => {
                let found = expression.evidence(&Subject::of_request(input, work));
                (found.matched, found.captures)
            }
        };
        work.judge(Some(Match { route: best.route.key as usize, matched, captures }))
    }

    /// The key of the route of a connection that is not HTTP, if any.
    ///
    /// # Errors
    /// As of [`Router::find`].
    pub fn find_stream(&self, input: &StreamInput<'_>) -> Result<Option<usize>, TooCostly> {
        Ok(self.streams.find(input, &Work::default())?.map(|key| key as usize))
    }
}

/// Compiled routes by what they are for.
#[derive(Default)]
struct CompiledRoutes {
    requests: Vec<Arc<Compiled>>,
    streams: Vec<Arc<StreamRoute>>,
}

fn compile_all<'a>(
    routes: impl Iterator<Item = (usize, &'a Arc<RouteSpec>)>,
    flavor: Flavor,
    patterns: &Patterns,
) -> Result<CompiledRoutes, Vec<ConfigError>> {
    let mut errors = Vec::new();
    let mut compiled = CompiledRoutes::default();
    for (key, spec) in routes {
        let key = offset(key);
        if is_stream_only(spec) {
            compiled.streams.push(Arc::new(StreamRoute::new(key, spec, flavor, patterns, &mut errors)));
        } else {
            compiled.requests.push(Arc::new(Compiled::new(key, spec, flavor, patterns, &mut errors)));
        }
    }
    if errors.is_empty() { Ok(compiled) } else { Err(errors) }
}

fn is_stream_only(route: &RouteSpec) -> bool {
    route.protocols.iter().all(|protocol| matches!(protocol.as_str(), "tcp" | "tls" | "udp" | "tls_passthrough"))
}
