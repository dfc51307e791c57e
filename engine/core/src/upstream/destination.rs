//! Where plugins send what they ask: compiled with their configuration.

use std::net::IpAddr;
use std::sync::Arc;

use super::tls::{TlsIdentity, TlsPolicy, server_name};

/// A server that a plugin talks to. Whether its tenant may is asked at every connection, of the address that is
/// connected to.
#[derive(Debug, Clone)]
pub struct Destination {
    pub(crate) host: Host,
    pub(crate) port: u16,
    pub(crate) tls: Option<Arc<TlsIdentity>>,
    pub(crate) authority: Box<[u8]>,
    target: Box<str>,
}

#[derive(Debug, Clone)]
pub(crate) enum Host {
    Literal(IpAddr),
    Name(Box<str>),
}

/// What is wrong with an address that a user has written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoDestination(pub &'static str);

impl Destination {
    /// The server and the target of an `http://` or `https://` URL (RFC 9110 section 4.2). TLS is spoken by this policy.
    ///
    /// # Errors
    /// What is wrong, for the user: another scheme, no host, no port, user information, a target that no request may have.
    pub fn of_url(url: &str, policy: &Arc<TlsPolicy>) -> Result<Self, NoDestination> {
        let (scheme, rest) = url.split_once("://").ok_or(NoDestination("missing scheme"))?;
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err(NoDestination("scheme must be http or https")),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if !target.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(NoDestination("invalid path"));
        }
        if authority.contains('@') {
            return Err(NoDestination("a URL with user information is not supported"));
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (authority, None),
        };
        let standard = if secure { 443 } else { 80 };
        let port = port.map_or(Ok(standard), |port| port.parse().map_err(|_| NoDestination("invalid port")))?;
        let mut found = Self::at(host, port, secure.then_some(policy))?;
        if port == standard {
            found.authority = host.as_bytes().into();
        }
        found.target = if target.starts_with('/') { target.into() } else { format!("/{target}").into() };
        Ok(found)
    }

    /// A server by its host (a name or an address) and port; TLS is spoken if there is a policy.
    ///
    /// # Errors
    /// What is wrong, for the user.
    pub fn at(host: &str, port: u16, policy: Option<&Arc<TlsPolicy>>) -> Result<Self, NoDestination> {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        let (place, written) = match bare.parse::<IpAddr>() {
            Ok(address @ IpAddr::V6(_)) => (Host::Literal(address), format!("[{bare}]")),
            Ok(address) => (Host::Literal(address), bare.to_owned()),
            Err(_) if !bare.is_empty() && host == bare && bare.bytes().all(is_name_byte) => {
                (Host::Name(bare.into()), bare.to_owned())
            }
            Err(_) => return Err(NoDestination("invalid host")),
        };
        if port == 0 {
            return Err(NoDestination("invalid port"));
        }
        let tls = match policy {
            None => None,
            Some(policy) => {
                let name = server_name(written.as_bytes()).ok_or(NoDestination("invalid host"))?;
                Some(Arc::new(TlsIdentity::new(name, policy.clone())))
            }
        };
        let authority = format!("{written}:{port}").into_bytes().into();
        Ok(Self { host: place, port, tls, authority, target: "/".into() })
    }

    /// The same server, called by another name in TLS, where that is spoken.
    ///
    /// # Errors
    /// A name that TLS does not know.
    pub fn called(mut self, name: &str) -> Result<Self, NoDestination> {
        if let Some(tls) = &self.tls {
            let name = server_name(name.as_bytes()).ok_or(NoDestination("invalid server name"))?;
            self.tls = Some(Arc::new(TlsIdentity::new(name, tls.policy().clone())));
        }
        Ok(self)
    }

    /// Path and query of the URL; `/` where it has none.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::tls::{Roots, Verification};

    fn read(url: &str) -> Result<(String, u16, bool, String), &'static str> {
        let policy =
            Arc::new(TlsPolicy::new(Verification::On(Roots { own: Some(Vec::new()), ..Roots::default() }), None));
        let found = Destination::of_url(url, &policy).map_err(|NoDestination(why)| why)?;
        let authority = String::from_utf8(found.authority.to_vec()).unwrap();
        Ok((authority, found.port, found.tls.is_some(), found.target.into()))
    }

    #[test]
    fn urls() {
        let expected = |host: &str, port, tls, target: &str| Ok((host.to_owned(), port, tls, target.to_owned()));
        assert_eq!(read("http://a.test"), expected("a.test", 80, false, "/"));
        assert_eq!(read("HTTPS://a.test:8443/x?y=1#z"), expected("a.test:8443", 8443, true, "/x?y=1"));
        assert_eq!(read("https://a.test:443?y"), expected("a.test", 443, true, "/?y"));
        assert_eq!(read("http://[::1]:81/"), expected("[::1]:81", 81, false, "/"));
        assert_eq!(read("http://[::1]"), expected("[::1]", 80, false, "/"));
        for broken in [
            "a.test",
            "ftp://a.test",
            "http://",
            "http://:80",
            "http://a.test:x",
            "http://a.test:0",
            "http://a.test:65536",
            "http://u:p@a.test",
            "http://a b",
            "http://a.test/a b",
            "http://a.test/\r\nx",
            "http://[a]",
            "http://a%2f",
        ] {
            assert!(read(broken).is_err(), "{broken}");
        }
    }
}
