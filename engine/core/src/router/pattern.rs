//! Regexes of routes. They run in linear time, and the size of each is limited.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use regex_syntax::hir::literal::Extractor;
use regex_syntax::hir::{Class, Hir, HirKind, Look};

use super::programs::{Program, Programs, surely_fits};
use super::segments::Shape;
use super::walk::{Runs, Walk};
use crate::message::Captures;

/// Longest accepted pattern, in bytes.
const MAX_PATTERN_BYTES: usize = 4096;
/// Most states of one pattern: refused before time is spent on compiling it.
const MAX_PATTERN_STATES: usize = 128 << 10;
/// A regex whose matches may begin in more ways than this is indexed by a shorter prefix, or by none.
const MAX_LITERALS: usize = 16;

/// A regex path, anchored at the start.
#[derive(Debug)]
pub(super) struct PathPattern {
    matcher: Matcher,
    /// Strings of which every match starts with one; empty if there are none.
    pub(super) beginnings: Box<[Box<[u8]>]>,
    pub(super) shape: Shape,
}

/// A regex for any text.
#[derive(Debug)]
pub(super) struct TextPattern {
    pub(super) matcher: Matcher,
    /// As of a path, if matches are at the start only; else empty.
    pub(super) beginnings: Box<[Box<[u8]>]>,
    pub(super) shape: Shape,
}

/// What runs a pattern.
#[derive(Debug)]
pub(super) struct Matcher {
    means: Means,
    group_names: Arc<[Option<Box<str>>]>,
}

#[derive(Debug)]
enum Means {
    Walk(Walk),
    Program(Arc<Program>),
}

impl PathPattern {
    /// Where the match ends, if the path matches.
    pub(super) fn end(&self, path: &str) -> Option<usize> {
        match &self.matcher.means {
            Means::Walk(walk) => walk.end(path),
            Means::Program(program) => program.end(path),
        }
    }

    pub(super) fn captures(&self, path: &str) -> Captures {
        self.matcher.captures(path).map(|(_, captures)| captures).unwrap_or_default()
    }
}

impl Matcher {
    pub(super) fn is_match(&self, text: &str) -> bool {
        match &self.means {
            Means::Walk(walk) => walk.end(text).is_some(),
            Means::Program(program) => program.is_match(text),
        }
    }

    /// Where the first match is, and its groups.
    pub(super) fn captures(&self, text: &str) -> Option<(Range<usize>, Captures)> {
        let (span, groups) = match &self.means {
            Means::Walk(walk) => walk.groups(text).map(|(end, groups)| (0..end, groups))?,
            Means::Program(program) => program.groups(text)?,
        };
        let matched = text.as_bytes().get(span.clone())?;
        Some((span, Captures::new(matched, groups, Arc::clone(&self.group_names))))
    }
}

/// The patterns of a router and of all that it is updated to; equal paths share one program.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    known: Mutex<HashMap<Box<str>, Weak<PathPattern>>>,
    programs: Arc<Programs>,
    runs: Runs,
}

impl Patterns {
    /// Compiles a path without its `~`. Fails with a message for the user.
    pub(super) fn path(&self, pattern: &str) -> Result<Arc<PathPattern>, String> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(pattern).and_then(Weak::upgrade) {
            return Ok(known);
        }
        if known.len() == known.capacity() {
            known.retain(|_, pattern| pattern.strong_count() > 0);
        }
        let (hir, states) = parse(pattern)?;
        let anchored = format!("^(?:{pattern})");
        // A comment at the end would swallow the parenthesis.
        regex_syntax::parse(&anchored).map_err(|_| invalid(pattern, "unclosed group"))?;
        let compiled = Arc::new(PathPattern {
            matcher: self.matcher(pattern, anchored, &hir, states)?,
            beginnings: leading_literals(&hir),
            shape: Shape::of_pattern(&hir),
        });
        known.insert(pattern.into(), Arc::downgrade(&compiled));
        Ok(compiled)
    }

    /// Compiles a header value without its `~*`: unanchored, without regard to case.
    pub(super) fn header_value(&self, pattern: &str) -> Result<Arc<Program>, String> {
        let (_, states) = parse(pattern)?;
        self.program(pattern, pattern.to_owned(), true, states)
    }

    /// Compiles a regex of an expression: unanchored.
    pub(super) fn text(&self, pattern: &str) -> Result<TextPattern, String> {
        let (hir, states) = parse(pattern)?;
        let anchored = hir.properties().look_set_prefix().contains(Look::Start);
        Ok(TextPattern {
            matcher: if anchored {
                self.matcher(pattern, pattern.to_owned(), &hir, states)?
            } else {
                let program = self.program(pattern, pattern.to_owned(), false, states)?;
                Matcher { means: Means::Program(program), group_names: group_names(&hir).into() }
            },
            beginnings: if anchored { leading_literals(&hir) } else { Box::default() },
            shape: if anchored { Shape::of_pattern(&hir) } else { Shape::default() },
        })
    }

    /// For a pattern that is anchored at the start.
    fn matcher(&self, own: &str, source: String, hir: &Hir, states: usize) -> Result<Matcher, String> {
        // Whether a large one is accepted is for its program to say, so that no pattern is refused for its looks.
        let walk = if surely_fits(states) { Walk::of(hir, &self.runs) } else { None };
        let means = match walk {
            Some(walk) => Means::Walk(walk),
            None => Means::Program(self.program(own, source, false, states)?),
        };
        Ok(Matcher { means, group_names: group_names(hir).into() })
    }

    fn program(&self, own: &str, source: String, ignore_case: bool, states: usize) -> Result<Arc<Program>, String> {
        Program::new(source, ignore_case, states, &self.programs).map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => invalid(own, "too large"),
            other => invalid(own, &other.to_string()),
        })
    }
}

/// The parsed pattern and about how many states it compiles to.
fn parse(pattern: &str) -> Result<(Hir, usize), String> {
    if pattern.len() > MAX_PATTERN_BYTES {
        return Err(format!("regex is longer than {MAX_PATTERN_BYTES} bytes"));
    }
    let hir = regex_syntax::parse(pattern).map_err(|error| {
        let reason = match error {
            regex_syntax::Error::Parse(error) => error.kind().to_string(),
            regex_syntax::Error::Translate(error) => error.kind().to_string(),
            other => other.to_string(),
        };
        invalid(pattern, &reason)
    })?;
    let states = states(&hir);
    if states > MAX_PATTERN_STATES { Err(invalid(pattern, "too large")) } else { Ok((hir, states)) }
}

/// By number; the whole match has none.
fn group_names(hir: &Hir) -> Vec<Option<Box<str>>> {
    fn collect(hir: &Hir, names: &mut Vec<Option<Box<str>>>) {
        match hir.kind() {
            HirKind::Capture(capture) => {
                names.push(capture.name.clone());
                collect(&capture.sub, names);
            }
            HirKind::Repetition(repetition) => collect(&repetition.sub, names),
            HirKind::Concat(parts) | HirKind::Alternation(parts) => {
                for part in parts {
                    collect(part, names);
                }
            }
            _ => {}
        }
    }
    let mut names = vec![None];
    collect(hir, &mut names);
    names
}

fn invalid(pattern: &str, reason: &str) -> String {
    format!("invalid regex: '{pattern}' ({reason})")
}

/// Strings of which every match starts with one, none of them the start of another; empty if nothing is sure.
fn leading_literals(hir: &Hir) -> Box<[Box<[u8]>]> {
    let sequence = Extractor::new().limit_total(MAX_LITERALS).extract(hir);
    let mut literals: Vec<Box<[u8]>> =
        sequence.literals().unwrap_or_default().iter().map(|literal| literal.as_bytes().into()).collect();
    literals.sort();
    literals.dedup_by(|later, earlier| later.starts_with(earlier));
    if literals.first().is_some_and(|literal| literal.is_empty()) { Box::default() } else { literals.into() }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn compiled(pattern: &str) -> Arc<PathPattern> {
        Patterns::default().path(pattern).unwrap()
    }

    fn refusal(pattern: &str) -> String {
        Patterns::default().path(pattern).unwrap_err()
    }

    #[test]
    fn matches_from_the_start_only() {
        for (pattern, path, end) in [
            ("/a", "/ab", Some(2)),
            ("/a", "/x/a", None),
            ("/a|/b", "/bc", Some(2)),
            ("/a|/b", "/x/b", None),
            ("/a$", "/ab", None),
            (r"/v\d+/u", "/v12/users", Some(6)),
            ("(?i)/API", "/api/x", Some(4)),
            ("/(?<id>[^/]+)/x", "/7/xy", Some(4)),
            ("/(?P<id>[^/]+)/x", "/7/xy", Some(4)),
            ("/a", "/A", None),
            ("/.é", "/éé", Some(5)),
            (r"/\p{Lu}\p{Greek}", "/Éα", Some(5)),
        ] {
            assert_eq!(compiled(pattern).end(path), end, "{pattern} {path}");
        }
    }

    #[test]
    fn captures_by_number_and_name() {
        let pattern = compiled(r"/(?<v>v\d+)/(x)?(\w+)");
        let captures = pattern.captures("/v2/users/7");
        assert_eq!(captures.get(0), Some(&b"/v2/users"[..]));
        assert_eq!((captures.get(1), captures.name("v")), (Some(&b"v2"[..]), Some(&b"v2"[..])));
        assert_eq!((captures.get(2), captures.get(3)), (None, Some(&b"users"[..])));
        assert_eq!((captures.get(4), captures.name("w")), (None, None));
    }

    #[test]
    fn refuses_bad_patterns_with_the_reason() {
        for (pattern, reason) in [
            ("/(a", "unclosed group"),
            ("/a)|(b", "unopened group"),
            ("/(?=a)", "look-around"),
            (r"/(a)\1", "backreferences"),
            ("/[b-a]", "invalid character class range"),
            ("/a{1000}{1000}{1000}", "too large"),
            (r"/\w{200}", "too large"),
            (r"/[\w-]{1,100}", "too large"),
            (r"/\w{130}", "too large"),
        ] {
            let message = refusal(pattern);
            assert!(message.contains(reason) && message.contains(pattern), "{message}");
        }
        assert_eq!(refusal(&"/a".repeat(4096)), "regex is longer than 4096 bytes");
    }

    #[test]
    fn a_common_pattern_with_a_bounded_word_is_accepted() {
        assert_eq!(compiled(r"/u/[\w-]{1,64}$").end("/u/some-slug_7"), Some(14));
    }

    #[test]
    fn equal_patterns_share_a_program() {
        let patterns = Patterns::default();
        let (a, b, again) = (patterns.path("/a").unwrap(), patterns.path("/b").unwrap(), patterns.path("/a").unwrap());
        assert!(Arc::ptr_eq(&a, &again) && !Arc::ptr_eq(&a, &b));
    }

    #[test]
    fn forgets_patterns_that_nothing_uses() {
        let patterns = Patterns::default();
        for n in 0..1_000 {
            patterns.path(&format!("/{n}")).unwrap();
        }
        assert!(patterns.known.lock().unwrap().len() < 100);
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
            let compiled = compiled(pattern);
            let found = &compiled.beginnings;
            let covered = |literal: &str| found.iter().any(|found| literal.as_bytes().starts_with(found));
            assert!(literals.iter().all(|literal| covered(literal)), "{pattern}: {found:?}");
            assert_eq!(found.is_empty(), literals.is_empty(), "{pattern}: {found:?}");
        }
    }
}
