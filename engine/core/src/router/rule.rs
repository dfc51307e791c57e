//! What a route asks of a request apart from its path.

use std::sync::Arc;

use super::MatchInput;
use super::names::{Name, Names};
use super::pattern::{HeaderPattern, Patterns};
use super::spec::RouteSpec;
use super::work::Work;
use crate::message::{Headers, Scheme};

/// A field of a route that cannot be compiled, and why.
pub(super) type FieldFault = (String, String);

/// The conditions of one route; all of them must hold.
#[derive(Debug, Default)]
pub(super) struct Rule {
    /// Only this one; for expressions.
    pub(super) scheme: Option<Scheme>,
    pub(super) methods: Box<[Box<[u8]>]>,
    pub(super) hosts: Names,
    pub(super) headers: Box<[HeaderRule]>,
    pub(super) snis: Names,
}

/// One header that has to be there with one of several values.
#[derive(Debug)]
pub(super) struct HeaderRule {
    /// In lower case.
    pub(super) name: Box<str>,
    /// In lower case, sorted.
    pub(super) values: Box<[Box<[u8]>]>,
    pub(super) patterns: Box<[Arc<HeaderPattern>]>,
}

impl Rule {
    /// `None` for a route without such conditions. What cannot be compiled is added to `faults`.
    pub(super) fn compile(route: &RouteSpec, patterns: &Patterns, faults: &mut Vec<FieldFault>) -> Option<Box<Self>> {
        let mut hosts = Vec::new();
        for (index, host) in route.hosts.iter().flatten().enumerate() {
            match Name::host(host) {
                Ok(name) => hosts.push(name),
                Err(message) => faults.push((format!("hosts[{index}]"), message)),
            }
        }
        let mut headers = Vec::new();
        for (name, values) in route.headers.iter().flatten() {
            headers.push(HeaderRule::compile(name, values, patterns, faults));
        }
        let rule = Self {
            scheme: None,
            methods: route.methods.iter().flatten().map(|method| method.as_bytes().into()).collect(),
            hosts: Names::new(hosts),
            headers: headers.into(),
            snis: Names::new(route.snis.iter().flatten().map(|sni| Name::server_name(sni)).collect()),
        };
        (!rule.is_empty()).then(|| Box::new(rule))
    }

    fn is_empty(&self) -> bool {
        self.methods.is_empty() && self.hosts.is_empty() && self.headers.is_empty() && self.snis.is_empty()
    }

    pub(super) fn accepts(&self, input: &MatchInput<'_>, work: &Work) -> bool {
        work.take(self.one_by_one() + self.headers.len() * input.headers.len())
            && self.scheme.is_none_or(|scheme| scheme == input.scheme)
            && (self.methods.is_empty() || self.methods.iter().any(|method| **method == *input.method))
            && self.hosts.accept(input.host, input.port)
            && (input.scheme == Scheme::Http
                || self.snis.is_empty()
                || input.sni.is_some_and(|sni| self.snis.accept(sni, 0)))
            && self.headers.iter().all(|header| header.accepts(input.headers, work))
    }

    /// How many values are compared one after the other.
    fn one_by_one(&self) -> usize {
        self.methods.len() + self.hosts.wild().len() + self.snis.wild().len()
    }
}

impl HeaderRule {
    fn compile(name: &str, all: &[String], patterns: &Patterns, faults: &mut Vec<FieldFault>) -> Self {
        let mut values = Vec::new();
        let mut regexes = Vec::new();
        for (index, value) in all.iter().enumerate() {
            let Some(pattern) = value.strip_prefix("~*") else {
                values.push(value.to_ascii_lowercase().into_bytes().into_boxed_slice());
                continue;
            };
            match patterns.header_value(pattern) {
                Ok(regex) => regexes.push(regex),
                Err(message) => faults.push((format!("headers.{name}[{index}]"), message)),
            }
        }
        values.sort();
        Self { name: name.to_ascii_lowercase().into(), values: values.into(), patterns: regexes.into() }
    }

    fn accepts(&self, headers: &Headers, work: &Work) -> bool {
        headers.get_all(&self.name).any(|value| {
            let lower = |byte: &u8| byte.to_ascii_lowercase();
            self.values.binary_search_by(|own| own.iter().copied().cmp(value.iter().map(lower))).is_ok()
                || (!self.patterns.is_empty()
                    && std::str::from_utf8(value)
                        .is_ok_and(|value| self.patterns.iter().any(|pattern| pattern.is_match(value, work))))
        })
    }
}
