//! Upstream and targets, checked and made ready: what a balancer is to do, whatever names resolve to.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

use super::key::{Cookie, Hashing};
use crate::config::entities::{Algorithm, HealthchecksSpec, TargetSpec, UpstreamSpec};
use crate::upstream::health::Checks;

/// The port of targets that name none.
const DEFAULT_PORT: u16 = 8000;
/// Weight of targets that have none.
const DEFAULT_WEIGHT: u32 = 100;
/// Largest weight.
const MOST_WEIGHT: u32 = 65_535;
/// Points on a ring unless the upstream says otherwise.
const DEFAULT_SLOTS: u32 = 10_000;
/// Most points on a ring.
const MOST_SLOTS: u32 = 65_536;

/// What a balancer is to do.
#[derive(Debug)]
pub struct Plan {
    /// The upstream's name.
    pub name: Box<str>,
    /// How a target is chosen.
    pub algorithm: Algorithm,
    hashing: Hashing,
    sticky: Option<Cookie>,
    /// Most points on the ring.
    pub slots: u32,
    /// Health checks.
    pub checks: Checks,
    /// `Host` towards all targets.
    pub host_header: Option<Box<str>>,
    /// Whether an SRV record's name takes the place of the target's.
    pub use_srv_name: bool,
    /// The targets in order of their text.
    pub targets: Box<[Target]>,
    /// Private networks that addresses may lie in.
    pub allowed: Box<[IpNet]>,
}

/// One target.
#[derive(Debug)]
pub struct Target {
    /// Id.
    pub id: Box<str>,
    /// `host:port`.
    pub text: Box<str>,
    /// Where it is.
    pub host: TargetHost,
    /// Port, unless an SRV record has another.
    pub port: u16,
    /// Share of the requests.
    pub weight: u32,
    /// Whether it is used only when no other target is healthy.
    pub failover: bool,
}

/// Where a target is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetHost {
    /// At an address.
    Ip(IpAddr),
    /// Where a name resolves to.
    Name(Box<str>),
}

/// What a target is called towards itself.
#[derive(Debug)]
pub struct Origin {
    /// `Host` for plain HTTP.
    pub http: Box<[u8]>,
    /// `Host` for HTTPS.
    pub https: Box<[u8]>,
}

/// A field and what is wrong with it.
pub type Refusal = (&'static str, String);

impl Plan {
    /// The plan for an upstream and its targets.
    #[must_use]
    pub fn new(spec: &UpstreamSpec, mut targets: Vec<Target>, allowed: &[IpNet]) -> Self {
        targets.sort_by(|a, b| a.text.cmp(&b.text).then_with(|| a.id.cmp(&b.id)));
        let cookie = |name: &Option<String>, path: &Option<String>| {
            name.as_ref().map(|name| Cookie::new(name, path.as_deref().unwrap_or("/")))
        };
        Self {
            name: spec.name.as_str().into(),
            algorithm: spec.algorithm,
            hashing: Hashing::new(spec),
            sticky: cookie(&spec.sticky_sessions_cookie, &spec.sticky_sessions_cookie_path),
            slots: spec.slots.unwrap_or(DEFAULT_SLOTS).min(MOST_SLOTS),
            checks: Checks::new(spec.healthchecks.as_ref().unwrap_or(&HealthchecksSpec::default())),
            host_header: spec.host_header.as_deref().map(Into::into),
            use_srv_name: spec.use_srv_name.unwrap_or(false),
            targets: targets.into(),
            allowed: allowed.into(),
        }
    }

    /// What selects the target, if that is how it is chosen.
    #[must_use]
    pub fn hashing(&self) -> Option<&Hashing> {
        (self.algorithm == Algorithm::ConsistentHashing).then_some(&self.hashing)
    }

    /// The cookie that names the target, if that is how it is chosen.
    #[must_use]
    pub fn sticky(&self) -> Option<&Cookie> {
        self.sticky.as_ref().filter(|_| self.algorithm == Algorithm::StickySessions)
    }

    /// What a target is called; `srv` is the name and port of its SRV record.
    #[must_use]
    pub fn origin(&self, target: &Target, port: u16, srv: Option<&str>) -> Origin {
        if let Some(host) = &self.host_header {
            let both: Box<[u8]> = host.as_bytes().into();
            return Origin { http: both.clone(), https: both };
        }
        let name = match (&target.host, srv) {
            (TargetHost::Name(_), Some(srv)) if self.use_srv_name => srv.to_owned(),
            (TargetHost::Name(name), _) => name.to_string(),
            (TargetHost::Ip(IpAddr::V6(address)), _) => format!("[{address}]"),
            (TargetHost::Ip(address), _) => address.to_string(),
        };
        let with = |standard| if port == standard { name.clone() } else { format!("{name}:{port}") };
        Origin { http: with(80).into_bytes().into(), https: with(443).into_bytes().into() }
    }
}

/// Host and port text of `host[:port]`.
fn split_port(text: &str) -> (&str, Option<&str>) {
    match text.rfind(':') {
        Some(colon) if text.starts_with('[') && text[..colon].ends_with(']') => {
            (&text[..colon], Some(&text[colon + 1..]))
        }
        // More than one colon without brackets is an address, not a port.
        Some(colon) if !text.starts_with('[') && !text[..colon].contains(':') => {
            (&text[..colon], Some(&text[colon + 1..]))
        }
        _ => (text, None),
    }
}

impl Target {
    /// Reads a target.
    pub fn new(spec: &TargetSpec) -> Result<Self, Refusal> {
        let refuse = || ("target", format!("Invalid target ('{}')", spec.target));
        let (host, port) = split_port(&spec.target);
        let port = match port {
            None => DEFAULT_PORT,
            Some(text) => text.parse().map_err(|_| refuse())?,
        };
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        let (host, text) = if let Ok(address) = bare.parse::<Ipv6Addr>() {
            (TargetHost::Ip(address.into()), format!("[{address}]:{port}"))
        } else if let Ok(address) = bare.parse::<IpAddr>() {
            (TargetHost::Ip(address), format!("{address}:{port}"))
        } else if bare == host && !host.is_empty() && host.len() <= 253 && host.bytes().all(valid) {
            (TargetHost::Name(host.to_ascii_lowercase().into()), format!("{host}:{port}"))
        } else {
            return Err(refuse());
        };
        Ok(Self {
            id: spec.id.as_str().into(),
            text: text.into(),
            host,
            port,
            weight: spec.weight.unwrap_or(DEFAULT_WEIGHT).min(MOST_WEIGHT),
            failover: spec.failover.unwrap_or(false),
        })
    }
}

/// Checks what an upstream says of itself.
pub fn check(spec: &UpstreamSpec) -> Result<(), Refusal> {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if spec.name.is_empty() || !spec.name.bytes().all(valid) || spec.name.parse::<IpAddr>().is_ok() {
        return Err(("name", format!("Invalid name ('{}'); must be a host name", spec.name)));
    }
    let sendable = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    if spec.host_header.as_deref().is_some_and(|host| !sendable(host)) {
        return Err(("host_header", "invalid host".into()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn target(text: &str) -> Result<Target, Refusal> {
        let document = json!({"id": "t", "upstream": {"id": "u"}, "target": text});
        Target::new(&serde_json::from_value(document).unwrap())
    }

    fn plan(spec: serde_json::Value) -> Plan {
        Plan::new(&serde_json::from_value(spec).unwrap(), Vec::new(), &[])
    }

    #[test]
    fn targets_are_read() {
        for (text, normal, port) in [
            ("10.0.0.1", "10.0.0.1:8000", 8000),
            ("10.0.0.1:80", "10.0.0.1:80", 80),
            ("a.test", "a.test:8000", 8000),
            ("a.test:443", "a.test:443", 443),
            ("[::1]:90", "[::1]:90", 90),
            ("[0000:0000:0000:0000:0000:0000:0000:0001]:90", "[::1]:90", 90),
            ("::1", "[::1]:8000", 8000),
        ] {
            let target = target(text).unwrap();
            assert_eq!((&*target.text, target.port, target.weight), (normal, port, 100));
        }
        for text in ["", ":80", "a b", "a:x", "a:70000", "[a]:1", "a/b"] {
            assert!(target(text).is_err(), "{text}");
        }
    }

    #[test]
    fn origins_follow_target_record_and_header() {
        let named = target("a.test:80").unwrap();
        let own = plan(json!({})).origin(&named, 80, Some("srv.test"));
        assert_eq!((&*own.http, &*own.https), (&b"a.test"[..], &b"a.test:80"[..]));
        let by_record = plan(json!({"use_srv_name": true}));
        assert_eq!(&*by_record.origin(&named, 81, Some("srv.test")).http, b"srv.test:81");
        let fixed = plan(json!({"host_header": "x.test:9"}));
        let origin = fixed.origin(&target("[::1]:90").unwrap(), 90, None);
        assert_eq!(&*origin.https, b"x.test:9");
        let literal = plan(json!({})).origin(&target("[::1]:90").unwrap(), 90, None);
        assert_eq!(&*literal.http, b"[::1]:90");
    }
}
