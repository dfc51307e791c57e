//! The order of plugins: published priorities, and users' own wishes for the access phase.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use serde::Deserialize;

use super::chain::Slot;
use crate::plugins::REGISTRY;

/// A user's wish for the order of the access phase.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ordering {
    /// Plugins that run after this one.
    #[serde(default)]
    pub before: Option<Names>,
    /// Plugins that run before this one.
    #[serde(default)]
    pub after: Option<Names>,
}

/// Names of plugins per phase.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Names {
    /// In the access phase, the only one whose order users decide.
    #[serde(default)]
    pub access: Option<Vec<String>>,
}

/// Wishes that cannot all be true: ids of instances that take part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cycle(pub Vec<String>);

/// Sorts kinds: higher priority first, equal ones by name from z to a.
#[must_use]
pub fn rank(kind: usize) -> (Reverse<i32>, Reverse<&'static str>) {
    REGISTRY.get(kind).map_or((Reverse(0), Reverse("")), |known| (Reverse(known.priority), Reverse(known.name)))
}

/// Puts slots that are in order of priority into the order of the access phase: each comes as its priority says, but
/// right before it come those that have to.
pub(super) fn access(slots: Vec<Slot>) -> Result<Vec<Slot>, Cycle> {
    let wish = |slot: &Slot| slot.fixed.as_ref().and_then(|(instance, _)| instance.ordering.clone());
    if slots.iter().all(|slot| wish(slot).is_none()) {
        return Ok(slots);
    }
    let named = |names: Option<Names>| names.and_then(|names| names.access).unwrap_or_default();
    let place = |name: &String| slots.iter().position(|slot| REGISTRY.get(slot.kind).is_some_and(|k| k.name == name));
    let mut order =
        Order { earlier: vec![BTreeSet::new(); slots.len()], state: vec![State::New; slots.len()], done: Vec::new() };
    for (own, slot) in slots.iter().enumerate() {
        let Ordering { before, after } = wish(slot).unwrap_or_default();
        for other in named(before).iter().filter_map(place) {
            order.earlier[other].insert(own);
        }
        order.earlier[own].extend(named(after).iter().filter_map(place));
    }
    for own in 0..slots.len() {
        if order.visit(own).is_err() {
            let in_circle = order.state.iter().zip(&slots).filter(|(state, _)| **state == State::Open);
            let wished = in_circle.filter(|(_, slot)| wish(slot).is_some());
            let ids = wished.filter_map(|(_, slot)| slot.fixed.as_ref().map(|(instance, _)| instance.id.to_string()));
            return Err(Cycle(ids.collect()));
        }
    }
    let mut slots: Vec<Option<Slot>> = slots.into_iter().map(Some).collect();
    Ok(order.done.into_iter().filter_map(|place| slots[place].take()).collect())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Open,
    Done,
}

/// A walk over places, as deep as there are kinds of plugins at most.
struct Order {
    /// What has to come before each place.
    earlier: Vec<BTreeSet<usize>>,
    state: Vec<State>,
    done: Vec<usize>,
}

impl Order {
    /// Puts a place behind all that have to come before it; fails if it is one of those itself.
    fn visit(&mut self, own: usize) -> Result<(), ()> {
        match self.state[own] {
            State::Done => return Ok(()),
            State::Open => return Err(()),
            State::New => self.state[own] = State::Open,
        }
        for other in std::mem::take(&mut self.earlier[own]) {
            self.visit(other)?;
        }
        self.state[own] = State::Done;
        self.done.push(own);
        Ok(())
    }
}
