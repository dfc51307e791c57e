//! Patterns that need no regex: literals and runs of characters of a class, one after the other.
//!
//! Most paths with parameters are such (`/users/([^/]+)/keys$`). What follows a run tells where it ends, so one walk
//! along the text finds what the regex would, groups included, without a program and the memory that it runs in.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use regex_syntax::hir::{Class, Hir, HirKind, Look, Repetition};

use super::tree::offset;
use crate::message::GroupSpan;

/// A pattern that is anchored at the start and of this kind.
#[derive(Debug)]
pub(super) struct Walk {
    steps: Box<[Step]>,
    /// Of all steps, in their order.
    literals: Box<[u8]>,
    /// How many groups there are, with the whole match.
    groups: usize,
}

#[derive(Debug)]
enum Step {
    /// The next so many bytes of the literals.
    Literal(u32),
    /// The same, or nothing.
    Maybe(u32),
    Run(Arc<Run>),
    /// A group begins (twice its number) or ends (one more).
    Mark(u32),
    End,
}

/// As many characters of a class as there are, within bounds.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Run {
    ascii: [u64; 2],
    /// Sorted.
    others: Box<[(char, char)]>,
    min: u32,
    max: u32,
}

/// The runs of many walks; equal ones are one, so that they stay in the processor's caches.
#[derive(Debug, Default)]
pub(super) struct Runs(Mutex<HashSet<Arc<Run>>>);

impl Walk {
    /// `None` for a pattern of another kind. `hir` is taken as anchored at the start.
    pub(super) fn of(hir: &Hir, runs: &Runs) -> Option<Self> {
        let mut parts = Vec::new();
        read(hir, &mut parts)?;
        if !(0..parts.len()).all(|index| parts[index].is_settled_by(parts[index + 1..].iter().find(|part| part.acts())))
        {
            return None;
        }
        let mut literals = Vec::new();
        let mut keep = |text: Vec<u8>| {
            literals.extend_from_slice(&text);
            offset(text.len())
        };
        let mut groups = 1;
        let steps = parts.into_iter().map(|part| match part {
            Part::Literal(text) => Step::Literal(keep(text)),
            Part::Maybe(text) => Step::Maybe(keep(text)),
            Part::Run { run, .. } => Step::Run(runs.shared(run)),
            Part::Mark(number) => {
                groups = groups.max(number as usize / 2 + 1);
                Step::Mark(number)
            }
            Part::End => Step::End,
        });
        Some(Self { steps: steps.collect(), literals: literals.into(), groups })
    }

    /// Where the match ends, if the text matches.
    pub(super) fn end(&self, text: &str) -> Option<usize> {
        self.walk(text, |_, _| {})
    }

    /// The same with the groups, the first of which is the whole match.
    pub(super) fn groups(&self, text: &str) -> Option<(usize, Box<[GroupSpan]>)> {
        let mut spans: Box<[GroupSpan]> = vec![None; self.groups].into();
        let end = self.walk(text, |mark, at| {
            if let Some(span) = spans.get_mut(mark as usize / 2) {
                let (start, end) = span.unwrap_or_default();
                *span = Some(if mark % 2 == 0 { (offset(at), end) } else { (start, offset(at)) });
            }
        })?;
        spans[0] = Some((0, offset(end)));
        Some((end, spans))
    }

    fn walk(&self, text: &str, mut mark: impl FnMut(u32, usize)) -> Option<usize> {
        let bytes = text.as_bytes();
        let mut literals = &*self.literals;
        let mut at = 0;
        for step in &self.steps {
            match step {
                Step::Literal(length) | Step::Maybe(length) => {
                    let (own, others) = literals.split_at_checked(*length as usize)?;
                    literals = others;
                    if bytes.get(at..)?.starts_with(own) {
                        at += own.len();
                    } else if matches!(step, Step::Literal(_)) {
                        return None;
                    }
                }
                Step::Run(run) => at = run.end(text, at)?,
                Step::Mark(number) => mark(*number, at),
                Step::End if at == bytes.len() => {}
                Step::End => return None,
            }
        }
        Some(at)
    }
}

impl Run {
    /// Where a run that starts here ends, if it is long enough.
    fn end(&self, text: &str, start: usize) -> Option<usize> {
        let mut at = start;
        let mut length = 0;
        while length < self.max {
            match text.as_bytes().get(at) {
                Some(&byte) if byte.is_ascii() => {
                    if !self.has_ascii(byte) {
                        break;
                    }
                    at += 1;
                }
                Some(_) => {
                    let next = text.get(at..)?.chars().next()?;
                    if !self.others.iter().any(|&(first, last)| first <= next && next <= last) {
                        break;
                    }
                    at += next.len_utf8();
                }
                None => break,
            }
            length += 1;
        }
        (length >= self.min).then_some(at)
    }

    fn has_ascii(&self, byte: u8) -> bool {
        self.ascii[usize::from(byte >> 6 & 1)] >> (byte & 63) & 1 == 1
    }

    fn has(&self, character: char) -> bool {
        match u8::try_from(character) {
            Ok(byte) if byte.is_ascii() => self.has_ascii(byte),
            _ => self.others.iter().any(|&(first, last)| first <= character && character <= last),
        }
    }

    fn shares_any_with(&self, other: &Self) -> bool {
        let overlap = |(first, last): &(char, char)| other.others.iter().any(|own| own.0 <= *last && *first <= own.1);
        self.ascii[0] & other.ascii[0] | self.ascii[1] & other.ascii[1] != 0 || self.others.iter().any(overlap)
    }
}

impl Runs {
    fn shared(&self, run: Run) -> Arc<Run> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(&run) {
            return Arc::clone(known);
        }
        if known.len() == known.capacity() {
            known.retain(|run| Arc::strong_count(run) > 1);
        }
        let run = Arc::new(run);
        known.insert(Arc::clone(&run));
        run
    }
}

/// A step as it is read from a pattern.
enum Part {
    Literal(Vec<u8>),
    Maybe(Vec<u8>),
    Run { run: Run, greedy: bool },
    Mark(u32),
    End,
}

impl Part {
    fn acts(&self) -> bool {
        !matches!(self, Self::Mark(_))
    }

    /// Whether this part's length is plain once it is known what follows: taking less or more could not match.
    fn is_settled_by(&self, next: Option<&Self>) -> bool {
        match self {
            Self::Literal(_) | Self::Mark(_) => true,
            Self::Maybe(_) => matches!(next, None | Some(Self::End)),
            Self::End => matches!(next, None | Some(Self::End)),
            Self::Run { run, .. } if run.min == run.max => true,
            Self::Run { run, greedy } => match next {
                None => *greedy,
                Some(Self::End) => true,
                Some(Self::Literal(text) | Self::Maybe(text)) => {
                    *greedy && first(text).is_some_and(|next| !run.has(next))
                }
                Some(Self::Run { run: next, .. }) => *greedy && next.min > 0 && !run.shares_any_with(next),
                Some(Self::Mark(_)) => false,
            },
        }
    }
}

fn first(text: &[u8]) -> Option<char> {
    std::str::from_utf8(text).ok()?.chars().next()
}

fn read(hir: &Hir, parts: &mut Vec<Part>) -> Option<()> {
    match hir.kind() {
        HirKind::Empty => {}
        HirKind::Literal(literal) => {
            std::str::from_utf8(&literal.0).ok()?;
            if let Some(Part::Literal(text)) = parts.last_mut() {
                text.extend_from_slice(&literal.0);
            } else {
                parts.push(Part::Literal(literal.0.to_vec()));
            }
        }
        HirKind::Class(class) => parts.push(Part::Run { run: run(class, 1, 1)?, greedy: true }),
        HirKind::Look(Look::Start) if !parts.iter().any(Part::acts) => {}
        HirKind::Look(Look::End) => parts.push(Part::End),
        HirKind::Look(_) | HirKind::Alternation(_) => return None,
        HirKind::Repetition(repetition) => parts.push(repeated(repetition)?),
        HirKind::Capture(capture) => {
            let number = capture.index.checked_mul(2)?;
            parts.push(Part::Mark(number));
            read(&capture.sub, parts)?;
            parts.push(Part::Mark(number + 1));
        }
        HirKind::Concat(several) => several.iter().try_for_each(|part| read(part, parts))?,
    }
    Some(())
}

fn repeated(repetition: &Repetition) -> Option<Part> {
    match repetition.sub.kind() {
        HirKind::Class(class) => {
            let run = run(class, repetition.min, repetition.max.unwrap_or(u32::MAX))?;
            Some(Part::Run { run, greedy: repetition.greedy })
        }
        HirKind::Literal(literal) if repetition.min == 0 && repetition.max == Some(1) && repetition.greedy => {
            std::str::from_utf8(&literal.0).ok()?;
            Some(Part::Maybe(literal.0.to_vec()))
        }
        _ => None,
    }
}

fn run(class: &Class, min: u32, max: u32) -> Option<Run> {
    let ranges: Vec<(char, char)> = match class {
        Class::Unicode(class) => class.ranges().iter().map(|range| (range.start(), range.end())).collect(),
        Class::Bytes(class) if class.is_ascii() => {
            class.ranges().iter().map(|range| (char::from(range.start()), char::from(range.end()))).collect()
        }
        Class::Bytes(_) => return None,
    };
    let mut ascii = [0; 2];
    for byte in 0..128_u8 {
        if ranges.iter().any(|&(first, last)| first <= char::from(byte) && char::from(byte) <= last) {
            ascii[usize::from(byte >> 6)] |= 1 << (byte & 63);
        }
    }
    let others = ranges.into_iter().filter(|&(_, last)| !last.is_ascii());
    let others = others.map(|(first, last)| (first.max('\u{80}'), last)).collect();
    Some(Run { ascii, others, min, max })
}

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::*;
    use crate::router::tests::Random;

    fn walk(pattern: &str) -> Option<Walk> {
        Walk::of(&regex_syntax::parse(pattern).unwrap(), &Runs::default())
    }

    /// What the regex finds: where the match ends, and its groups.
    fn by_regex(pattern: &str, text: &str) -> Option<(usize, Box<[GroupSpan]>)> {
        let found = Regex::new(&format!("^(?:{pattern})")).unwrap().captures(text)?;
        let span = |group: Option<regex::Match<'_>>| group.map(|group| (offset(group.start()), offset(group.end())));
        Some((found.get(0)?.end(), found.iter().map(span).collect()))
    }

    #[test]
    fn knows_which_patterns_need_no_regex() {
        for (pattern, plain) in [
            ("/users/([^/]+)/keys$", true),
            ("/users/(?<id>[0-9]+)", true),
            (r"/v(\d+)/[\w-]+/?$", true),
            ("/files/(?<path>.*)$", true),
            ("/files/(.+)", true),
            ("/x/[0-9a-f]{8}-[0-9a-f]{4}", true),
            ("(?i)/API/([^/]+)", true),
            ("^/a/([^/]*)/b", true),
            ("/([a-z]+)([0-9]+)$", true),
            (r"/(?<name>[^/.]+)\.json$", true),
            ("/a/?$", true),
            ("/a/?", true),
            ("/([ab]+?)$", true),
            ("/a|/b", false),
            ("/.*/x", false),
            ("/([^/]+?)", false),
            ("/([a-z]+)a", false),
            ("/([a-z]+)([a-z0-9]+)", false),
            ("/([a-z]+)([0-9]*)", false),
            ("/(a/)?b", false),
            ("/a/?b", false),
            (r"/a\b", false),
            ("/a$/b", false),
            ("/a(?m:$)", false),
            ("/a^b", false),
            ("/(?:ab)+", false),
        ] {
            assert_eq!(walk(pattern).is_some(), plain, "{pattern}");
        }
    }

    #[test]
    fn equal_runs_are_shared_and_unused_ones_forgotten() {
        let runs = Runs::default();
        let walk = |pattern: &str| Walk::of(&regex_syntax::parse(pattern).unwrap(), &runs).unwrap();
        let (_one, _two) = (walk("/a/([^/]+)"), walk("/b/([^/]+)/([^/]+)"));
        assert_eq!(runs.0.lock().unwrap().len(), 1);
        for length in 1..1_000 {
            walk(&format!("/[a-z]{{1,{length}}}"));
        }
        assert!(runs.0.lock().unwrap().len() < 100);
    }

    /// For random patterns and texts: a walk finds what the regex does, to the last group.
    #[test]
    fn finds_what_the_regex_finds() {
        const PIECES: [&str; 26] = [
            "/",
            "/a",
            "a",
            "b",
            "/ab/",
            "é",
            r"\.",
            "-",
            "[^/]+",
            "([^/]+)",
            "(?<n>[^/]*)",
            "[a-z]+",
            "([ab]{1,2})",
            r"\d+",
            "(é*)",
            "[^a]",
            "(?i:ab)",
            "(?i:k)",
            ".*",
            "(.+)",
            "[^/.]+",
            "(/[a-z]{2})",
            "/?",
            "/?$",
            "$",
            r"[\w-]+?",
        ];
        const TEXTS: [&str; 14] = ["/", "/", "a", "b", "ab", "é", ".", "-", "1", "12", "AB", "K", "\u{212a}", "\n"];
        let mut random = Random(0x3A1C_2026);
        let (mut plain, mut matches) = (0, 0);
        for _ in 0..6_000 {
            let mut pattern: String = (0..=random.below(5)).map(|_| random.pick(&PIECES)).collect();
            if pattern.matches("?<n>").count() > 1 {
                pattern = pattern.replace("?<n>", "");
            }
            let Some(walk) = walk(&pattern) else { continue };
            plain += 1;
            let regex = Regex::new(&format!("^(?:{pattern})")).unwrap();
            for _ in 0..30 {
                let text: String = (0..random.below(7)).map(|_| random.pick(&TEXTS)).collect();
                assert_eq!(walk.end(&text), regex.find(&text).map(|found| found.end()), "{pattern} {text:?}");
                if walk.end(&text).is_some() {
                    matches += 1;
                    assert_eq!(walk.groups(&text), by_regex(&pattern, &text), "{pattern} {text:?}");
                }
            }
        }
        assert!(plain > 1_000 && matches > 2_000, "{plain} {matches}");
    }
}
