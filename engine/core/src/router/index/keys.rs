//! The keys that a candidate is filed under, for each kind of condition.

use super::super::candidates::Candidates;
use super::super::expression;
use super::super::names::{Name, Names, Shape};
use super::super::route::PathTest;
use super::super::rule::{HeaderRule, Rule};
use super::super::segments;

/// What a split can look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Kind {
    Path,
    /// The end of the path.
    Ending,
    Host,
    Method,
    Header,
    ServerName,
    /// Of the path, by position.
    Segment(u8),
    /// How many segments the path has.
    Depth,
}

/// Those that tell most at the least cost come first.
pub(super) const KINDS: [Kind; 15] = [
    Kind::Path,
    Kind::Host,
    Kind::Method,
    Kind::Header,
    Kind::ServerName,
    Kind::Depth,
    Kind::Segment(0),
    Kind::Segment(1),
    Kind::Segment(2),
    Kind::Segment(3),
    Kind::Segment(4),
    Kind::Segment(5),
    Kind::Segment(6),
    Kind::Segment(7),
    Kind::Ending,
];

pub(in super::super) enum Key {
    /// The start of what is looked at.
    Forward(Vec<u8>),
    /// Its end, from the last byte on.
    Backward(Vec<u8>),
}

/// Keys of which an accepted request has one; none if it may have any. Headers are for [`header_lines`].
pub(super) fn of(candidates: &Candidates, rank: u32, kind: Kind) -> Vec<Key> {
    if let PathTest::Expression(expression) = &candidates.way(rank).path {
        return expression::keys(expression, kind);
    }
    let of_rule = |keys: fn(&Rule) -> Vec<Key>| -> Vec<Key> { candidates.rule(rank).map(keys).unwrap_or_default() };
    match kind {
        Kind::Path => path(&candidates.way(rank).path),
        Kind::Ending => ending(&candidates.way(rank).path),
        Kind::Segment(position) => {
            shape(&candidates.way(rank).path, |shape| shape.key(position).map(|key| Key::Forward(key.to_vec())))
        }
        Kind::Depth => shape(&candidates.way(rank).path, |shape| {
            shape.depth().map(|depth| Key::Forward(depth.to_be_bytes().to_vec()))
        }),
        Kind::Host => of_rule(|rule| names(&rule.hosts)),
        Kind::ServerName => of_rule(|rule| names(&rule.snis)),
        Kind::Method => of_rule(|rule| rule.methods.iter().map(|method| Key::Forward(method.to_vec())).collect()),
        Kind::Header => Vec::new(),
    }
}

/// For every header that must match: lines of [`super::Table::Header`] of which an accepted request has one.
pub(super) fn header_lines(candidates: &Candidates, rank: u32) -> Vec<Vec<Vec<u8>>> {
    if let PathTest::Expression(expression) = &candidates.way(rank).path {
        return expression::header_lines(expression);
    }
    candidates.rule(rank).map(|rule| rule.headers.iter().map(lines).collect()).unwrap_or_default()
}

fn path(test: &PathTest) -> Vec<Key> {
    match test {
        PathTest::Any | PathTest::Expression(_) => Vec::new(),
        PathTest::Prefix(prefix) => vec![Key::Forward(prefix.to_vec())],
        PathTest::Pattern(pattern) => pattern.beginnings.iter().map(|start| Key::Forward(start.to_vec())).collect(),
    }
}

fn ending(test: &PathTest) -> Vec<Key> {
    let key = |end: &[u8]| Key::Backward(end.iter().rev().copied().collect());
    match test {
        PathTest::Any | PathTest::Prefix(_) | PathTest::Expression(_) => Vec::new(),
        PathTest::Pattern(pattern) => pattern.endings.iter().map(|end| key(end)).collect(),
    }
}

fn shape(test: &PathTest, key: impl Fn(&segments::Shape) -> Option<Key>) -> Vec<Key> {
    let found = match test {
        PathTest::Any | PathTest::Expression(_) => None,
        PathTest::Prefix(prefix) => key(&segments::Shape::of_prefix(prefix)),
        PathTest::Pattern(pattern) => key(&pattern.shape),
    };
    found.into_iter().collect()
}

fn names(names: &Names) -> Vec<Key> {
    let key = |name: &Name| match name.shape {
        Shape::Prefix => Key::Forward(name.text.as_bytes().to_vec()),
        Shape::Exact | Shape::Suffix => Key::Backward(name.text.bytes().rev().collect()),
    };
    names.iter().map(key).collect()
}

fn lines(header: &HeaderRule) -> Vec<Vec<u8>> {
    let name = header.name.replace('_', "-");
    let line = |value: &[u8]| [name.as_bytes(), b":", value].concat();
    let patterns = || header.patterns.iter().map(|pattern| &pattern.beginnings);
    if patterns().any(|beginnings| beginnings.is_empty()) {
        return vec![line(b"")];
    }
    header.values.iter().chain(patterns().flatten()).map(|value| line(value)).collect()
}
