//! What finding a route may cost. A search counts its work and ends without a result when that is too much, so that a
//! tenant's routes cannot keep a thread from its other tenants.

use std::cell::Cell;

/// Most work of one search. A unit takes about a nanosecond, up to some tens of them where a regex is at its worst.
const MOST: usize = 1 << 19;
/// What a try of a regex costs beside what it reads.
pub(super) const TRY: usize = 128;
/// Of how many places that a regex can be in at once reading a byte counts as one unit more.
const PLACES_PER_UNIT: usize = 4;
/// What compiling costs per state of a program.
const STATE: usize = 16;

/// A search that was broken off: its routes cost too much to compare with the request.
///
/// It has no result. What has been found by then may be outranked by what was not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooCostly;

/// The work that a search may still do. Once it is used up, no answer of what was asked counts any more.
#[derive(Debug)]
pub(super) struct Work(Cell<usize>);

impl Default for Work {
    fn default() -> Self {
        Self(Cell::new(MOST))
    }
}

impl Work {
    /// Counts work that is about to be done. False if it is not to be done any more.
    pub(super) fn take(&self, units: usize) -> bool {
        self.0.set(self.0.get().saturating_sub(units));
        !self.is_spent()
    }

    /// The same for compiling a program. Whatever its size, a search may compile one: it is there for the next.
    pub(super) fn take_compilation(&self, states: usize) -> bool {
        self.take(states.saturating_mul(STATE).min(MOST / 2))
    }

    pub(super) fn is_spent(&self) -> bool {
        self.0.get() == 0
    }

    /// What was found, if it counts.
    pub(super) fn judge<T>(&self, found: T) -> Result<T, TooCostly> {
        if self.is_spent() { Err(TooCostly) } else { Ok(found) }
    }
}

/// What reading a byte costs with a regex that can be in so many places at once.
pub(super) fn per_byte(places: usize) -> usize {
    1 + places / PLACES_PER_UNIT
}

#[cfg(test)]
impl Work {
    pub(super) fn of(units: usize) -> Self {
        Self(Cell::new(units))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spent_stays_spent() {
        let work = Work::of(10);
        assert!(work.take(4) && work.take(5) && work.judge(()).is_ok());
        assert!(!work.take(3) && work.is_spent());
        assert!(!work.take(0));
        assert_eq!(work.judge(Some(1)), Err(TooCostly));
    }

    #[test]
    fn one_program_may_always_be_compiled() {
        let work = Work::default();
        assert!(work.take_compilation(usize::MAX) && !work.take_compilation(usize::MAX));
    }
}
