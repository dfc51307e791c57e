//! Where tokens are looked for: in the query, in cookies and in headers.

use std::borrow::Cow;

use crate::message::{Headers, RequestHead};
use crate::query;

/// What a request presents.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Presented<'r> {
    Nothing,
    /// Tokens that differ.
    Several,
    Token(Cow<'r, [u8]>),
}

/// The places of an instance.
pub(super) struct Sources {
    arguments: Box<[Box<str>]>,
    cookies: Box<[Box<str>]>,
    headers: Box<[Box<str>]>,
}

impl Sources {
    pub(super) fn new(arguments: Vec<String>, cookies: Vec<String>, headers: Vec<String>) -> Self {
        let boxed = |names: Vec<String>| names.into_iter().map(Into::into).collect();
        Self { arguments: boxed(arguments), cookies: boxed(cookies), headers: boxed(headers) }
    }

    /// The token of a request, if it presents one and no other.
    pub(super) fn token<'r>(&'r self, head: &'r RequestHead) -> Presented<'r> {
        let query = head.query().unwrap_or_default();
        let arguments = self.arguments.iter().flat_map(|name| query::values(query, name.as_bytes()));
        let cookies = self.cookies.iter().filter_map(|name| cookie(&head.headers, name.as_bytes())).map(Cow::Borrowed);
        let headers = self.headers.iter().filter_map(|name| bearer(head.headers.get(name)?)).map(Cow::Borrowed);
        let mut found = Presented::Nothing;
        for token in arguments.chain(cookies).chain(headers).filter(|token| !token.is_empty()) {
            match &found {
                Presented::Nothing => found = Presented::Token(token),
                Presented::Token(known) if *known == token => {}
                _ => return Presented::Several,
            }
        }
        found
    }
}

/// The first cookie of a name (RFC 6265 section 4.2.1).
fn cookie<'r>(headers: &'r Headers, name: &[u8]) -> Option<&'r [u8]> {
    let pairs = headers.get_all("cookie").flat_map(|line| line.split(|byte| *byte == b';'));
    let mut values = pairs.filter_map(|pair| {
        let pair = pair.trim_ascii();
        let equals = memchr::memchr(b'=', pair)?;
        (pair[..equals] == *name).then(|| &pair[equals + 1..])
    });
    values.next()
}

/// What follows `Bearer` or `bearer`.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let rest = value.strip_prefix(b"Bearer").or_else(|| value.strip_prefix(b"bearer"))?;
    let token = rest.trim_ascii_start();
    (token.len() < rest.len()).then_some(token)
}
