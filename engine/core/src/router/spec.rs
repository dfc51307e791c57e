//! The route entity as it comes from the control plane.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::logs::entity::seconds;

/// A reference to another entity.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// Id of the entity.
    pub id: String,
}

/// How routes are matched and ranked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Flavor {
    /// Ranks by [`super`]'s rules. Kong's flavour `expressions` is the same here, where any route may have one.
    #[default]
    TraditionalCompatible,
    /// Ranks by which conditions a route has before it looks at their values, and by age at last; honours
    /// [`PathHandling::V1`].
    Traditional,
}

impl Flavor {
    /// The flavour of a name, if there is one.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "traditional_compatible" | "expressions" => Some(Self::TraditionalCompatible),
            "traditional" => Some(Self::Traditional),
            _ => None,
        }
    }
}

/// How service path and request path are joined.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PathHandling {
    /// Exactly one slash at the seam.
    #[default]
    V0,
    /// Plain concatenation; only honoured by the `traditional` flavour.
    V1,
}

/// An address matcher of stream routes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AddressSpec {
    /// Address or network.
    pub ip: Option<String>,
    /// Port.
    pub port: Option<u16>,
}

/// A route with all defaults filled in; what is unset is `None`.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RouteSpec {
    /// Id.
    pub id: String,
    /// Unique name.
    pub name: Option<String>,
    /// `http`, `https`, …; checked after the match.
    pub protocols: Vec<String>,
    /// Methods.
    pub methods: Option<Vec<String>>,
    /// Hosts: exact, `*.suffix` or `prefix.*`, with an optional port.
    pub hosts: Option<Vec<String>>,
    /// Prefixes, or regexes that start with `~`.
    pub paths: Option<Vec<String>>,
    /// Header name → accepted values.
    pub headers: Option<BTreeMap<String, Vec<String>>>,
    /// TLS server names.
    pub snis: Option<Vec<String>>,
    /// Sources of stream routes.
    pub sources: Option<Vec<AddressSpec>>,
    /// Destinations of stream routes.
    pub destinations: Option<Vec<AddressSpec>>,
    /// Order among regex paths.
    pub regex_priority: Option<i64>,
    /// Whether the matched prefix is left out of the upstream path.
    pub strip_path: Option<bool>,
    /// How paths are joined.
    pub path_handling: Option<PathHandling>,
    /// Whether the client's `Host` goes upstream.
    pub preserve_host: bool,
    /// Answer to plain HTTP on an HTTPS-only route.
    pub https_redirect_status_code: u16,
    /// Whether the request body may be buffered.
    pub request_buffering: bool,
    /// Whether the response body may be buffered.
    pub response_buffering: bool,
    /// The service that requests go to.
    pub service: Option<Reference>,
    /// Expression of the `expressions` flavour.
    pub expression: Option<String>,
    /// Order among expressions.
    pub priority: Option<u64>,
    /// Seconds since the epoch; older routes win ties in the `traditional` flavour.
    #[serde(serialize_with = "seconds")]
    pub created_at: Option<f64>,
    /// Seconds since the epoch.
    #[serde(default, serialize_with = "seconds")]
    pub updated_at: Option<f64>,
    /// The user's own labels.
    #[serde(default)]
    pub tags: Option<Vec<String>>,
}
