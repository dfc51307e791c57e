//! How large a pattern is, and how dear a search for it.

use regex_syntax::hir::{Class, Hir, HirKind};

/// How large a pattern is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    /// About how many states it compiles to.
    pub(super) states: usize,
    /// In about how many places a search can be at once, at worst.
    pub(super) places: usize,
}

impl Size {
    pub(super) fn of(hir: &Hir) -> Self {
        Self { states: states(hir), places: places(hir) }
    }
}

/// About how many automaton states a pattern compiles to.
fn states(hir: &Hir) -> usize {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => 1,
        HirKind::Literal(literal) => literal.0.len(),
        HirKind::Class(Class::Unicode(class)) => class.ranges().len(),
        HirKind::Class(Class::Bytes(class)) => class.ranges().len(),
        HirKind::Repetition(repetition) => {
            let times = repetition.max.unwrap_or_else(|| repetition.min.saturating_add(1));
            states(&repetition.sub).saturating_mul(times as usize)
        }
        HirKind::Capture(capture) => states(&capture.sub).saturating_add(2),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().map(states).fold(parts.len(), usize::saturating_add)
        }
    }
}

/// In about how many places a search can be at once: one per character of a match, whatever class it is of.
fn places(hir: &Hir) -> usize {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) | HirKind::Class(_) => 1,
        HirKind::Literal(literal) => literal.0.len(),
        HirKind::Repetition(repetition) => {
            let times = repetition.max.unwrap_or_else(|| repetition.min.saturating_add(1));
            places(&repetition.sub).saturating_mul(times as usize)
        }
        HirKind::Capture(capture) => places(&capture.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.iter().map(places).fold(0, usize::saturating_add),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_in_how_many_places_a_search_can_be() {
        for (pattern, expected) in [
            ("/api", 4),
            (r"/\w+", 3),
            ("/a{3}b?", 5),
            (r"[\w-]{1,64}", 64),
            ("(ab|cd)*e", 5),
            ("(?i)ab", 2),
            ("(?:a{100}){100}", 10_000),
        ] {
            assert_eq!(places(&regex_syntax::parse(pattern).unwrap()), expected, "{pattern}");
        }
    }
}
