//! All ways in which requests can match, best first.

use super::MatchInput;
use super::pattern::PathPattern;
use super::rule::Rule;

/// One route with at most one of its paths. A candidate's position is its rank: the smaller one wins.
#[derive(Debug)]
pub(super) struct Candidate {
    /// Index into the slice that the router was compiled from.
    pub(super) route: u32,
    pub(super) path: PathTest,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum PathTest {
    /// A route without paths.
    Any,
    /// A piece of [`Candidates::text`].
    Prefix { start: u32, length: u32 },
    /// An index into [`Candidates::patterns`].
    Pattern(u32),
}

/// The candidates, and the data that they point into.
#[derive(Debug)]
pub(super) struct Candidates {
    pub(super) ranked: Box<[Candidate]>,
    /// By route; `None` if only paths matter.
    pub(super) rules: Box<[Option<Box<Rule>>]>,
    pub(super) text: Box<[u8]>,
    pub(super) patterns: Box<[PathPattern]>,
}

impl Candidates {
    pub(super) fn rule(&self, rank: u32) -> Option<&Rule> {
        self.rules[self.ranked[rank as usize].route as usize].as_deref()
    }

    pub(super) fn prefix(&self, start: u32, length: u32) -> &[u8] {
        &self.text[start as usize..][..length as usize]
    }

    /// Where the match ends in the path, if this candidate accepts the request; 0 for one without path. `path` is the
    /// input's path as text.
    pub(super) fn accepts(&self, rank: u32, input: &MatchInput<'_>, path: &str) -> Option<usize> {
        let test = self.ranked[rank as usize].path;
        if let PathTest::Prefix { start, length } = test
            && !input.path.starts_with(self.prefix(start, length))
        {
            return None;
        }
        if !self.rule(rank).is_none_or(|rule| rule.accepts(input)) {
            return None;
        }
        match test {
            PathTest::Any => Some(0),
            PathTest::Prefix { length, .. } => Some(length as usize),
            PathTest::Pattern(number) => self.patterns[number as usize].end(path),
        }
    }
}
