//! How the matches of a pattern begin and end, for the index.

use regex_syntax::ParserBuilder;
use regex_syntax::hir::literal::{ExtractKind, Extractor, Seq};
use regex_syntax::hir::{Capture, Class, ClassBytes, ClassBytesRange, ClassUnicode, ClassUnicodeRange};
use regex_syntax::hir::{Hir, HirKind, Look, Repetition};

use super::pattern::Literals;

/// A regex whose matches may begin in more ways than this is indexed by a shorter prefix, or by none.
const MAX_LITERALS: usize = 16;

/// Strings of which every match starts with one, none of them the start of another; empty if nothing is sure.
pub(super) fn beginnings(hir: &Hir) -> Literals {
    let sequence = Extractor::new().limit_total(MAX_LITERALS).extract(hir);
    distinct(&sequence, |literal| literal)
}

/// The same for the ASCII lower case of what a pattern matches without regard to case.
pub(super) fn lower_beginnings(pattern: &str) -> Literals {
    let parsed = ParserBuilder::new().case_insensitive(true).build().parse(pattern);
    parsed.map(|hir| beginnings(&lower(&hir))).unwrap_or_default()
}

/// Strings of which every text that matches ends with one, none of them the end of another; empty if nothing is sure.
pub(super) fn endings(hir: &Hir) -> Literals {
    if !hir.properties().look_set_suffix().contains(Look::End) {
        return Literals::default();
    }
    let sequence = Extractor::new().kind(ExtractKind::Suffix).limit_total(MAX_LITERALS).extract(hir);
    let mut found = distinct(&sequence, |mut literal| {
        literal.reverse();
        literal
    });
    // A last byte tells next to nothing, and ten digits take their place in every route.
    if found.iter().any(|literal| literal.len() < 2) {
        return Literals::default();
    }
    found.iter_mut().for_each(|literal| literal.reverse());
    found
}

/// Without those that start with another; nothing if one of them is empty.
fn distinct(sequence: &Seq, turned: fn(Box<[u8]>) -> Box<[u8]>) -> Literals {
    let literals = sequence.literals().unwrap_or_default();
    let mut literals: Vec<Box<[u8]>> = literals.iter().map(|literal| turned(literal.as_bytes().into())).collect();
    literals.sort();
    literals.dedup_by(|later, earlier| later.starts_with(earlier));
    if literals.first().is_some_and(|literal| literal.is_empty()) { Literals::default() } else { literals.into() }
}

/// A pattern that matches the ASCII lower case of whatever `hir` matches, and maybe more.
fn lower(hir: &Hir) -> Hir {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => hir.clone(),
        HirKind::Literal(literal) => Hir::literal(literal.0.to_ascii_lowercase()),
        HirKind::Class(class) => Hir::class(lower_class(class)),
        HirKind::Repetition(repetition) => {
            Hir::repetition(Repetition { sub: Box::new(lower(&repetition.sub)), ..repetition.clone() })
        }
        HirKind::Capture(capture) => Hir::capture(Capture { sub: Box::new(lower(&capture.sub)), ..capture.clone() }),
        HirKind::Concat(parts) => Hir::concat(parts.iter().map(lower).collect()),
        HirKind::Alternation(parts) => Hir::alternation(parts.iter().map(lower).collect()),
    }
}

fn lower_class(class: &Class) -> Class {
    const CAPITALS: (u8, u8) = (b'A', b'Z');
    match class {
        Class::Unicode(class) => {
            let (first, last) = (char::from(CAPITALS.0), char::from(CAPITALS.1));
            let capitals = ClassUnicode::new([ClassUnicodeRange::new(first, last)]);
            let mut lower = class.clone();
            lower.intersect(&capitals);
            let ranges: Vec<_> = lower.ranges().iter().map(|range| (range.start(), range.end())).collect();
            let mut others = class.clone();
            others.difference(&capitals);
            for (start, end) in ranges {
                others.push(ClassUnicodeRange::new(start.to_ascii_lowercase(), end.to_ascii_lowercase()));
            }
            Class::Unicode(others)
        }
        Class::Bytes(class) => {
            let capitals = ClassBytes::new([ClassBytesRange::new(CAPITALS.0, CAPITALS.1)]);
            let mut lower = class.clone();
            lower.intersect(&capitals);
            let ranges: Vec<_> = lower.ranges().iter().map(|range| (range.start(), range.end())).collect();
            let mut others = class.clone();
            others.difference(&capitals);
            for (start, end) in ranges {
                others.push(ClassBytesRange::new(start.to_ascii_lowercase(), end.to_ascii_lowercase()));
            }
            Class::Bytes(others)
        }
    }
}

#[cfg(test)]
mod tests {
    use regex::RegexBuilder;

    use super::*;
    use crate::router::tests::Random;

    fn parsed(pattern: &str, ignore_case: bool) -> Hir {
        ParserBuilder::new().case_insensitive(ignore_case).build().parse(pattern).unwrap()
    }

    fn shown(literals: &Literals) -> Vec<&str> {
        literals.iter().map(|literal| std::str::from_utf8(literal).unwrap()).collect()
    }

    #[test]
    fn knows_how_matches_begin() {
        for (pattern, literals) in [
            ("/api/v1/users$", &["/api/v1/users"][..]),
            (r"/api/\d+", &["/api/"]),
            ("/(a|b)/x", &["/a/x", "/b/x"]),
            ("/a|/b", &["/a", "/b"]),
            ("/a?b", &["/ab", "/b"]),
            ("/ab?", &["/a"]),
            ("/?.*", &[]),
            (".*/x", &[]),
        ] {
            let found = beginnings(&parsed(pattern, false));
            let covered = |literal: &str| found.iter().any(|found| literal.as_bytes().starts_with(found));
            assert!(literals.iter().all(|literal| covered(literal)), "{pattern}: {found:?}");
            assert_eq!(found.is_empty(), literals.is_empty(), "{pattern}: {found:?}");
        }
    }

    #[test]
    fn knows_how_matches_end() {
        for (pattern, literals) in [
            ("/.*/users$", &["/users"][..]),
            (r"/\d+/(a|b)$", &["/a", "/b"]),
            ("/(x|yx)$", &["/x", "/yx"]),
            ("/.*(?:xz|yxz)$", &["xz"]),
            (r"/\d+$", &[]),
            ("/.*/users", &[]),
            ("/.*$", &[]),
            ("/a$|/b", &[]),
            ("/a(?m:$)", &[]),
        ] {
            assert_eq!(shown(&endings(&parsed(pattern, false))), literals, "{pattern}");
        }
    }

    #[test]
    fn letter_case_leaves_one_literal() {
        for (pattern, literals) in [
            ("^Beta", &["beta"][..]),
            ("^V1", &["v1"]),
            // There is another letter that is a k without regard to case.
            ("^OK$", &["ok", "o\u{212a}"]),
            ("^É", &["É", "é"]),
            ("^(ab|CD)", &["ab", "cd"]),
        ] {
            assert_eq!(shown(&beginnings(&lower(&parsed(pattern, true)))), literals, "{pattern}");
        }
    }

    /// Whatever matches begins and ends with one of the literals.
    #[test]
    fn random_texts_agree() {
        const PIECES: [&str; 14] =
            ["a", "B", "k", "s", "é", "ab", "[a-c]", "(?:a|Bk)", ".*", "x?", "[^/]", r"\d", "(?i:K)", "b+"];
        const TEXTS: [&str; 13] = ["a", "A", "b", "B", "k", "K", "\u{212a}", "S", "ſ", "É", "é", "1", "x"];
        let mut random = Random(0x11E5_2026);
        let mut matches = 0;
        for _ in 0..4_000 {
            let body: String = (0..=random.below(4)).map(|_| random.pick(&PIECES)).collect();
            let pattern = format!("^(?:{body})$");
            let ignore_case = random.one_in(2);
            let hir = parsed(&pattern, ignore_case);
            let (starts, ends) = (beginnings(&lower(&hir)), endings(&hir));
            let regex = RegexBuilder::new(&pattern).case_insensitive(ignore_case).build().unwrap();
            for _ in 0..20 {
                let text: String = (0..random.below(5)).map(|_| random.pick(&TEXTS)).collect();
                if regex.is_match(&text) {
                    matches += 1;
                    let low = text.to_ascii_lowercase();
                    let covered = starts.is_empty() || starts.iter().any(|own| low.as_bytes().starts_with(own));
                    assert!(covered, "{pattern} {text} {starts:?}");
                    let covered = ends.is_empty() || ends.iter().any(|own| text.as_bytes().ends_with(own));
                    assert!(covered, "{pattern} {text} {ends:?}");
                }
            }
        }
        assert!(matches > 2_000, "{matches}");
    }
}
