//! Routing: which route a request belongs to, and the path that its upstream gets.
//!
//! ```text
//! normalise(raw path)            → the path that routes are matched against, or an error (400)
//! Router::compile(routes)        → once per configuration, off the request path
//! router.find(&MatchInput{..})   → Option<Match>, once per request; allocates nothing for prefix paths
//! upstream_path(..)              → the path to send, escaped
//! ```

mod spec;

use std::borrow::Cow;
use std::sync::Arc;

use crate::error::ConfigError;
use crate::message::{Captures, Headers, Scheme};

pub use spec::{AddressSpec, PathHandling, Reference, RouteSpec};

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

/// A raw path that cannot be normalised: the request is answered with 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidPath;

/// All routes of a tenant, compiled.
#[derive(Debug)]
pub struct Router {
    routes: Vec<Arc<RouteSpec>>,
}

impl Router {
    /// Compiles routes; every invalid one is reported.
    pub fn compile(routes: &[Arc<RouteSpec>]) -> Result<Self, Vec<ConfigError>> {
        Ok(Self { routes: routes.to_vec() })
    }

    /// The route of a request, if any.
    #[must_use]
    pub fn find(&self, input: &MatchInput<'_>) -> Option<Match> {
        let prefix = |route: &RouteSpec| {
            let paths = route.paths.as_deref().unwrap_or_default();
            paths.iter().filter(|path| input.path.starts_with(path.as_bytes())).map(String::len).max()
        };
        let best = self.routes.iter().enumerate().filter_map(|(index, route)| Some((prefix(route)?, index))).max()?;
        Some(Match { route: best.1, matched: Some(best.0), captures: Captures::default() })
    }
}

/// The path that routes are matched against. Borrows when the path is already normal.
pub fn normalise(raw: &[u8]) -> Result<Cow<'_, [u8]>, InvalidPath> {
    if raw.first() == Some(&b'/') { Ok(Cow::Borrowed(raw)) } else { Err(InvalidPath) }
}

/// Writes the upstream path to `out` (cleared first): `service_path` joined with the normalised request path, less
/// the first `matched` bytes if the route strips them.
pub fn upstream_path(
    out: &mut Vec<u8>,
    service_path: Option<&str>,
    normalised: &[u8],
    matched: Option<usize>,
    strip_path: bool,
) {
    out.clear();
    out.extend_from_slice(service_path.unwrap_or_default().trim_end_matches('/').as_bytes());
    let rest = normalised.get(if strip_path { matched.unwrap_or(0) } else { 0 }..).unwrap_or_default();
    if rest.first() != Some(&b'/') {
        out.push(b'/');
    }
    out.extend_from_slice(rest);
}
