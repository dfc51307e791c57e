//! Compiled regexes, as a cache: made when a request first needs them, thrown away when there are too many.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use arc_swap::ArcSwapOption;
use regex::{Regex, RegexBuilder};

use super::size::Size;
use super::tree::offset;
use super::work::{self, Work};
use crate::message::GroupSpan;

/// Largest program of one pattern, in bytes.
const MAX_PROGRAM_BYTES: usize = 4 << 20;
/// Most memory that lazily built states of one pattern may take per thread, in bytes.
const MAX_CACHE_BYTES: usize = 256 << 10;
/// Most states of a router's programs at a time; about 80 bytes each.
const MAX_STATES: usize = 2 << 20;
/// States that every program costs, however short its pattern.
const BASE_STATES: usize = 80;
/// Programs below which nothing is tidied up.
const FEW: usize = 64;
/// Patterns of so many states surely fit into the bounds, so they are compiled when they are needed.
const SURELY_FIT: usize = 4096;

/// Whether a pattern of so many states compiles, without trying.
pub(super) fn surely_fits(states: usize) -> bool {
    states.saturating_add(BASE_STATES) <= SURELY_FIT
}

/// A regex that is in memory while it is used.
#[derive(Debug)]
pub(super) struct Program {
    source: Box<str>,
    ignore_case: bool,
    states: usize,
    /// What reading a byte costs.
    per_byte: usize,
    compiled: ArcSwapOption<Regex>,
    programs: Arc<Programs>,
}

impl Program {
    /// A pattern of about this size. What might be too large is compiled at once.
    pub(super) fn new(
        source: String,
        ignore_case: bool,
        size: Size,
        programs: &Arc<Programs>,
    ) -> Result<Arc<Self>, regex::Error> {
        let program = Arc::new(Self {
            source: source.into(),
            ignore_case,
            states: size.states.saturating_add(BASE_STATES),
            per_byte: work::per_byte(size.places),
            compiled: ArcSwapOption::empty(),
            programs: Arc::clone(programs),
        });
        if !surely_fits(size.states) {
            program.load()?;
        }
        Ok(program)
    }

    /// Where the first match ends. Nothing, as below, if that is too much work.
    pub(super) fn end(self: &Arc<Self>, text: &str, work: &Work) -> Option<usize> {
        self.with(text, work, |regex| regex.find(text).map(|found| found.end()))?
    }

    pub(super) fn is_match(self: &Arc<Self>, text: &str, work: &Work) -> bool {
        self.with(text, work, |regex| regex.is_match(text)).unwrap_or(false)
    }

    /// Where the first match is, and its groups, counted from its start.
    pub(super) fn groups(self: &Arc<Self>, text: &str, work: &Work) -> Option<(Range<usize>, Box<[GroupSpan]>)> {
        self.with(text, work, |regex| {
            let found = regex.captures(text)?;
            let whole = found.get(0)?.range();
            let span =
                |group: regex::Match<'_>| (offset(group.start() - whole.start), offset(group.end() - whole.start));
            let groups = found.iter().map(|group| group.map(span)).collect();
            Some((whole, groups))
        })?
    }

    /// Compiles what is not in memory as long as nothing else has to go for it.
    pub(super) fn warm(self: &Arc<Self>) {
        if self.compiled.load().is_none() && self.programs.has_room_for(self.states) {
            // What fails here fails again when a request needs it.
            let _ = self.load();
        }
    }

    fn with<T>(self: &Arc<Self>, text: &str, work: &Work, ask: impl FnOnce(&Regex) -> T) -> Option<T> {
        if !work.take(work::TRY + text.len().saturating_mul(self.per_byte)) {
            return None;
        }
        if let Some(regex) = &*self.compiled.load() {
            return Some(ask(regex));
        }
        if !work.take_compilation(self.states) {
            return None;
        }
        // What was compiled once, or is small, compiles.
        self.load().ok().map(|regex| ask(&regex))
    }

    fn load(self: &Arc<Self>) -> Result<Arc<Regex>, regex::Error> {
        let mut builder = RegexBuilder::new(&self.source);
        let builder = builder.case_insensitive(self.ignore_case);
        let regex = Arc::new(builder.size_limit(MAX_PROGRAM_BYTES).dfa_size_limit(MAX_CACHE_BYTES).build()?);
        self.compiled.store(Some(Arc::clone(&regex)));
        self.programs.admit(self);
        Ok(regex)
    }
}

/// The programs of a router that are in memory. Locked while one is added, never while one is used.
#[derive(Debug, Default)]
pub(super) struct Programs(Mutex<Loaded>);

#[derive(Debug, Default)]
struct Loaded {
    states: usize,
    /// With their states, oldest first.
    programs: VecDeque<(usize, Weak<Program>)>,
    /// How many there are when those of routes that are gone are taken off.
    tidy_at: usize,
}

impl Loaded {
    /// Takes off what belongs to no route any more: it has gone with its route, and so have its states.
    fn tidy_up(&mut self) {
        self.programs.retain(|(_, program)| program.strong_count() > 0);
        self.states = self.programs.iter().map(|(states, _)| states).sum();
        self.tidy_at = 2 * self.programs.len();
    }
}

impl Programs {
    fn has_room_for(&self, states: usize) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).states.saturating_add(states) <= MAX_STATES
    }

    fn admit(&self, program: &Arc<Program>) {
        let mut loaded = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if loaded.programs.len() >= loaded.tidy_at.max(FEW) {
            loaded.tidy_up();
        }
        loaded.states += program.states;
        loaded.programs.push_back((program.states, Arc::downgrade(program)));
        while loaded.states > MAX_STATES
            && loaded.programs.len() > 1
            && let Some((states, oldest)) = loaded.programs.pop_front()
        {
            loaded.states -= states;
            if let Some(oldest) = oldest.upgrade() {
                oldest.compiled.store(None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_loaded(program: &Arc<Program>) -> bool {
        program.compiled.load().is_some()
    }

    fn program(text: &str, states: usize, programs: &Arc<Programs>) -> Result<Arc<Program>, regex::Error> {
        Program::new(text.to_owned(), false, Size { states, places: 1 }, programs)
    }

    #[test]
    fn small_patterns_wait_until_they_are_asked() {
        let program = program("a+", 3, &Arc::default()).unwrap();
        assert!(!is_loaded(&program));
        let work = Work::default();
        assert_eq!((program.end("xaa", &work), program.is_match("b", &work)), (Some(3), false));
        assert!(is_loaded(&program));
    }

    #[test]
    fn large_patterns_are_tried_at_once() {
        assert!(is_loaded(&program("[a-z]{3}", SURELY_FIT, &Arc::default()).unwrap()));
        assert!(program(r"\w{200}", 200 * 770, &Arc::default()).is_err());
    }

    #[test]
    fn programs_of_the_past_do_not_add_up() {
        let programs = Arc::default();
        let make = || program("a", 3, &programs).unwrap();
        let kept = make();
        assert!(kept.is_match("a", &Work::default()));
        for _ in 0..1000 {
            assert!(make().is_match("a", &Work::default()));
            assert!(programs.0.lock().unwrap().programs.len() <= FEW);
        }
        assert!(is_loaded(&kept));
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many_and_come_back() {
        let programs = Arc::default();
        let program = |text: &str| program(text, MAX_STATES / 2, &programs).unwrap();
        let (first, second, third) = (program("a"), program("b"), program("c"));
        assert_eq!([&first, &second, &third].map(is_loaded), [false, false, true]);
        let matches = |program: &Arc<Program>, text: &str| program.is_match(text, &Work::default());
        assert!(matches(&first, "a") && matches(&second, "b") && matches(&third, "c"));
    }

    #[test]
    fn warming_takes_nobodys_place() {
        let programs = Arc::default();
        let [first, second, third] = [1, 2, 3].map(|_| program("a", SURELY_FIT / 2, &programs).unwrap());
        first.warm();
        assert!(is_loaded(&first));
        programs.0.lock().unwrap().states = MAX_STATES - SURELY_FIT;
        second.warm();
        third.warm();
        assert_eq!([&first, &second, &third].map(is_loaded), [true, true, false]);
    }

    #[test]
    fn tries_and_compilations_are_work() {
        let program = program("a+", 3, &Arc::default()).unwrap();
        let (try_alone, with_compilation) = (work::TRY + 100, work::TRY + 100_000);
        assert!(!program.is_match("a", &Work::of(try_alone)) && !is_loaded(&program));
        assert!(program.is_match("a", &Work::of(with_compilation)));
        assert!(program.is_match("a", &Work::of(try_alone)));
        let work = Work::of(try_alone);
        assert!(!program.is_match(&"a".repeat(1_000), &work) && work.is_spent());
    }
}
