//! Patterns for host and TLS server names: exact, `*.suffix` or `prefix.*`.

/// One pattern, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    /// What is compared: the whole name, `.suffix` or `prefix.`.
    pub(super) text: Box<str>,
    pub(super) shape: Shape,
    /// Only this port; `None` accepts any.
    port: Option<u16>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Shape {
    Exact,
    Suffix,
    Prefix,
}

impl Name {
    /// A host pattern with an optional port. Fails with a message when the port is out of range.
    pub(super) fn host(pattern: &str) -> Result<Self, String> {
        let (name, port) = match pattern.rsplit_once(':') {
            Some((name, port)) if !name.contains(':') || name.ends_with(']') => (name, Some(port)),
            _ => (pattern, None),
        };
        let port = port.map(str::parse).transpose().map_err(|_| format!("invalid port in host '{pattern}'"))?;
        Ok(Self::new(name, port))
    }

    /// A server name pattern; a trailing dot is ignored.
    pub(super) fn server_name(pattern: &str) -> Self {
        Self::new(pattern.strip_suffix('.').unwrap_or(pattern), None)
    }

    fn new(pattern: &str, port: Option<u16>) -> Self {
        let (text, shape) = if let Some(suffix) = pattern.strip_prefix('*') {
            (suffix, Shape::Suffix)
        } else if let Some(prefix) = pattern.strip_suffix('*') {
            (prefix, Shape::Prefix)
        } else {
            (pattern, Shape::Exact)
        };
        Self { text: text.to_ascii_lowercase().into(), shape, port }
    }

    fn accepts(&self, name: &str, port: u16) -> bool {
        self.port.is_none_or(|own| own == port)
            && match self.shape {
                Shape::Exact => name == &*self.text,
                Shape::Suffix => name.len() > self.text.len() && name.ends_with(&*self.text),
                Shape::Prefix => name.starts_with(&*self.text),
            }
    }
}

/// The patterns of one route. Without any, every name is accepted.
#[derive(Debug, Default)]
pub(super) struct Names {
    exact: Box<[Name]>,
    wild: Box<[Name]>,
}

impl Names {
    pub(super) fn new(mut names: Vec<Name>) -> Self {
        names.sort();
        names.dedup();
        let (exact, wild): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| name.shape == Shape::Exact);
        Self { exact: exact.into(), wild: wild.into() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.wild.is_empty()
    }

    /// Those that stand for many names.
    pub(super) fn wild(&self) -> &[Name] {
        &self.wild
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Name> {
        self.exact.iter().chain(&self.wild)
    }

    /// Whether `name`, in lower case and without port, is accepted on `port`.
    pub(super) fn accept(&self, name: &str, port: u16) -> bool {
        if self.is_empty() {
            return true;
        }
        let first = self.exact.partition_point(|own| *own.text < *name);
        self.exact[first..].iter().take_while(|own| *own.text == *name).any(|own| own.accepts(name, port))
            || self.wild.iter().any(|own| own.accepts(name, port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(patterns: &[&str], name: &str, port: u16) -> bool {
        Names::new(patterns.iter().map(|pattern| Name::host(pattern).unwrap()).collect()).accept(name, port)
    }

    #[test]
    fn hosts() {
        for (pattern, name, port, expected) in [
            ("a.com", "a.com", 80, true),
            ("A.Com", "a.com", 80, true),
            ("a.com", "b.a.com", 80, false),
            ("a.com", "a.com.", 80, false),
            ("*.a.com", "b.a.com", 80, true),
            ("*.a.com", "c.b.a.com", 80, true),
            ("*.a.com", "a.com", 80, false),
            ("*.a.com", ".a.com", 80, false),
            ("*.a.com", "xa.com", 80, false),
            ("a.*", "a.com", 80, true),
            ("a.*", "a.co.uk", 80, true),
            ("a.*", "ab.com", 80, false),
            ("a.*", "b.a.com", 80, false),
            ("a.com:8080", "a.com", 8080, true),
            ("a.com:8080", "a.com", 80, false),
            ("*.a.com:8080", "b.a.com", 8080, true),
            ("*.a.com:8080", "b.a.com", 8081, false),
            ("a.*:8080", "a.org", 8080, true),
            ("a.*:8080", "a.org", 1, false),
            ("127.0.0.1:80", "127.0.0.1", 80, true),
            ("[::1]", "[::1]", 80, true),
            ("[::1]:81", "[::1]", 80, false),
            ("[::1]:81", "[::1]", 81, true),
        ] {
            assert_eq!(accepted(&[pattern], name, port), expected, "{pattern} {name}:{port}");
        }
    }

    #[test]
    fn any_of_several_is_enough() {
        let patterns = ["b.com", "a.com:1", "a.com:2", "*.c.com", "d.*"];
        for (name, port) in [("a.com", 1), ("a.com", 2), ("b.com", 9), ("x.c.com", 9), ("d.e", 9)] {
            assert!(accepted(&patterns, name, port), "{name}:{port}");
        }
        assert!(!accepted(&patterns, "a.com", 3) && !accepted(&patterns, "c.com", 1));
        assert!(accepted(&[], "anything", 1));
    }

    #[test]
    fn ports_are_checked() {
        assert_eq!(Name::host("a.com:65536"), Err("invalid port in host 'a.com:65536'".to_owned()));
        assert!(Name::host("a.com:x").is_err());
    }

    #[test]
    fn server_names_ignore_a_trailing_dot() {
        let names = Names::new(vec![Name::server_name("A.com."), Name::server_name("*.b.com.")]);
        assert!(names.accept("a.com", 0) && names.accept("x.b.com", 0) && !names.accept("b.com", 0));
    }
}
