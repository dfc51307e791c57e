//! `Cache-Control` (RFC 9111 section 5.2), `Expires` and `Vary`.

use crate::clock::parse_http_date;
use crate::message::Headers;

/// What a message says about caching.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "directives that are there or not")]
pub(super) struct Directives {
    pub(super) no_store: bool,
    pub(super) no_cache: bool,
    pub(super) private: bool,
    /// `must-revalidate` or `proxy-revalidate`.
    pub(super) must_revalidate: bool,
    pub(super) only_if_cached: bool,
    pub(super) max_age: Option<u64>,
    pub(super) s_maxage: Option<u64>,
    /// Without a number: however stale.
    pub(super) max_stale: Option<u64>,
    pub(super) min_fresh: Option<u64>,
}

impl Directives {
    /// Those of all lines. Of one that is there twice the stricter counts; a time that is no number is none at all
    /// (section 4.2.1 of the RFC).
    pub(super) fn of(headers: &Headers) -> Self {
        let mut found = Self::default();
        for item in headers.get_all("cache-control").flat_map(items) {
            let (name, value) = match memchr::memchr(b'=', item) {
                Some(at) => (item[..at].trim_ascii(), Some(unquoted(item[at + 1..].trim_ascii()))),
                None => (item, None),
            };
            let seconds = || value.and_then(|value| std::str::from_utf8(value).ok()?.parse::<u64>().ok());
            let stricter = |known: Option<u64>, seconds: u64| Some(known.map_or(seconds, |known| known.min(seconds)));
            match name.to_ascii_lowercase().as_slice() {
                b"no-store" => found.no_store = true,
                b"no-cache" => found.no_cache = true,
                b"private" => found.private = true,
                b"must-revalidate" | b"proxy-revalidate" => found.must_revalidate = true,
                b"only-if-cached" => found.only_if_cached = true,
                b"max-age" => found.max_age = stricter(found.max_age, seconds().unwrap_or(0)),
                b"s-maxage" => found.s_maxage = stricter(found.s_maxage, seconds().unwrap_or(0)),
                b"max-stale" => {
                    let stale = if value.is_none() { u64::MAX } else { seconds().unwrap_or(0) };
                    found.max_stale = stricter(found.max_stale, stale);
                }
                b"min-fresh" => {
                    let fresh = seconds().unwrap_or(u64::MAX);
                    found.min_fresh = Some(found.min_fresh.map_or(fresh, |known| known.max(fresh)));
                }
                _ => {}
            }
        }
        found
    }

    /// Seconds for which a response with these is good from now on; 0 where nothing says so.
    pub(super) fn lifetime(&self, headers: &Headers, now: u64) -> u64 {
        let expires = || {
            let mut lines = headers.get_all("expires");
            let only = lines.next().filter(|_| lines.next().is_none())?;
            Some(parse_http_date(only)?.saturating_sub(now))
        };
        let lifetime = self.s_maxage.or(self.max_age).or_else(expires).unwrap_or(0);
        lifetime.saturating_sub(age(headers))
    }
}

/// How old a response is already when it arrives.
pub(super) fn age(headers: &Headers) -> u64 {
    let ages = headers.get_all("age").map(|age| std::str::from_utf8(age).ok()?.trim().parse().ok());
    ages.map(|age| age.unwrap_or(u64::MAX / 2)).max().unwrap_or(0)
}

/// The names in `Vary`, in lower case, each once; `None` if anything may make a difference, or too much does.
pub(super) fn vary(headers: &Headers) -> Option<Vec<Box<str>>> {
    const MOST_NAMES: usize = 16;
    let mut names: Vec<Box<str>> = Vec::new();
    for item in headers.get_all("vary").flat_map(items) {
        let name = std::str::from_utf8(item).ok().filter(|name| *name != "*")?.to_ascii_lowercase();
        if !names.iter().any(|known| **known == *name) {
            names.push(name.into());
        }
    }
    names.sort_unstable();
    (names.len() <= MOST_NAMES).then_some(names)
}

/// The items of a list, as far as commas within quotes do not matter.
fn items(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    let split = line.split(move |byte| {
        quoted ^= *byte == b'"';
        *byte == b',' && !quoted
    });
    split.map(<[u8]>::trim_ascii).filter(|item| !item.is_empty())
}

fn unquoted(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&str, &str)]) -> Headers {
        let mut headers = Headers::new();
        for (name, value) in lines {
            headers.append(name, value).unwrap();
        }
        headers
    }

    fn read(line: &str) -> Directives {
        Directives::of(&headers(&[("Cache-Control", line)]))
    }

    #[test]
    fn directives_are_read_as_they_are_meant() {
        let none = Directives::default();
        assert_eq!(read("public, x=\"no-store, no-cache\""), none);
        assert_eq!(
            read("No-Store,private=\"set-cookie, x\""),
            Directives { no_store: true, private: true, ..none.clone() }
        );
        assert_eq!(read("max-age=\"60\", max-age=30").max_age, Some(30));
        assert_eq!([read("max-age=x").max_age, read("max-age").max_age, read("max-age=-1").max_age], [Some(0); 3]);
        assert_eq!([read("max-stale").max_stale, read("max-stale=5").max_stale], [Some(u64::MAX), Some(5)]);
        assert_eq!(
            [read("min-fresh=5, min-fresh=9").min_fresh, read("min-fresh=x").min_fresh],
            [Some(9), Some(u64::MAX)]
        );
    }

    #[test]
    fn lifetimes() {
        let lifetime = |lines: &[(&str, &str)]| {
            let headers = headers(lines);
            Directives::of(&headers).lifetime(&headers, 784_111_777)
        };
        assert_eq!(lifetime(&[("cache-control", "max-age=60, s-maxage=10")]), 10);
        assert_eq!(lifetime(&[("cache-control", "max-age=60"), ("age", "50")]), 10);
        assert_eq!(lifetime(&[("cache-control", "max-age=60"), ("age", "x")]), 0);
        assert_eq!(lifetime(&[("expires", "Sun, 06 Nov 1994 08:50:37 GMT")]), 60);
        assert_eq!(lifetime(&[("expires", "0")]), 0);
        assert_eq!(lifetime(&[("cache-control", "max-age=5"), ("expires", "Sun, 06 Nov 1994 08:50:37 GMT")]), 5);
        assert_eq!(lifetime(&[]), 0);
    }

    #[test]
    fn what_a_response_varies_by() {
        let names = |line: &str| vary(&headers(&[("Vary", line), ("vary", "b")])).map(|names| names.join(" "));
        assert_eq!(names("Accept-Encoding, B,,"), Some("accept-encoding b".into()));
        assert_eq!(names("*"), None);
        assert_eq!(names("a, *"), None);
        let many: Vec<_> = (0..16).map(|number| format!("x{number}")).collect();
        assert_eq!(names(&many.join(",")), None);
        assert_eq!(vary(&Headers::new()), Some(vec![]));
    }
}
