//! Origins (RFC 6454) and what they are compared with.

use regex::bytes::{Regex, RegexBuilder};

use crate::error::FieldError;

/// Bytes that all regexes of an instance together may take.
const MOST_REGEX_BYTES: usize = 4 << 20;

/// Which origins may call.
#[derive(Debug)]
pub(super) enum Origins {
    /// All.
    Any,
    /// This one; it is told whoever asks.
    Fixed(Box<[u8]>),
    /// Those that an entry fits.
    Listed(Listed),
}

/// What a response says of an origin.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Allowed<'o> {
    Any,
    Origin(&'o [u8]),
    None,
}

#[derive(Debug)]
pub(super) struct Listed {
    /// Whether all origins are among them.
    any: bool,
    /// As they are compared, in order.
    plain: Box<[Box<[u8]>]>,
    /// For origins as a whole.
    of_origins: Option<Regex>,
    /// For their hosts alone.
    of_hosts: Option<Regex>,
}

impl Origins {
    /// Compiles entries: `*`, origins, or regexes.
    pub(super) fn new(entries: &[String]) -> Result<Self, Vec<FieldError>> {
        match entries {
            [] => return Ok(Self::Any),
            [entry] if entry == "*" => return Ok(Self::Any),
            [entry] if is_plain(entry) => return Ok(Self::Fixed(entry.as_bytes().into())),
            _ => {}
        }
        let (plain, regexes): (Vec<_>, Vec<_>) =
            entries.iter().filter(|entry| *entry != "*").partition(|entry| is_plain(entry));
        let mut plain: Box<[Box<[u8]>]> = plain.into_iter().map(|entry| normal(entry.as_bytes()).into()).collect();
        plain.sort_unstable();
        let (of_origins, of_hosts): (Vec<_>, Vec<_>) = regexes.into_iter().partition(|entry| entry.contains(':'));
        Ok(Self::Listed(Listed {
            any: entries.iter().any(|entry| entry == "*"),
            plain,
            of_origins: joined(&of_origins)?,
            of_hosts: joined(&of_hosts)?,
        }))
    }

    /// Whether the answer differs from origin to origin, or says so to be safe.
    pub(super) fn depend_on_origin(&self) -> bool {
        !matches!(self, Self::Any)
    }

    /// What is said of an origin.
    pub(super) fn allowed<'o>(&'o self, origin: Option<&'o [u8]>) -> Allowed<'o> {
        let listed = match self {
            Self::Any => return Allowed::Any,
            Self::Fixed(origin) => return Allowed::Origin(origin),
            Self::Listed(listed) => listed,
        };
        match origin {
            None => Allowed::None,
            Some(_) if listed.any => Allowed::Any,
            Some(origin) => {
                let origin = normal(origin);
                if listed.fits(origin) { Allowed::Origin(origin) } else { Allowed::None }
            }
        }
    }
}

impl Listed {
    fn fits(&self, origin: &[u8]) -> bool {
        // What has a path or a user name in it is no origin: its host is not what it seems to be.
        let (authority, is_origin) = match scheme_end(origin) {
            Some(end) => (&origin[end..], !origin[end..].iter().any(|byte| b"/?#@\\".contains(byte))),
            None => (origin, true),
        };
        let fits = |regex: &Option<Regex>, text: &[u8]| regex.as_ref().is_some_and(|regex| regex.is_match(text));
        is_origin
            && (self.plain.binary_search_by(|known| (**known).cmp(origin)).is_ok()
                || fits(&self.of_origins, origin)
                || fits(&self.of_hosts, &authority[..host_length(authority)]))
    }
}

/// Whether an entry is an origin, and not a regex for origins.
fn is_plain(entry: &str) -> bool {
    !entry.is_empty() && entry.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".:/-".contains(&byte))
}

/// One regex for all; each has to fit from end to end.
fn joined(regexes: &[&String]) -> Result<Option<Regex>, Vec<FieldError>> {
    if regexes.is_empty() {
        return Ok(None);
    }
    let alternatives: Vec<String> = regexes.iter().map(|regex| format!("(?:{regex})")).collect();
    let pattern = format!(r"\A(?:{})\z", alternatives.join("|"));
    let regex = RegexBuilder::new(&pattern).size_limit(MOST_REGEX_BYTES).dfa_size_limit(MOST_REGEX_BYTES / 4).build();
    regex.map(Some).map_err(|error| vec![FieldError::new("origins", error.to_string())])
}

/// Where the authority of an origin begins.
fn scheme_end(origin: &[u8]) -> Option<usize> {
    memchr::memmem::find(origin, b"://").map(|colon| colon + 3)
}

/// Length of the host that begins an authority.
fn host_length(authority: &[u8]) -> usize {
    // The colons within brackets are an IPv6 address's own.
    let bracket = memchr::memchr(b']', authority).unwrap_or(0);
    memchr::memchr(b':', &authority[bracket..]).map_or(authority.len(), |colon| bracket + colon)
}

/// An origin without a path, and without a port that its scheme has anyway.
fn normal(origin: &[u8]) -> &[u8] {
    let Some(start) = scheme_end(origin) else { return origin };
    let origin = origin.strip_suffix(b"/").unwrap_or(origin);
    let scheme = &origin[..start - 3];
    let port = start + host_length(&origin[start..]);
    match (scheme, &origin[port..]) {
        (b"http", b":80") | (b"https", b":443") => &origin[..port],
        _ => origin,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(entries: &[&str], origin: &str) -> String {
        let origins = Origins::new(&entries.iter().map(|entry| (*entry).to_owned()).collect::<Vec<_>>()).unwrap();
        match origins.allowed(Some(origin.as_bytes()).filter(|origin| !origin.is_empty())) {
            Allowed::Any => "*".into(),
            Allowed::Origin(origin) => String::from_utf8(origin.to_vec()).unwrap(),
            Allowed::None => "-".into(),
        }
    }

    #[test]
    fn entries_are_compared_as_what_they_are() {
        let plain = ["https://a.test", "http://b.test:8080/"];
        let host = [r"^(.+\.)?c\.test$", "https://x.test"];
        let whole = [r"https?://[a-z]+\.d\.test(:\d+)?"];
        for (entries, origin, expected) in [
            (&[][..], "https://a.test", "*"),
            (&["*"], "", "*"),
            (&["https://a.test"], "https://b.test", "https://a.test"),
            (&["https://a.test", "*"], "https://b.test", "*"),
            (&["https://a.test", "*"], "", "-"),
            (&plain, "https://a.test", "https://a.test"),
            (&plain, "https://a.test:443", "https://a.test"),
            (&plain, "https://a.test:80", "-"),
            (&plain, "http://a.test", "-"),
            (&plain, "http://b.test:8080", "http://b.test:8080"),
            (&plain, "http://b.test", "-"),
            (&plain, "null", "-"),
            (&host, "http://c.test:81", "http://c.test:81"),
            (&host, "https://y.c.test", "https://y.c.test"),
            (&host, "https://c.test.evil.test", "-"),
            (&host, "https://evil.test/c.test", "-"),
            (&host, "https://evil.test@c.test", "-"),
            (&host, "https://evil.test:1@c.test", "-"),
            (&host, "https://notc.test", "-"),
            (&whole, "https://a.d.test:8443", "https://a.d.test:8443"),
            (&whole, "http://a.d.test:80", "http://a.d.test"),
            (&whole, "https://a.d.test.evil.test", "-"),
            (&whole, "xhttps://a.d.test", "-"),
            (&["null", "https://a.test"], "null", "null"),
            (&["a|b", "https://x.test"], "http://a", "http://a"),
            (&["a|b", "https://x.test"], "http://ab", "-"),
            (&[r"http://\[::1\]:\d+"], "http://[::1]:8080", "http://[::1]:8080"),
        ] {
            assert_eq!(said(entries, origin), expected, "{entries:?} {origin}");
        }
    }

    #[test]
    fn regexes_that_are_none_or_too_large_are_refused() {
        for entry in ["(", r"(?=a)b", r"(\w{1000}){50}"] {
            let errors = Origins::new(&[entry.to_owned()]).unwrap_err();
            assert_eq!(errors[0].field.as_deref(), Some("origins"));
        }
    }
}
