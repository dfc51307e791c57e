//! Routing: which route a request belongs to, and the path that its upstream gets.
//!
//! ```text
//! normalise(raw path)            → the path that routes are matched against, or an error (400)
//! Router::compile(routes)        → once per configuration, off the request path
//! router.find(&MatchInput{..})   → Option<Match>, once per request; allocates nothing for prefix paths
//! upstream_path(..)              → the path to send, escaped
//! ```
//!
//! A request matches a route when every kind of condition that the route has holds (methods, hosts, paths, headers,
//! server names), each by any one of its values. Of several matching routes the one that ranks highest wins: more
//! kinds of conditions, then only plain hosts, more headers, a regex path, the higher `regex_priority`, the longer
//! prefix, and at last the higher id. A route's protocols are no condition: the caller checks them after the match, to
//! answer plain HTTP on an HTTPS-only route with 426 or a redirect.

mod candidates;
mod index;
mod names;
mod path;
mod pattern;
mod rank;
mod rule;
mod spec;
mod tree;
mod upstream_path;

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::sync::Arc;

use crate::error::ConfigError;
use crate::message::{Captures, Headers, Scheme};

use candidates::{Candidate, Candidates, PathTest};
use index::Index;
use pattern::PatternCompiler;
use rank::Precedence;
use rule::Rule;
use tree::offset;

pub use path::{InvalidPath, normalise};
pub use spec::{AddressSpec, PathHandling, Reference, RouteSpec};
pub use upstream_path::{escape_path, upstream_path};

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
}

/// The route that won.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// Index into the slice that the router was compiled from.
    pub route: usize,
    /// Length of the matched prefix (or of what the regex matched, from the start) of the normalised path; `None` if
    /// the route has no paths.
    pub matched: Option<usize>,
    /// Groups of a regex path.
    pub captures: Captures,
}

/// All routes of a tenant, compiled. Immutable and shared by all threads.
#[derive(Debug)]
pub struct Router {
    candidates: Candidates,
    index: Index,
}

impl Router {
    /// Compiles routes; every invalid one is reported. Routes of stream protocols only are left out.
    ///
    /// # Errors
    /// One [`ConfigError`] per bad regex (`paths[i]`, `headers.name[i]`) or host port (`hosts[i]`).
    pub fn compile(routes: &[Arc<RouteSpec>]) -> Result<Self, Vec<ConfigError>> {
        let mut compiler = Compiler::default();
        let mut rules = Vec::with_capacity(routes.len());
        for (index, route) in routes.iter().enumerate() {
            rules.push(if is_stream_only(route) { None } else { compiler.route(index, route) });
        }
        if !compiler.errors.is_empty() {
            return Err(compiler.errors);
        }
        // The sort is stable: paths of one route that rank equal keep their order.
        let mut ranked = compiler.ranked;
        ranked.sort_by_cached_key(|(precedence, candidate)| {
            Reverse((*precedence, routes[candidate.route as usize].id.to_ascii_lowercase()))
        });
        let (patterns, literals) = compiler.patterns.finish();
        let candidates = Candidates {
            ranked: ranked.into_iter().map(|(_, candidate)| candidate).collect(),
            rules: rules.into(),
            text: compiler.text.into(),
            patterns: patterns.into(),
        };
        let index = Index::build(&candidates, &literals);
        Ok(Self { candidates, index })
    }

    /// The route of a request, if any. A path that is not UTF-8 has none.
    #[must_use]
    pub fn find(&self, input: &MatchInput<'_>) -> Option<Match> {
        let path = std::str::from_utf8(input.path).ok()?;
        let found = self.index.find(&self.candidates, input, path)?;
        let winner = &self.candidates.ranked[found.rank as usize];
        let (matched, captures) = match winner.path {
            PathTest::Any => (None, Captures::default()),
            PathTest::Prefix { .. } => (Some(found.end), Captures::default()),
            PathTest::Pattern(number) => (Some(found.end), self.candidates.patterns[number as usize].captures(path)),
        };
        Some(Match { route: winner.route as usize, matched, captures })
    }
}

fn is_stream_only(route: &RouteSpec) -> bool {
    route.protocols.iter().all(|protocol| matches!(protocol.as_str(), "tcp" | "tls" | "udp" | "tls_passthrough"))
}

#[derive(Default)]
struct Compiler {
    patterns: PatternCompiler,
    text: Vec<u8>,
    ranked: Vec<(u64, Candidate)>,
    errors: Vec<ConfigError>,
}

impl Compiler {
    fn route(&mut self, index: usize, route: &RouteSpec) -> Option<Box<Rule>> {
        let precedence = Precedence::of(route);
        let mut faults = Vec::new();
        let mut tests = Vec::new();
        for (number, path) in route.paths.iter().flatten().enumerate() {
            match path.strip_prefix('~') {
                None => {
                    // As written it could not match: escapes of other than reserved characters are never in a
                    // request's path.
                    let normal = normalise(path.as_bytes()).unwrap_or(path.as_bytes().into());
                    tests.push((precedence.with_prefix(normal.len()), self.prefix(&normal)));
                }
                Some(pattern) => match self.patterns.path(pattern) {
                    Ok(pattern) => tests.push((precedence.with_regex(), PathTest::Pattern(pattern))),
                    Err(message) => faults.push((format!("paths[{number}]"), message)),
                },
            }
        }
        if route.paths.iter().flatten().next().is_none() {
            tests.push((precedence.without_path(), PathTest::Any));
        }
        let route_number = offset(index);
        self.ranked.extend(tests.into_iter().map(|(rank, path)| (rank, Candidate { route: route_number, path })));
        let rule = Rule::compile(route, &mut self.patterns, &mut faults);
        self.errors.extend(faults.into_iter().map(|(field, message)| ConfigError {
            entity: "route".to_owned(),
            id: route.id.clone(),
            name: route.name.clone(),
            field: Some(field),
            message,
        }));
        rule
    }

    fn prefix(&mut self, path: &[u8]) -> PathTest {
        let start = offset(self.text.len());
        self.text.extend_from_slice(path);
        PathTest::Prefix { start, length: offset(path.len()) }
    }
}
