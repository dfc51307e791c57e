//! Expressions: the matching rules that users write as text.
//!
//! ```text
//! http.path ^= "/api" && (http.method == "GET" || any(http.headers.x_debug) == "1")
//! ```
//!
//! [`parse`] reads a text into a tree, with every field, type and regex checked; [`Expression::accepts`] asks the
//! tree; `keys` tells the index what a request surely has that is accepted. The corpus
//! `tests/corpus/route_expressions.json` says what is valid and what matches.

mod fields;
mod keys;
mod lexer;
mod parse;
mod subject;

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::pattern::TextPattern;
use super::programs::Program;
use super::work::Work;
use crate::message::Captures;

use fields::{AddressField, NumberField, TextField};
pub(super) use keys::{header_lines, keys};
pub(super) use parse::parse;
pub(super) use subject::Subject;

/// Longest accepted expression, in bytes.
pub(super) const MAX_BYTES: usize = 16 << 10;
/// Deepest nesting of parentheses.
pub(super) const MAX_DEPTH: usize = 64;
/// What looking at a part of an expression costs, in units of work.
const PART: usize = 4;
/// Bytes that are compared in the time of one unit of work.
const BYTES_PER_UNIT: usize = 8;

/// A checked expression.
#[derive(Debug)]
pub(super) struct Expression {
    root: Node,
}

#[derive(Debug)]
enum Node {
    All(Box<[Self]>),
    Any(Box<[Self]>),
    Not(Box<Self>),
    Text(TextTest),
    Number { field: NumberField, comparison: Comparison, value: i64 },
    Address { field: AddressField, address: IpAddr },
    Network { field: AddressField, network: IpNet, inside: bool },
}

/// A test of a text, or of each of several.
#[derive(Debug)]
struct TextTest {
    field: TextField,
    /// Whether letter case is ignored by looking at the text in lower case.
    lower: bool,
    /// Whether one of several texts is enough.
    any: bool,
    operator: TextOperator,
}

#[derive(Debug)]
enum TextOperator {
    Equal(Box<[u8]>),
    NotEqual(Box<[u8]>),
    Start(Box<[u8]>),
    End(Box<[u8]>),
    Contain(Box<[u8]>),
    /// Of the pattern's shape only that for paths is kept.
    Match(Box<TextPattern>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

/// What an accepted request has shown of itself.
#[derive(Debug, Default, Clone)]
pub(super) struct Evidence {
    /// Length of the path's start that a prefix or a regex matched.
    pub(super) matched: Option<usize>,
    /// Groups of the last regex that matched; one for the path counts more than others.
    pub(super) captures: Captures,
    of_path: bool,
}

impl Expression {
    pub(super) fn accepts(&self, subject: &Subject<'_>) -> bool {
        self.root.holds(subject, &mut None)
    }

    /// What of an accepted request the expression matched.
    pub(super) fn evidence(&self, subject: &Subject<'_>) -> Evidence {
        let mut evidence = Some(Evidence::default());
        self.root.holds(subject, &mut evidence);
        evidence.unwrap_or_default()
    }

    /// Hands every program to `each`.
    pub(super) fn programs<'a>(&'a self, each: &mut impl FnMut(&'a Arc<Program>)) {
        self.root.programs(each);
    }
}

impl Node {
    /// `evidence` is added to by what holds; it is left as it is by what does not.
    fn holds(&self, subject: &Subject<'_>, evidence: &mut Option<Evidence>) -> bool {
        if !subject.work.take(PART) {
            return false;
        }
        match self {
            Self::All(parts) => {
                let before = evidence.clone();
                let all = parts.iter().all(|part| part.holds(subject, evidence));
                if !all {
                    *evidence = before;
                }
                all
            }
            Self::Any(parts) => parts.iter().any(|part| part.holds(subject, evidence)),
            Self::Not(part) => !part.holds(subject, &mut None),
            Self::Text(test) => test.holds(subject, evidence),
            Self::Number { field, comparison, value } => {
                subject.number(*field).is_some_and(|own| comparison.holds(own, *value))
            }
            Self::Address { field, address } => subject.address(*field) == *address,
            Self::Network { field, network, inside } => network.contains(&subject.address(*field)) == *inside,
        }
    }

    fn programs<'a>(&'a self, each: &mut impl FnMut(&'a Arc<Program>)) {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|part| part.programs(each)),
            Self::Not(part) => part.programs(each),
            Self::Text(TextTest { operator: TextOperator::Match(pattern), .. }) => {
                pattern.matcher.program().into_iter().for_each(each);
            }
            Self::Text(_) | Self::Number { .. } | Self::Address { .. } | Self::Network { .. } => {}
        }
    }
}

impl Comparison {
    fn holds(self, own: i64, value: i64) -> bool {
        match self {
            Self::Equal => own == value,
            Self::NotEqual => own != value,
            Self::Greater => own > value,
            Self::GreaterOrEqual => own >= value,
            Self::Less => own < value,
            Self::LessOrEqual => own <= value,
        }
    }
}

impl TextTest {
    fn holds(&self, subject: &Subject<'_>, evidence: &mut Option<Evidence>) -> bool {
        let mut some = false;
        let mut all = true;
        subject.texts(&self.field, |text| {
            let lower = if self.lower && text.iter().any(u8::is_ascii_uppercase) {
                Some(text.to_ascii_lowercase())
            } else {
                None
            };
            let text = lower.as_deref().unwrap_or(text);
            let holds = self.operator.holds(text, self.field == TextField::Path, evidence, subject.work);
            some |= holds;
            all &= holds;
            if self.any { !holds } else { holds }
        });
        some && (self.any || all)
    }
}

impl TextOperator {
    fn holds(&self, text: &[u8], is_path: bool, evidence: &mut Option<Evidence>, work: &Work) -> bool {
        if !work.take(text.len() / BYTES_PER_UNIT) {
            return false;
        }
        match self {
            Self::Equal(value) => *text == **value,
            Self::NotEqual(value) => *text != **value,
            Self::End(value) => text.ends_with(value),
            Self::Contain(value) => memchr::memmem::find(text, value).is_some(),
            Self::Start(value) => {
                let holds = text.starts_with(value);
                if let Some(evidence) = evidence.as_mut().filter(|_| holds && is_path) {
                    evidence.matched = Some(value.len());
                }
                holds
            }
            Self::Match(pattern) => match std::str::from_utf8(text) {
                Ok(text) => pattern.holds(text, is_path, evidence, work),
                Err(_) => false,
            },
        }
    }
}

impl TextPattern {
    fn holds(&self, text: &str, is_path: bool, evidence: &mut Option<Evidence>, work: &Work) -> bool {
        let Some(evidence) = evidence else { return self.matcher.is_match(text, work) };
        let Some((span, captures)) = self.matcher.captures(text, work) else { return false };
        if is_path || !evidence.of_path {
            evidence.captures = captures;
            evidence.of_path = is_path;
        }
        if is_path && span.start == 0 {
            evidence.matched = Some(span.end);
        }
        true
    }
}
