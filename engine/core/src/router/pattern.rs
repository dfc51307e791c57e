//! Regexes of routes. They run in linear time, and their size is limited per pattern and per router.

use std::collections::HashMap;
use std::sync::Arc;

use regex::{Regex, RegexBuilder};
use regex_syntax::hir::literal::Extractor;
use regex_syntax::hir::{Class, Hir, HirKind};

use crate::message::Captures;

/// Longest accepted pattern, in bytes.
const MAX_PATTERN_BYTES: usize = 4096;
/// Largest program of one pattern, in bytes.
const MAX_PROGRAM_BYTES: usize = 4 << 20;
/// Most memory that lazily built states of one pattern may take per thread, in bytes.
const MAX_CACHE_BYTES: usize = 256 << 10;
/// Most states of one pattern: refused before time is spent on compiling it.
const MAX_PATTERN_STATES: usize = 128 << 10;
/// Most states of all patterns of one router together; at about 80 bytes each.
const MAX_STATES: usize = 2 << 20;
/// States that every pattern costs, however short.
const BASE_STATES: usize = 80;
/// A regex whose matches may begin in more ways than this is indexed by a shorter prefix, or by none.
const MAX_LITERALS: usize = 16;

/// A regex path, anchored at the start.
#[derive(Debug)]
pub(super) struct PathPattern {
    regex: Regex,
    group_names: Arc<[Option<Box<str>>]>,
}

impl PathPattern {
    /// Where the match ends, if the path matches.
    pub(super) fn end(&self, path: &str) -> Option<usize> {
        self.regex.find(path).map(|found| found.end())
    }

    pub(super) fn captures(&self, path: &str) -> Captures {
        let Some(found) = self.regex.captures(path) else { return Captures::default() };
        let groups = found.iter().map(|group| group.map(|group| group.as_str().as_bytes().into())).collect();
        Captures::new(groups, Arc::clone(&self.group_names))
    }
}

/// Compiles the patterns of one router; equal paths share one program.
#[derive(Debug, Default)]
pub(super) struct PatternCompiler {
    known: HashMap<String, u32>,
    paths: Vec<PathPattern>,
    /// Per path pattern: strings of which every match starts with one; empty if there are none.
    literals: Vec<Vec<Vec<u8>>>,
    states: usize,
}

impl PatternCompiler {
    /// Compiles a path without its `~`. Returns its number, or a message for the user.
    pub(super) fn path(&mut self, pattern: &str) -> Result<u32, String> {
        if let Some(&known) = self.known.get(pattern) {
            return Ok(known);
        }
        let hir = self.parse(pattern)?;
        let regex = build(pattern, RegexBuilder::new(&format!("^(?:{pattern})")))?;
        let number = super::tree::offset(self.paths.len());
        self.known.insert(pattern.to_owned(), number);
        self.literals.push(leading_literals(&hir));
        let group_names = regex.capture_names().map(|name| name.map(Box::from)).collect();
        self.paths.push(PathPattern { regex, group_names });
        Ok(number)
    }

    /// Compiles a header value without its `~*`: unanchored, without regard to case.
    pub(super) fn header_value(&mut self, pattern: &str) -> Result<Regex, String> {
        self.parse(pattern)?;
        let mut builder = RegexBuilder::new(pattern);
        builder.case_insensitive(true);
        build(pattern, builder)
    }

    pub(super) fn finish(self) -> (Vec<PathPattern>, Vec<Vec<Vec<u8>>>) {
        (self.paths, self.literals)
    }

    fn parse(&mut self, pattern: &str) -> Result<Hir, String> {
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
        let own = states(&hir);
        if own > MAX_PATTERN_STATES {
            return Err(invalid(pattern, "too large"));
        }
        self.states += BASE_STATES + own;
        if self.states > MAX_STATES {
            return Err("the regexes of all routes together are too large".to_owned());
        }
        Ok(hir)
    }
}

fn build(pattern: &str, mut builder: RegexBuilder) -> Result<Regex, String> {
    let built = builder.size_limit(MAX_PROGRAM_BYTES).dfa_size_limit(MAX_CACHE_BYTES).build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => invalid(pattern, "too large"),
        other => invalid(pattern, &other.to_string()),
    })
}

fn invalid(pattern: &str, reason: &str) -> String {
    format!("invalid regex: '{pattern}' ({reason})")
}

/// Strings of which every match starts with one, none of them the start of another; empty if nothing is sure.
fn leading_literals(hir: &Hir) -> Vec<Vec<u8>> {
    let sequence = Extractor::new().limit_total(MAX_LITERALS).extract(hir);
    let mut literals: Vec<Vec<u8>> =
        sequence.literals().unwrap_or_default().iter().map(|literal| literal.as_bytes().to_vec()).collect();
    literals.sort();
    literals.dedup_by(|later, earlier| later.starts_with(earlier));
    if literals.first().is_some_and(Vec::is_empty) { Vec::new() } else { literals }
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

    fn compiled(pattern: &str) -> (PathPattern, Vec<Vec<u8>>) {
        let mut compiler = PatternCompiler::default();
        compiler.path(pattern).unwrap();
        let (mut paths, mut literals) = compiler.finish();
        (paths.remove(0), literals.remove(0))
    }

    fn refusal(pattern: &str) -> String {
        PatternCompiler::default().path(pattern).unwrap_err()
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
            assert_eq!(compiled(pattern).0.end(path), end, "{pattern} {path}");
        }
    }

    #[test]
    fn captures_by_number_and_name() {
        let (pattern, _) = compiled(r"/(?<v>v\d+)/(x)?(\w+)");
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
    fn bounds_the_sum_of_all_patterns() {
        let mut compiler = PatternCompiler { states: MAX_STATES - BASE_STATES - 3, ..PatternCompiler::default() };
        assert_eq!(compiler.path("/ab"), Ok(0));
        assert_eq!(
            compiler.path("/").as_ref().map_err(String::as_str),
            Err("the regexes of all routes together are too large")
        );
        assert_eq!(compiler.path("/ab"), Ok(0), "what is there already costs nothing");
    }

    #[test]
    fn a_common_pattern_with_a_bounded_word_is_accepted() {
        assert_eq!(compiled(r"/u/[\w-]{1,64}$").0.end("/u/some-slug_7"), Some(14));
    }

    #[test]
    fn equal_patterns_share_a_program() {
        let mut compiler = PatternCompiler::default();
        assert_eq!((compiler.path("/a"), compiler.path("/b"), compiler.path("/a")), (Ok(0), Ok(1), Ok(0)));
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
            let found = compiled(pattern).1;
            let covered = |literal: &str| found.iter().any(|found| literal.as_bytes().starts_with(found));
            assert!(literals.iter().all(|literal| covered(literal)), "{pattern}: {found:?}");
            assert_eq!(found.is_empty(), literals.is_empty(), "{pattern}: {found:?}");
        }
    }
}
