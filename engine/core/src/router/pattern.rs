//! Regexes of routes. They run in linear time, and the size of each is limited.

use std::ops::Range;
use std::sync::Arc;

use regex_syntax::hir::{Hir, HirKind, Look};

use super::known::Known;
use super::literals;
use super::programs::{Program, Programs, surely_fits};
use super::segments::Shape;
use super::size::Size;
use super::walk::{Runs, Walk};
use super::work::Work;
use crate::message::Captures;

/// Longest accepted pattern, in bytes.
const MAX_PATTERN_BYTES: usize = 4096;
/// Most states of one pattern: refused before time is spent on compiling it.
const MAX_PATTERN_STATES: usize = 128 << 10;
/// A regex path, anchored at the start.
#[derive(Debug)]
pub(super) struct PathPattern {
    matcher: Matcher,
    /// Strings of which every match starts with one; empty if there are none.
    pub(super) beginnings: Literals,
    /// Strings of which every path that matches ends with one; empty if there are none.
    pub(super) endings: Literals,
    pub(super) shape: Shape,
}

/// A regex for a header value, without regard to case.
#[derive(Debug)]
pub(super) struct HeaderPattern {
    program: Arc<Program>,
    /// In lower case, strings of which every value that matches starts with one; empty if there are none.
    pub(super) beginnings: Literals,
}

/// A regex for any text.
#[derive(Debug)]
pub(super) struct TextPattern {
    pub(super) matcher: Matcher,
    /// As of a path, if matches are at the start only; else empty.
    pub(super) beginnings: Literals,
    /// As of a path.
    pub(super) endings: Literals,
    /// As of a path, if matches are at the start only.
    pub(super) shape: Shape,
}

pub(super) type Literals = Box<[Box<[u8]>]>;

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
    /// Where the match ends, if the path matches. Nothing, as in all that takes work, if that is too much.
    pub(super) fn end(&self, path: &str, work: &Work) -> Option<usize> {
        match &self.matcher.means {
            Means::Walk(walk) => work.take(path.len()).then(|| walk.end(path))?,
            Means::Program(program) => {
                let starts = |literal: &[u8]| path.as_bytes().starts_with(literal);
                let may_match = self.beginnings.is_empty() || self.beginnings.iter().any(|literal| starts(literal));
                if may_match { program.end(path, work) } else { None }
            }
        }
    }

    pub(super) fn captures(&self, path: &str, work: &Work) -> Captures {
        self.matcher.captures(path, work).map(|(_, captures)| captures).unwrap_or_default()
    }

    pub(super) fn program(&self) -> Option<&Arc<Program>> {
        self.matcher.program()
    }
}

impl HeaderPattern {
    pub(super) fn is_match(&self, value: &str, work: &Work) -> bool {
        let starts = |literal: &[u8]| {
            value.as_bytes().get(..literal.len()).is_some_and(|start| start.eq_ignore_ascii_case(literal))
        };
        (self.beginnings.is_empty() || self.beginnings.iter().any(|literal| starts(literal)))
            && self.program.is_match(value, work)
    }

    pub(super) fn program(&self) -> &Arc<Program> {
        &self.program
    }
}

impl Matcher {
    pub(super) fn is_match(&self, text: &str, work: &Work) -> bool {
        match &self.means {
            Means::Walk(walk) => work.take(text.len()) && walk.end(text).is_some(),
            Means::Program(program) => program.is_match(text, work),
        }
    }

    /// Where the first match is, and its groups.
    pub(super) fn captures(&self, text: &str, work: &Work) -> Option<(Range<usize>, Captures)> {
        let (span, groups) = match &self.means {
            Means::Walk(walk) => {
                work.take(text.len()).then(|| walk.groups(text).map(|(end, groups)| (0..end, groups)))??
            }
            Means::Program(program) => program.groups(text, work)?,
        };
        let matched = text.as_bytes().get(span.clone())?;
        Some((span, Captures::new(matched, groups, Arc::clone(&self.group_names))))
    }

    pub(super) fn program(&self) -> Option<&Arc<Program>> {
        match &self.means {
            Means::Walk(_) => None,
            Means::Program(program) => Some(program),
        }
    }
}

/// The patterns of a router and of all that it is updated to; equal ones share one program.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    paths: Known<PathPattern>,
    headers: Known<HeaderPattern>,
    programs: Arc<Programs>,
    runs: Runs,
}

impl Patterns {
    /// Compiles a path without its `~`. Fails with a message for the user.
    pub(super) fn path(&self, pattern: &str) -> Result<Arc<PathPattern>, String> {
        self.paths.find(pattern, || {
            let (hir, size) = parse(pattern)?;
            let anchored = format!("^(?:{pattern})");
            // A comment at the end would swallow the parenthesis.
            regex_syntax::parse(&anchored).map_err(|_| invalid(pattern, "unclosed group"))?;
            Ok(PathPattern {
                matcher: self.matcher(pattern, anchored, &hir, size)?,
                beginnings: literals::beginnings(&hir),
                endings: literals::endings(&hir),
                shape: Shape::of_pattern(&hir),
            })
        })
    }

    /// Compiles a header value without its `~*`: unanchored, without regard to case.
    pub(super) fn header_value(&self, pattern: &str) -> Result<Arc<HeaderPattern>, String> {
        self.headers.find(pattern, || {
            let (hir, size) = parse(pattern)?;
            let program = self.program(pattern, pattern.to_owned(), true, size)?;
            let beginnings = if is_anchored(&hir) { literals::lower_beginnings(pattern) } else { Box::default() };
            Ok(HeaderPattern { program, beginnings })
        })
    }

    /// Compiles a regex of an expression: unanchored.
    pub(super) fn text(&self, pattern: &str) -> Result<TextPattern, String> {
        let (hir, size) = parse(pattern)?;
        let anchored = is_anchored(&hir);
        Ok(TextPattern {
            matcher: if anchored {
                self.matcher(pattern, pattern.to_owned(), &hir, size)?
            } else {
                let program = self.program(pattern, pattern.to_owned(), false, size)?;
                Matcher { means: Means::Program(program), group_names: group_names(&hir).into() }
            },
            beginnings: if anchored { literals::beginnings(&hir) } else { Box::default() },
            endings: literals::endings(&hir),
            shape: if anchored { Shape::of_pattern(&hir) } else { Shape::default() },
        })
    }

    /// For a pattern that is anchored at the start.
    fn matcher(&self, own: &str, source: String, hir: &Hir, size: Size) -> Result<Matcher, String> {
        // Whether a large one is accepted is for its program to say, so that no pattern is refused for its looks.
        let walk = if surely_fits(size.states) { Walk::of(hir, &self.runs) } else { None };
        let means = match walk {
            Some(walk) => Means::Walk(walk),
            None => Means::Program(self.program(own, source, false, size)?),
        };
        Ok(Matcher { means, group_names: group_names(hir).into() })
    }

    fn program(&self, own: &str, source: String, ignore_case: bool, size: Size) -> Result<Arc<Program>, String> {
        Program::new(source, ignore_case, size, &self.programs).map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => invalid(own, "too large"),
            other => invalid(own, &other.to_string()),
        })
    }
}

/// The parsed pattern and its size.
fn parse(pattern: &str) -> Result<(Hir, Size), String> {
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
    let size = Size::of(&hir);
    if size.states > MAX_PATTERN_STATES { Err(invalid(pattern, "too large")) } else { Ok((hir, size)) }
}

/// Whether all matches are at the start.
fn is_anchored(hir: &Hir) -> bool {
    hir.properties().look_set_prefix().contains(Look::Start)
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
            assert_eq!(compiled(pattern).end(path, &Work::default()), end, "{pattern} {path}");
        }
    }

    #[test]
    fn captures_by_number_and_name() {
        let pattern = compiled(r"/(?<v>v\d+)/(x)?(\w+)");
        let captures = pattern.captures("/v2/users/7", &Work::default());
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
        assert_eq!(compiled(r"/u/[\w-]{1,64}$").end("/u/some-slug_7", &Work::default()), Some(14));
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
        assert!(patterns.paths.len() < 100);
    }

    #[test]
    fn the_index_knows_how_paths_and_values_begin_and_end() {
        let patterns = Patterns::default();
        let shown = |literals: &Literals| -> Vec<String> {
            literals.iter().map(|literal| String::from_utf8(literal.to_vec()).unwrap()).collect()
        };
        let path = patterns.path("/api/.*/users$").unwrap();
        assert_eq!((shown(&path.beginnings), shown(&path.endings)), (vec!["/api/".into()], vec!["/users".into()]));
        assert_eq!(shown(&patterns.header_value("^Beta-[0-9]").unwrap().beginnings).len(), 10);
        assert!(patterns.header_value("Beta-[0-9]").unwrap().beginnings.is_empty());
        let text = patterns.text("/users$").unwrap();
        assert_eq!((shown(&text.beginnings), shown(&text.endings)), (vec![], vec!["/users".into()]));
    }
}
