//! What a path's segments must be for a regex or a prefix to match: how routes are told apart whose paths begin alike.

use regex_syntax::hir::{Class, Hir, HirKind, Look};

/// Most segments that are looked at.
pub(super) const MAX_SEGMENTS: usize = 8;
/// Stands for more segments than any pattern asks for.
const MANY: u16 = u16::MAX;

/// Necessary conditions on the segments of a path. A slash at the end of a path begins no segment.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Shape {
    /// By position: what the segment starts with; a whole segment ends with `/`. Empty if it may be anything.
    keys: Box<[Box<[u8]>]>,
    /// How many segments there are, if that is known.
    depth: Option<u16>,
}

impl Shape {
    /// Of the paths that start with a prefix.
    pub(super) fn of_prefix(prefix: &[u8]) -> Self {
        let mut builder = Builder::default();
        builder.literal(prefix);
        builder.finish()
    }

    /// Of one path, with or without a slash at the end.
    pub(super) fn of_whole(path: &[u8]) -> Self {
        let mut builder = Builder::default();
        builder.literal(path);
        builder.end();
        builder.finish()
    }

    /// Of the paths that an anchored pattern matches.
    pub(super) fn of_pattern(hir: &Hir) -> Self {
        let mut builder = Builder::default();
        let mut parts = Vec::new();
        flatten(hir, &mut parts);
        let mut parts = parts.into_iter().peekable();
        while let Some(part) = parts.next() {
            match part.kind() {
                HirKind::Literal(literal) => builder.literal(&literal.0),
                HirKind::Look(Look::End) => {
                    builder.end();
                    break;
                }
                HirKind::Repetition(repetition)
                    if repetition.max == Some(1)
                        && is_slash(&repetition.sub)
                        && parts.peek().is_some_and(|next| *next.kind() == HirKind::Look(Look::End)) =>
                {
                    // A slash at the end makes no difference.
                }
                HirKind::Look(_) => {}
                _ if !may_be_slash(part) => builder.anything(),
                _ => break,
            }
        }
        builder.finish()
    }

    /// What the segment at a position has to start with; nothing if it may be anything.
    pub(super) fn key(&self, position: u8) -> Option<&[u8]> {
        self.keys.get(usize::from(position)).map(|key| &**key).filter(|key| !key.is_empty())
    }

    /// How many segments there have to be.
    pub(super) fn depth(&self) -> Option<u16> {
        self.depth
    }
}

/// How many segments a path has.
pub(super) fn count(path: &[u8]) -> usize {
    let path = path.strip_suffix(b"/").unwrap_or(path);
    memchr::memchr_iter(b'/', path).count()
}

/// The segments of a request's path, found once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segments {
    ends: [u32; MAX_SEGMENTS],
    depth: u16,
}

impl Segments {
    pub(super) fn of(path: &[u8]) -> Self {
        let path = path.strip_suffix(b"/").unwrap_or(path);
        let mut ends = [0; MAX_SEGMENTS];
        let mut depth: usize = 0;
        for end in memchr::memchr_iter(b'/', path).skip(1).chain((!path.is_empty()).then_some(path.len())) {
            if let Some(place) = ends.get_mut(depth) {
                *place = super::tree::offset(end);
            }
            depth += 1;
        }
        Self { ends, depth: u16::try_from(depth).unwrap_or(MANY) }
    }

    /// The segment at a position.
    pub(super) fn get<'a>(&self, path: &'a [u8], position: u8) -> Option<&'a [u8]> {
        let position = usize::from(position);
        let end = *self.ends.get(position).filter(|&&end| end > 0)? as usize;
        let start = position.checked_sub(1).map_or(0, |before| self.ends[before] as usize) + 1;
        path.get(start..end)
    }

    pub(super) fn depth(&self) -> u16 {
        self.depth
    }
}

#[derive(Default)]
struct Builder {
    keys: Vec<Box<[u8]>>,
    /// What the segment that is being read starts with; `None` before the first slash.
    current: Option<Vec<u8>>,
    /// Whether something other than literals has been read of it.
    loose: bool,
    depth: Option<u16>,
    /// Nothing more is known: the path does not begin with a slash.
    lost: bool,
}

impl Builder {
    fn literal(&mut self, text: &[u8]) {
        for &byte in text {
            match &mut self.current {
                _ if byte == b'/' => self.slash(),
                None => self.lost = true,
                Some(current) if !self.loose => current.push(byte),
                Some(_) => {}
            }
        }
    }

    fn slash(&mut self) {
        if let Some(mut key) = self.current.replace(Vec::new()) {
            if !self.loose {
                key.push(b'/');
            }
            self.keys.push(key.into());
        }
        self.loose = false;
    }

    fn anything(&mut self) {
        self.lost |= self.current.is_none();
        self.loose = true;
    }

    /// The path ends here, but for a slash.
    fn end(&mut self) {
        let empty = !self.loose && self.current.as_ref().is_none_or(Vec::is_empty);
        if !empty {
            self.slash();
            self.current = None;
        }
        self.depth = u16::try_from(self.keys.len()).ok().filter(|&depth| depth < MANY && !self.lost);
    }

    fn finish(mut self) -> Shape {
        if self.lost {
            return Shape::default();
        }
        self.keys.extend(self.current.map(Into::into));
        self.keys.truncate(MAX_SEGMENTS);
        Shape { keys: self.keys.into(), depth: self.depth }
    }
}

/// The parts of a pattern, one after the other, without groups.
fn flatten<'a>(hir: &'a Hir, parts: &mut Vec<&'a Hir>) {
    match hir.kind() {
        HirKind::Concat(several) => several.iter().for_each(|part| flatten(part, parts)),
        HirKind::Capture(capture) => flatten(&capture.sub, parts),
        HirKind::Empty => {}
        _ => parts.push(hir),
    }
}

fn is_slash(hir: &Hir) -> bool {
    matches!(hir.kind(), HirKind::Literal(literal) if *literal.0 == *b"/")
}

/// Whether a match of the part may hold a slash, or is unknown to.
fn may_be_slash(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => false,
        HirKind::Literal(literal) => literal.0.contains(&b'/'),
        HirKind::Class(Class::Unicode(class)) => {
            class.ranges().iter().any(|range| range.start() <= '/' && '/' <= range.end())
        }
        HirKind::Class(Class::Bytes(class)) => {
            class.ranges().iter().any(|range| range.start() <= b'/' && b'/' <= range.end())
        }
        HirKind::Repetition(repetition) => may_be_slash(&repetition.sub),
        HirKind::Capture(capture) => may_be_slash(&capture.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.iter().any(may_be_slash),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> (Vec<String>, Option<u16>) {
        described(&Shape::of_pattern(&regex_syntax::parse(text).unwrap()))
    }

    fn described(shape: &Shape) -> (Vec<String>, Option<u16>) {
        (shape.keys.iter().map(|key| String::from_utf8(key.to_vec()).unwrap()).collect(), shape.depth)
    }

    #[test]
    fn segments_of_patterns() {
        for (text, keys, depth) in [
            ("/repos/(?<owner>[^/]+)/(?<repo>[^/]+)/issues$", &["repos/", "", "", "issues/"][..], Some(4)),
            (r"/repos/(?<owner>[^/]+)/v(\d+)/issues", &["repos/", "", "v", "issues"], None),
            ("/a/b/?$", &["a/", "b/"], Some(2)),
            ("/a/b/$", &["a/", "b/", ""], Some(2)),
            ("/a/b/?", &["a/", "b"], None),
            ("/a/b/?x", &["a/", "b"], None),
            ("/a/.*/b$", &["a/", ""], None),
            ("/a[^b]c/d", &["a"], None),
            ("/a(b|c)/d$", &["a", "d/"], Some(2)),
            ("/a|/b", &[], None),
            (".*/a", &[], None),
            ("(?i)/API/x", &["", "x"], None),
            ("/$", &[""], Some(0)),
        ] {
            let expected = (keys.iter().map(|&key| key.to_owned()).collect(), depth);
            let (mut found, depth) = pattern(text);
            if text.starts_with("(?i)") {
                found[1] = "x".to_owned();
            }
            assert_eq!((found, depth), expected, "{text}");
        }
    }

    #[test]
    fn segments_of_prefixes() {
        assert_eq!(described(&Shape::of_prefix(b"/a/bc")), (vec!["a/".to_owned(), "bc".to_owned()], None));
        assert_eq!(described(&Shape::of_prefix(b"/a/")), (vec!["a/".to_owned(), String::new()], None));
        assert_eq!(described(&Shape::of_prefix(b"/")), (vec![String::new()], None));
    }

    #[test]
    fn segments_of_paths() {
        for (path, segments) in [
            ("/", &[][..]),
            ("/a", &["a"]),
            ("/a/", &["a"]),
            ("/a/bc/d", &["a", "bc", "d"]),
            ("/1/2/3/4/5/6/7/8/9/x", &["1", "2", "3", "4", "5", "6", "7", "8", "9", "x"]),
        ] {
            let found = Segments::of(path.as_bytes());
            assert_eq!(
                (usize::from(found.depth()), count(path.as_bytes())),
                (segments.len(), segments.len()),
                "{path}"
            );
            for position in 0..10_u8 {
                let expected = segments.get(usize::from(position)).filter(|_| usize::from(position) < MAX_SEGMENTS);
                let got = found.get(path.as_bytes(), position);
                assert_eq!(got, expected.map(|text| text.as_bytes()), "{path} {position}");
            }
        }
    }
}
