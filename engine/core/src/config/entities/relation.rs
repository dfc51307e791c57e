//! Who refers to whom, to find the dependants of a change without looking at everything.

use std::ops::Bound;
use std::sync::Arc;

use imbl::OrdSet;

use super::{Id, Kind};

/// References between entities, by the one that is referred to. Persistent.
#[derive(Debug, Clone, Default)]
pub struct Relation {
    pairs: OrdSet<(Kind, Id, Kind, Id)>,
}

impl Relation {
    /// The entities of one type that refer to an entity, in the order of their ids.
    pub fn of(&self, to: Kind, id: &str, from: Kind) -> impl Iterator<Item = &Id> {
        let id: Id = Arc::from(id);
        let least: Id = Arc::from("");
        self.pairs
            .range((Bound::Included((to, id.clone(), from, least)), Bound::Unbounded))
            .take_while(move |(kind, target, source, _)| (*kind, target, *source) == (to, &id, from))
            .map(|(_, _, _, referrer)| referrer)
    }

    pub(super) fn add(&mut self, to: (Kind, Id), from: (Kind, Id)) {
        self.pairs.insert((to.0, to.1, from.0, from.1));
    }

    pub(super) fn remove(&mut self, to: (Kind, Id), from: (Kind, Id)) {
        self.pairs.remove(&(to.0, to.1, from.0, from.1));
    }
}
