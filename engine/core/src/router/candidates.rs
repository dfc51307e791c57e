//! All ways in which requests can match some routes, best first.

use std::sync::Arc;

use super::MatchInput;
use super::programs::Program;
use super::route::{Compiled, Way};
use super::rule::Rule;
use super::tree::offset;
use super::work::Work;

/// One way of one route. A candidate's position is its rank: the smaller one wins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub(super) precedence: u64,
    /// Index into [`Candidates::routes`].
    pub(super) route: u32,
    way: u32,
}

#[derive(Debug)]
pub(super) struct Candidates {
    /// By key.
    pub(super) routes: Box<[Arc<Compiled>]>,
    pub(super) ranked: Box<[Candidate]>,
}

impl Candidates {
    /// `routes` have distinct keys.
    pub(super) fn new(mut routes: Vec<Arc<Compiled>>) -> Self {
        routes.sort_unstable_by_key(|route| route.key);
        let mut ranked = Vec::with_capacity(routes.len());
        for (index, route) in routes.iter().enumerate() {
            ranked.extend(route.ways.iter().enumerate().map(|(way, found)| Candidate {
                precedence: found.precedence,
                route: offset(index),
                way: offset(way),
            }));
        }
        let tie = |candidate: &Candidate| &*routes[candidate.route as usize].tie;
        ranked.sort_unstable_by(|a, b| {
            let order = b.precedence.cmp(&a.precedence).then_with(|| tie(b).cmp(tie(a)));
            order.then_with(|| (a.route, a.way).cmp(&(b.route, b.way)))
        });
        Self { ranked: ranked.into(), routes: routes.into() }
    }

    pub(super) fn route(&self, rank: u32) -> &Compiled {
        &self.routes[self.ranked[rank as usize].route as usize]
    }

    pub(super) fn way(&self, rank: u32) -> &Way {
        &self.route(rank).ways[self.ranked[rank as usize].way as usize]
    }

    pub(super) fn rule(&self, rank: u32) -> Option<&Rule> {
        self.route(rank).rule.as_deref()
    }

    /// Where the match ends in the path, if this candidate accepts the request; 0 for one without path.
    pub(super) fn accepts(&self, rank: u32, input: &MatchInput<'_>, path: &str, work: &Work) -> Option<usize> {
        self.route(rank).accepts(self.way(rank), input, path, work)
    }

    /// Hands the programs to `each` that a candidate may run.
    pub(super) fn programs<'a>(&'a self, rank: u32, each: &mut impl FnMut(&'a Arc<Program>)) {
        self.way(rank).path.programs(each);
        let headers = self.rule(rank).into_iter().flat_map(|rule| &rule.headers);
        headers.flat_map(|header| &header.patterns).for_each(|pattern| each(pattern.program()));
    }
}
