//! What of a request selects its target.

use std::hash::Hasher;
use std::net::IpAddr;

use twox_hash::XxHash64;

use crate::config::entities::{HashOn, UpstreamSpec};
use crate::message::Request;
use crate::router::normalise;

/// A cookie that ties a client to a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cookie {
    /// Its name.
    pub name: Box<str>,
    /// Its path.
    pub path: Box<str>,
}

impl Cookie {
    /// A cookie.
    #[must_use]
    pub fn new(name: &str, path: &str) -> Self {
        Self { name: name.into(), path: path.into() }
    }

    /// The value that a request has of it.
    #[must_use]
    pub fn of<'a>(&self, request: &'a Request) -> Option<&'a [u8]> {
        request.head.headers.get_all("cookie").flat_map(|line| line.split(|byte| *byte == b';')).find_map(|pair| {
            let pair = pair.trim_ascii();
            let value = pair.strip_prefix(self.name.as_bytes())?.strip_prefix(b"=")?;
            (!value.is_empty()).then_some(value)
        })
    }
}

/// The key of a client by its address.
#[must_use]
pub fn address_key(address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(address) => XxHash64::oneshot(0, &address.octets()),
        IpAddr::V6(address) => XxHash64::oneshot(0, &address.octets()),
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Input {
    None,
    Consumer,
    Ip,
    Header(Box<str>),
    Cookie(Cookie),
    Path,
    QueryArg(Box<str>),
    UriCapture(Box<str>),
}

/// The inputs of a hash in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hashing {
    first: Input,
    fallback: Input,
}

/// The hash of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key<'a> {
    /// The value of its input.
    Hash(u64),
    /// The client has no cookie yet and is to get this one.
    NewCookie(&'a Cookie),
}

impl Hashing {
    /// The inputs that an upstream names. One without its name is no input.
    #[must_use]
    pub fn new(spec: &UpstreamSpec) -> Self {
        let named = |name: &Option<String>, make: fn(Box<str>) -> Input| {
            name.as_deref().map_or(Input::None, |name| make(name.into()))
        };
        let input = |on, header, argument, capture| match on {
            HashOn::None => Input::None,
            HashOn::Consumer => Input::Consumer,
            HashOn::Ip => Input::Ip,
            HashOn::Header => named(header, Input::Header),
            HashOn::Cookie => spec.hash_on_cookie.as_deref().map_or(Input::None, |name| {
                Input::Cookie(Cookie::new(name, spec.hash_on_cookie_path.as_deref().unwrap_or("/")))
            }),
            HashOn::Path => Input::Path,
            HashOn::QueryArg => named(argument, Input::QueryArg),
            HashOn::UriCapture => named(capture, Input::UriCapture),
        };
        let (header, argument) = (&spec.hash_on_header, &spec.hash_on_query_arg);
        Self {
            first: input(spec.hash_on, header, argument, &spec.hash_on_uri_capture),
            fallback: input(
                spec.hash_fallback,
                &spec.hash_fallback_header,
                &spec.hash_fallback_query_arg,
                &spec.hash_fallback_uri_capture,
            ),
        }
    }

    /// The key of a request; `consumer` is the id of its consumer or credential. Without any input all requests have
    /// the same.
    #[must_use]
    pub fn key(&self, request: &Request, consumer: Option<&str>) -> Key<'_> {
        [&self.first, &self.fallback]
            .into_iter()
            .find_map(|input| match input {
                Input::Cookie(cookie) => Some(
                    cookie.of(request).map_or(Key::NewCookie(cookie), |value| Key::Hash(XxHash64::oneshot(0, value))),
                ),
                input => input.hash(request, consumer).map(Key::Hash),
            })
            .unwrap_or(Key::Hash(XxHash64::oneshot(0, b"")))
    }
}

impl Input {
    fn hash(&self, request: &Request, consumer: Option<&str>) -> Option<u64> {
        let mut hasher = XxHash64::with_seed(0);
        let mut found = false;
        let mut write = |bytes: &[u8]| {
            found = true;
            hasher.write(bytes);
        };
        match self {
            // A cookie is the caller's.
            Self::None | Self::Cookie(_) => {}
            Self::Consumer => write(consumer?.as_bytes()),
            Self::Ip => return Some(address_key(request.client_ip)),
            Self::Header(name) => request.head.headers.get_all(name).for_each(&mut write),
            Self::Path => write(&normalise(request.head.path()).ok()?),
            Self::QueryArg(name) => query_argument(request.head.query()?, name.as_bytes(), &mut write),
            Self::UriCapture(name) => {
                let captures = &request.captures;
                let number = name.parse().ok().and_then(|number| captures.get(number));
                write(number.or_else(|| captures.name(name))?);
            }
        }
        found.then(|| hasher.finish())
    }
}

/// The values of an argument, sorted and joined by commas; one without a value is `true`.
fn query_argument(query: &[u8], name: &[u8], write: &mut impl FnMut(&[u8])) {
    let mut values = query.split(|byte| *byte == b'&').filter_map(|pair| {
        let mut parts = pair.splitn(2, |byte| *byte == b'=');
        let own = parts.next().unwrap_or_default();
        (own == name || decode(own) == name).then(|| parts.next().map_or_else(|| b"true".to_vec(), decode))
    });
    let Some(first) = values.next() else { return };
    let mut all = vec![first];
    all.extend(values);
    all.sort_unstable();
    for (index, value) in all.iter().enumerate() {
        if index > 0 {
            write(b",");
        }
        write(value);
    }
}

fn decode(text: &[u8]) -> Vec<u8> {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let mut decoded = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match (byte, digit(text.get(at + 1)), digit(text.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                decoded.push(u8::try_from(high * 16 + low).unwrap_or_default());
                at += 2;
            }
            (b'+', ..) => decoded.push(b' '),
            _ => decoded.push(*byte),
        }
        at += 1;
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{RequestHead, Scheme, Version};

    fn request(path: &str, query: Option<&str>, headers: &[(&str, &str)]) -> Request {
        let mut head = RequestHead::new(b"GET", path.as_bytes(), query.map(str::as_bytes), Version::Http11);
        for (name, value) in headers {
            head.headers.append(name, value).unwrap();
        }
        Request::new(head, "192.0.2.1".parse().unwrap(), Scheme::Http, "a".into())
    }

    fn spec(hash_on: HashOn, hash_fallback: HashOn) -> UpstreamSpec {
        let mut spec: UpstreamSpec = serde_json::from_value(serde_json::json!({
            "hash_on_header": "x", "hash_on_cookie": "x", "hash_on_query_arg": "x", "hash_on_uri_capture": "x",
            "hash_fallback_header": "y",
        }))
        .unwrap();
        (spec.hash_on, spec.hash_fallback) = (hash_on, hash_fallback);
        spec
    }

    fn hash(spec: &UpstreamSpec, request: &Request) -> u64 {
        match Hashing::new(spec).key(request, None) {
            Key::Hash(hash) => hash,
            Key::NewCookie(_) => panic!("no hash"),
        }
    }

    fn of(text: &str) -> u64 {
        XxHash64::oneshot(0, text.as_bytes())
    }

    #[test]
    fn inputs() {
        let plain = |on| spec(on, HashOn::None);
        let asked = request("/a%41/../b", Some("x=b&y=1&%78=a&x"), &[("X", "1"), ("x", "2"), ("cookie", "a=b; x=c")]);
        assert_eq!(hash(&plain(HashOn::Header), &asked), of("12"));
        assert_eq!(hash(&plain(HashOn::Path), &asked), of("/b"));
        assert_eq!(hash(&plain(HashOn::QueryArg), &asked), of("a,b,true"));
        assert_eq!(hash(&plain(HashOn::Cookie), &asked), of("c"));
        let consumer = Hashing::new(&plain(HashOn::Consumer));
        assert_eq!(consumer.key(&asked, Some("id")), Key::Hash(of("id")));
        assert_eq!(hash(&plain(HashOn::Ip), &asked), XxHash64::oneshot(0, &[192, 0, 2, 1]));
    }

    #[test]
    fn fallbacks() {
        let bare = request("/", None, &[("y", "1")]);
        for on in [HashOn::Header, HashOn::QueryArg, HashOn::UriCapture, HashOn::Consumer] {
            assert_eq!(hash(&spec(on, HashOn::None), &bare), of(""), "{on:?}");
            assert_eq!(hash(&spec(on, HashOn::Header), &bare), of("1"), "{on:?}");
        }
        let hashing = Hashing::new(&spec(HashOn::Header, HashOn::Cookie));
        assert_eq!(hashing.key(&bare, None), Key::NewCookie(&Cookie::new("x", "/")));
    }
}
