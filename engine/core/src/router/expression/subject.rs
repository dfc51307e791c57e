//! Where the fields of an expression come from.

use std::net::{IpAddr, SocketAddr};

use super::super::MatchInput;
use super::super::segments::count;
use super::super::work::Work;
use super::fields::{AddressField, NumberField, TextField};

/// What an expression is asked about.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Subject<'a> {
    pub(in super::super) protocol: &'a str,
    pub(in super::super) sni: Option<&'a str>,
    pub(in super::super) source: SocketAddr,
    pub(in super::super) destination: SocketAddr,
    /// The request, if it is one.
    pub(in super::super) request: Option<&'a MatchInput<'a>>,
    /// What may still be done to find out.
    pub(in super::super) work: &'a Work,
}

impl<'a> Subject<'a> {
    pub(in super::super) fn of_request(request: &'a MatchInput<'a>, work: &'a Work) -> Self {
        Self {
            protocol: request.scheme.as_str(),
            sni: request.sni,
            source: request.source,
            destination: request.destination,
            request: Some(request),
            work,
        }
    }

    pub(super) fn number(&self, field: NumberField) -> Option<i64> {
        Some(match field {
            NumberField::SourcePort => self.source.port().into(),
            NumberField::DestinationPort => self.destination.port().into(),
            NumberField::SegmentCount => i64::try_from(count(self.request?.path)).ok()?,
        })
    }

    pub(super) fn address(&self, field: AddressField) -> IpAddr {
        match field {
            AddressField::Source => self.source.ip().to_canonical(),
            AddressField::Destination => self.destination.ip().to_canonical(),
        }
    }

    /// Hands every text of a field to `ask` until that says that it has heard enough. A field that is missing has none.
    pub(super) fn texts(&self, field: &TextField, mut ask: impl FnMut(&[u8]) -> bool) {
        let request = self.request;
        let steps = request.map_or(0, |request| match field {
            TextField::Segment(_) | TextField::Segments(..) => request.path.len() / 8,
            TextField::Header(_) => request.headers.len(),
            TextField::Query(_) => request.query.map_or(0, |query| 2 * query.len()),
            _ => 0,
        });
        if !self.work.take(steps) {
            return;
        }
        let text: Option<&[u8]> = match field {
            TextField::Protocol => Some(self.protocol.as_bytes()),
            TextField::ServerName => self.sni.map(str::as_bytes),
            TextField::Method => request.map(|request| request.method),
            TextField::Host => request.map(|request| request.host.as_bytes()),
            TextField::Path => request.map(|request| request.path),
            TextField::Segment(position) => request.and_then(|request| piece(request.path, *position, *position)),
            TextField::Segments(first, last) => request.and_then(|request| piece(request.path, *first, *last)),
            TextField::Header(name) => {
                for (own, value) in request.iter().flat_map(|request| request.headers.iter()) {
                    if is_header(own, name) && !ask(value) {
                        return;
                    }
                }
                None
            }
            TextField::Query(name) => {
                let query = request.and_then(|request| request.query).unwrap_or_default();
                for argument in query.split(|&byte| byte == b'&').filter(|argument| !argument.is_empty()) {
                    let mut halves = argument.splitn(2, |&byte| byte == b'=');
                    let (own, value) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
                    if decoded(own).eq(name.bytes()) && !ask(&decoded(value).collect::<Vec<u8>>()) {
                        return;
                    }
                }
                None
            }
        };
        if let Some(text) = text {
            ask(text);
        }
    }
}

/// `name` is in lower case and has `-` for `_`.
fn is_header(own: &[u8], name: &str) -> bool {
    let plain = |byte: &u8| if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    own.len() == name.len() && own.iter().map(plain).eq(name.bytes())
}

/// The segments from `first` to `last` with the slashes between them.
fn piece(path: &[u8], first: u16, last: u16) -> Option<&[u8]> {
    let path = path.strip_prefix(b"/")?;
    let path = path.strip_suffix(b"/").unwrap_or(path);
    if path.is_empty() {
        return None;
    }
    let mut start = 0;
    let mut position = 0;
    for end in memchr::memchr_iter(b'/', path).chain([path.len()]) {
        if position == last {
            return path.get(start..end);
        }
        position += 1;
        if position == first {
            start = end + 1;
        }
    }
    None
}

/// An argument's text as a form writes it: `+` is a space, `%XX` a byte, a `%` alone itself.
fn decoded(text: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (&byte, tail) = rest.split_first()?;
        rest = tail;
        Some(match (byte, tail) {
            (b'+', _) => b' ',
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    rest = after;
                    high << 4 | low
                }
                _ => b'%',
            },
            _ => byte,
        })
    })
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}
