//! Routes that change, over an index that does not.
//!
//! The routes of a router are spread over a few levels, each with an index of its own. A change marks the former
//! version of its routes as gone and adds a small level with the new ones; levels that have become small beside what
//! is added are built anew together with it. So a change costs little however many routes there are, a request looks
//! into few levels, and over time every route is built into an index a bounded number of times per change.

use std::collections::HashMap;
use std::sync::Arc;

use super::MatchInput;
use super::candidates::Candidates;
use super::index::{Found, Index};
use super::route::{Compiled, Way};
use super::tree::offset;
use super::work::{TooCostly, Work};

/// A level is kept as it is while it has more than so many times the routes that come in.
const RATIO: usize = 32;
/// Most levels: a request looks into each.
const MAX_LEVELS: usize = 4;

/// Routes with their index, and which of them are gone.
#[derive(Debug, Clone)]
struct Level {
    built: Arc<Built>,
    gone: Option<Arc<Gone>>,
}

#[derive(Debug)]
struct Built {
    candidates: Candidates,
    index: Index,
}

/// A set of the level's routes.
#[derive(Debug, Clone)]
pub(super) struct Gone {
    bits: Box<[u64]>,
    count: usize,
}

impl Gone {
    pub(super) fn contains(&self, route: u32) -> bool {
        self.bits[route as usize / 64] >> (route % 64) & 1 == 1
    }
}

impl Level {
    fn build(routes: Vec<Arc<Compiled>>) -> Self {
        let candidates = Candidates::new(routes);
        let index = Index::build(&candidates);
        index.warm(&candidates);
        Self { built: Arc::new(Built { candidates, index }), gone: None }
    }

    fn routes(&self) -> &[Arc<Compiled>] {
        &self.built.candidates.routes
    }

    fn gone(&self) -> usize {
        self.gone.as_ref().map_or(0, |gone| gone.count)
    }

    fn living(&self) -> impl Iterator<Item = &Arc<Compiled>> {
        let lives = |index: usize| self.gone.as_ref().is_none_or(|gone| !gone.contains(offset(index)));
        self.routes().iter().enumerate().filter(move |(index, _)| lives(*index)).map(|(_, route)| route)
    }

    fn remove(&mut self, keys: &[u32]) {
        let places: Vec<usize> = keys
            .iter()
            .filter_map(|key| self.routes().binary_search_by_key(key, |route| route.key).ok())
            .filter(|&index| self.gone.as_ref().is_none_or(|gone| !gone.contains(offset(index))))
            .collect();
        if places.is_empty() {
            return;
        }
        let none = || Gone { bits: vec![0; self.routes().len().div_ceil(64)].into(), count: 0 };
        let mut gone = self.gone.as_deref().map_or_else(none, Gone::clone);
        for index in places {
            gone.bits[index / 64] |= 1 << (index % 64);
            gone.count += 1;
        }
        self.gone = Some(Arc::new(gone));
    }

    /// Whether requests pass by more routes that are gone than there are others.
    fn is_hollow(&self) -> bool {
        self.gone() * 2 > self.routes().len()
    }
}

/// All routes of a router. The last level is the newest.
#[derive(Debug, Clone, Default)]
pub(super) struct Levels(Vec<Level>);

/// What matches best.
pub(super) struct Best<'a> {
    pub(super) route: &'a Compiled,
    pub(super) way: &'a Way,
    /// Where the match ends in the path.
    pub(super) end: usize,
}

impl Levels {
    pub(super) fn build(routes: Vec<Arc<Compiled>>) -> Self {
        if routes.is_empty() { Self::default() } else { Self(vec![Level::build(routes)]) }
    }

    /// The levels without the routes of `keys` and with `added`, the last of which counts where keys are equal.
    pub(super) fn changed(&self, keys: &[u32], added: Vec<Arc<Compiled>>) -> Self {
        let mut levels = self.0.clone();
        for level in &mut levels {
            level.remove(keys);
        }
        let mut fresh: HashMap<u32, Arc<Compiled>> = added.into_iter().map(|route| (route.key, route)).collect();
        let adopt = |level: &Level, fresh: &mut HashMap<u32, Arc<Compiled>>| {
            fresh.extend(level.living().map(|route| (route.key, Arc::clone(route))));
        };
        levels.retain(|level| {
            if level.is_hollow() {
                adopt(level, &mut fresh);
            }
            !level.is_hollow()
        });
        if !fresh.is_empty() {
            while let Some(level) = levels.last()
                && (level.routes().len() <= RATIO * fresh.len() || levels.len() >= MAX_LEVELS)
            {
                adopt(level, &mut fresh);
                levels.pop();
            }
            levels.push(Level::build(fresh.into_values().collect()));
        }
        Self(levels)
    }

    pub(super) fn find<'a>(
        &'a self,
        input: &MatchInput<'_>,
        path: &str,
        work: &Work,
    ) -> Result<Option<Best<'a>>, TooCostly> {
        let mut best: Option<Best<'a>> = None;
        for level in &self.0 {
            let least = best.as_ref().map_or(0, |best| best.way.precedence);
            let Built { candidates, index } = &*level.built;
            let found = index.find(candidates, level.gone.as_deref(), (input, path), least, work)?;
            let Some(Found { rank, end }) = found else { continue };
            let found = Best { route: candidates.route(rank), way: candidates.way(rank), end };
            let order = |best: &Best<'a>| (best.way.precedence, &*best.route.tie);
            if best.as_ref().is_none_or(|best| order(&found) > order(best)) {
                best = Some(found);
            }
        }
        Ok(best)
    }
}

#[cfg(test)]
impl Levels {
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// The index of a router that was never updated.
    pub(super) fn index(&self) -> &Index {
        &self.0[0].built.index
    }
}
