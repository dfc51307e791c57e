//! Lua patterns: backtracking over bytes, every step of which is paid from the budget.
//!
//! Source: Lua 5.1 reference manual, section 5.4.1.

use std::ops::Range;

use super::{Budget, Fault};

/// How many captures a pattern may have.
const MAX_CAPTURES: usize = 32;
/// How deep matching may recurse, whatever the text.
const MAX_DEPTH: u32 = 200;

/// What one pair of parentheses matched; positions count from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Capture {
    Text(Range<usize>),
    Position(usize),
}

/// A successful match.
#[derive(Debug)]
pub(super) struct Match {
    pub(super) range: Range<usize>,
    pub(super) captures: Vec<Capture>,
}

#[derive(Clone)]
enum Open {
    /// Begun at this place and not yet closed.
    From(usize),
    Done(Capture),
}

pub(super) struct Matcher<'m, 'b> {
    text: &'m [u8],
    pattern: &'m [u8],
    captures: Vec<Open>,
    depth: u32,
    budget: &'b mut Budget,
}

fn malformed(why: &'static str) -> Fault {
    Fault::Runtime(why.into())
}

impl<'m, 'b> Matcher<'m, 'b> {
    pub(super) fn new(text: &'m [u8], pattern: &'m [u8], budget: &'b mut Budget) -> Self {
        Self { text, pattern, captures: Vec::new(), depth: 0, budget }
    }

    /// The first match that begins at `from` or later.
    pub(super) fn search(&mut self, from: usize) -> Result<Option<Match>, Fault> {
        for start in from..=self.text.len() {
            let found = self.match_at(start)?;
            if found.is_some() || self.pattern.first() == Some(&b'^') {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The match that begins exactly at `start`.
    pub(super) fn match_at(&mut self, start: usize) -> Result<Option<Match>, Fault> {
        self.captures.clear();
        let begin = usize::from(self.pattern.first() == Some(&b'^'));
        let Some(end) = self.run(start, begin)? else { return Ok(None) };
        let captures = self.captures.iter().map(|open| match open {
            Open::Done(capture) => Ok(capture.clone()),
            Open::From(_) => Err(malformed("unfinished capture")),
        });
        Ok(Some(Match { range: start..end, captures: captures.collect::<Result<_, _>>()? }))
    }

    /// Matches the pattern from `p` at the text from `s`; the end of the match.
    fn run(&mut self, s: usize, p: usize) -> Result<Option<usize>, Fault> {
        if self.depth == MAX_DEPTH {
            return Err(malformed("pattern too complex"));
        }
        self.depth += 1;
        let result = self.step(s, p);
        self.depth -= 1;
        result
    }

    fn step(&mut self, mut s: usize, mut p: usize) -> Result<Option<usize>, Fault> {
        loop {
            self.budget.step()?;
            let Some(byte) = self.pattern.get(p) else { return Ok(Some(s)) };
            match (byte, self.pattern.get(p + 1)) {
                (b'(', Some(b')')) => return self.capture(Open::Done(Capture::Position(s)), s, p + 2),
                (b'(', _) => return self.capture(Open::From(s), s, p + 1),
                (b')', _) => return self.close(s, p + 1),
                (b'$', None) => return Ok((s == self.text.len()).then_some(s)),
                (b'%', Some(b'b')) => match self.balanced(s, p + 2)? {
                    Some(end) => (s, p) = (end, p + 4),
                    None => return Ok(None),
                },
                (b'%', Some(b'f')) => match self.frontier(s, p + 2)? {
                    Some(next) => p = next,
                    None => return Ok(None),
                },
                (b'%', Some(digit @ b'0'..=b'9')) => match self.back_reference(s, *digit)? {
                    Some(end) => (s, p) = (end, p + 2),
                    None => return Ok(None),
                },
                _ => {
                    let next = self.class_end(p)?;
                    match self.pattern.get(next) {
                        Some(b'?') => {
                            if self.single(s, p, next)?
                                && let Some(end) = self.run(s + 1, next + 1)?
                            {
                                return Ok(Some(end));
                            }
                            p = next + 1;
                        }
                        Some(b'*') => return self.longest(s, p, next),
                        Some(b'+') => {
                            return if self.single(s, p, next)? { self.longest(s + 1, p, next) } else { Ok(None) };
                        }
                        Some(b'-') => return self.shortest(s, p, next),
                        _ if self.single(s, p, next)? => (s, p) = (s + 1, next),
                        _ => return Ok(None),
                    }
                }
            }
        }
    }

    /// Where the class that begins at `p` ends.
    fn class_end(&mut self, p: usize) -> Result<usize, Fault> {
        match self.pattern.get(p) {
            Some(b'%') if p + 1 < self.pattern.len() => Ok(p + 2),
            Some(b'%') => Err(malformed("malformed pattern (ends with '%')")),
            Some(b'[') => {
                let mut at = p + 1 + usize::from(self.pattern.get(p + 1) == Some(&b'^'));
                let first = at;
                loop {
                    self.budget.step()?;
                    match self.pattern.get(at) {
                        None => return Err(malformed("malformed pattern (missing ']')")),
                        Some(b']') if at > first => return Ok(at + 1),
                        Some(b'%') => at += 2,
                        Some(_) => at += 1,
                    }
                }
            }
            _ => Ok(p + 1),
        }
    }

    /// Whether the class at `p..end` matches the byte at `s`.
    fn single(&mut self, s: usize, p: usize, end: usize) -> Result<bool, Fault> {
        self.budget.step()?;
        let Some(byte) = self.text.get(s).copied() else { return Ok(false) };
        match self.pattern.get(p) {
            Some(b'.') => Ok(true),
            Some(b'%') => Ok(self.pattern.get(p + 1).is_some_and(|class| in_class(byte, *class))),
            Some(b'[') => self.in_set(byte, p, end),
            Some(literal) => Ok(*literal == byte),
            None => Ok(false),
        }
    }

    /// Whether the set `[…]` at `p..end` has the byte.
    fn in_set(&mut self, byte: u8, p: usize, end: usize) -> Result<bool, Fault> {
        let negated = self.pattern.get(p + 1) == Some(&b'^');
        let mut items = self.pattern.get(p + 1 + usize::from(negated)..end - 1).unwrap_or_default();
        let mut found = false;
        loop {
            self.budget.step()?;
            match items {
                [] => return Ok(found != negated),
                [b'%', class, rest @ ..] => {
                    found |= in_class(byte, *class);
                    items = rest;
                }
                [low, b'-', high, rest @ ..] => {
                    found |= (*low..=*high).contains(&byte);
                    items = rest;
                }
                [literal, rest @ ..] => {
                    found |= *literal == byte;
                    items = rest;
                }
            }
        }
    }

    fn longest(&mut self, s: usize, p: usize, end: usize) -> Result<Option<usize>, Fault> {
        let mut reach = s;
        while self.single(reach, p, end)? {
            reach += 1;
        }
        loop {
            if let Some(found) = self.run(reach, end + 1)? {
                return Ok(Some(found));
            }
            if reach == s {
                return Ok(None);
            }
            reach -= 1;
        }
    }

    fn shortest(&mut self, mut s: usize, p: usize, end: usize) -> Result<Option<usize>, Fault> {
        loop {
            if let Some(found) = self.run(s, end + 1)? {
                return Ok(Some(found));
            }
            if !self.single(s, p, end)? {
                return Ok(None);
            }
            s += 1;
        }
    }

    fn capture(&mut self, open: Open, s: usize, p: usize) -> Result<Option<usize>, Fault> {
        if self.captures.len() == MAX_CAPTURES {
            return Err(malformed("too many captures"));
        }
        let before = self.captures.len();
        self.captures.push(open);
        let found = self.run(s, p)?;
        if found.is_none() {
            self.captures.truncate(before);
        }
        Ok(found)
    }

    fn close(&mut self, s: usize, p: usize) -> Result<Option<usize>, Fault> {
        let Some(index) = self.captures.iter().rposition(|open| matches!(open, Open::From(_))) else {
            return Err(malformed("invalid pattern capture"));
        };
        let Open::From(start) = self.captures[index] else { return Ok(None) };
        self.captures[index] = Open::Done(Capture::Text(start..s));
        let found = self.run(s, p)?;
        if found.is_none() {
            self.captures[index] = Open::From(start);
        }
        Ok(found)
    }

    /// `%bxy`: from an `x` to the `y` that balances it.
    fn balanced(&mut self, s: usize, p: usize) -> Result<Option<usize>, Fault> {
        let (Some(open), Some(close)) = (self.pattern.get(p), self.pattern.get(p + 1)) else {
            return Err(malformed("unbalanced pattern"));
        };
        if self.text.get(s) != Some(open) {
            return Ok(None);
        }
        let mut level = 1_usize;
        for (offset, byte) in self.text[s + 1..].iter().enumerate() {
            self.budget.step()?;
            if byte == close {
                level -= 1;
                if level == 0 {
                    return Ok(Some(s + offset + 2));
                }
            } else if byte == open {
                level += 1;
            }
        }
        Ok(None)
    }

    /// `%f[set]`: between a byte outside the set and one inside; where the pattern goes on.
    fn frontier(&mut self, s: usize, p: usize) -> Result<Option<usize>, Fault> {
        if self.pattern.get(p) != Some(&b'[') {
            return Err(malformed("missing '[' after '%f' in pattern"));
        }
        let end = self.class_end(p)?;
        let before = s.checked_sub(1).and_then(|at| self.text.get(at)).copied().unwrap_or(0);
        let after = self.text.get(s).copied().unwrap_or(0);
        let enters = !self.in_set(before, p, end)? && self.in_set(after, p, end)?;
        Ok(enters.then_some(end))
    }

    fn back_reference(&mut self, s: usize, digit: u8) -> Result<Option<usize>, Fault> {
        let index = usize::from(digit - b'0').checked_sub(1);
        let Some(Open::Done(Capture::Text(range))) = index.and_then(|index| self.captures.get(index)) else {
            return Err(malformed("invalid capture index"));
        };
        let earlier = &self.text[range.clone()];
        self.budget.scan(earlier.len())?;
        Ok(self.text[s..].starts_with(earlier).then_some(s + earlier.len()))
    }
}

/// Whether a byte is in the class of a letter after `%`; an upper-case letter is the complement, and anything that is
/// no class letter stands for itself.
fn in_class(byte: u8, class: u8) -> bool {
    let inside = match class.to_ascii_lowercase() {
        b'a' => byte.is_ascii_alphabetic(),
        b'c' => byte.is_ascii_control(),
        b'd' => byte.is_ascii_digit(),
        b'g' => byte.is_ascii_graphic(),
        b'l' => byte.is_ascii_lowercase(),
        b'p' => byte.is_ascii_punctuation(),
        b's' => byte.is_ascii_whitespace() || byte == 0x0b,
        b'u' => byte.is_ascii_uppercase(),
        b'w' => byte.is_ascii_alphanumeric(),
        b'x' => byte.is_ascii_hexdigit(),
        b'z' => byte == 0,
        _ => return class == byte,
    };
    inside != class.is_ascii_uppercase()
}
