//! A header list without an allocation per header.

use std::fmt;
use std::ops::Range;

use super::names::{InvalidHeader, Known, check_name, check_value};
use crate::gateway::forward::{Digits, line};

/// What becomes of a line when a list is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is written.
    Kept,
    /// It is left out.
    Dropped,
    /// It is written with this behind its value.
    Continued(&'static [u8]),
}

/// A piece of a [`Headers`] arena.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

#[derive(Debug, Clone, Copy)]
struct Field {
    name: Span,
    value: Span,
    /// Known to be in the arena as it is written: nothing but `: ` between its parts, and the end of a line behind them.
    whole: bool,
    /// Whole, and of a name that nobody has to look at when it is written.
    plain: bool,
}

/// Header lines in order, with their letter case, repeated names included.
///
/// All bytes live in one arena: a received head is copied there once and its lines are spans of it; lines added later
/// are appended as they will be written, so that lines which lie side by side are written at once. `clear` keeps both allocations, so a connection reuses one list for all its messages. Names compare
/// without regard to case. Values are bytes: they need not be UTF-8.
#[derive(Default)]
pub struct Headers {
    arena: Vec<u8>,
    fields: Vec<Field>,
}

impl Headers {
    /// An empty list.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets everything but the allocations.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.fields.clear();
    }

    /// Number of lines.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Length of all lines, and of what has been replaced.
    #[must_use]
    pub fn bytes_held(&self) -> usize {
        self.arena.len()
    }

    /// Whether there is no line.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The first value of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.position(name).map(|index| self.bytes(self.fields[index].value))
    }

    /// All values of a name, in order.
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.fields
            .iter()
            .filter(move |field| self.is_named(field, name.as_bytes()))
            .map(move |field| self.bytes(field.value))
    }

    /// Whether there is a line of this name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.position(name).is_some()
    }

    /// All lines in order: name as written, value.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|field| (self.bytes(field.name), self.bytes(field.value)))
    }

    /// Leaves exactly one line of this name: at the place of the first one that there was, else at the end. The line
    /// gets the name as given here.
    pub fn set(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), InvalidHeader> {
        let field = self.checked(name, value.as_ref())?;
        let Some(first) = self.position(name) else {
            self.fields.push(field);
            return Ok(());
        };
        self.fields[first] = field;
        self.retain_from(first + 1, name);
        Ok(())
    }

    /// Adds a line at the end, whether or not there are others of the name.
    pub fn append(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), InvalidHeader> {
        let field = self.checked(name, value.as_ref())?;
        self.fields.push(field);
        Ok(())
    }

    /// The same for a name that needs no check.
    pub fn append_known(&mut self, name: Known, value: impl AsRef<[u8]>) -> Result<(), InvalidHeader> {
        check_value(value.as_ref())?;
        let field = self.store_line(name.name, value.as_ref());
        self.fields.push(Field { plain: name.plain, ..field });
        Ok(())
    }

    /// Adds a line with a number, which needs no check either.
    pub fn append_number(&mut self, name: Known, number: u64) {
        let field = self.store_line(name.name, Digits::default().of(number));
        self.fields.push(Field { plain: name.plain, ..field });
    }

    /// Adds the lines of another list at the end.
    pub fn append_all(&mut self, others: &Self) {
        // No list comes near this size: heads are limited to far less.
        let Ok(start) = u32::try_from(self.arena.len()) else { return };
        if start.checked_add(u32::try_from(others.arena.len()).unwrap_or(u32::MAX)).is_none() {
            return;
        }
        self.arena.extend_from_slice(&others.arena);
        self.fields.extend(others.fields.iter().map(|field| Field {
            name: field.name.moved(start),
            value: field.value.moved(start),
            ..*field
        }));
    }

    /// Adds a line with several values, as a list with commas (RFC 9110 section 5.6.1). What is no value is left out.
    pub fn append_list<'v>(&mut self, name: Known, values: impl Iterator<Item = &'v [u8]>) {
        let start = self.arena.len();
        self.arena.extend_from_slice(name.name.as_bytes());
        self.arena.extend_from_slice(b": ");
        let from = self.arena.len();
        for value in values.filter(|value| check_value(value).is_ok()) {
            if self.arena.len() > from {
                self.arena.extend_from_slice(b", ");
            }
            self.arena.extend_from_slice(value);
        }
        let end = self.arena.len();
        self.arena.extend_from_slice(b"\r\n");
        self.fields.push(Field {
            name: Span::new(start, start + name.name.len()),
            value: Span::new(from, end),
            whole: true,
            plain: name.plain,
        });
    }

    /// Adds a line unless the name is present. Returns whether it was added.
    pub fn insert_if_absent(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<bool, InvalidHeader> {
        if self.contains(name) {
            return Ok(false);
        }
        self.append(name, value).map(|()| true)
    }

    /// Removes all lines of a name. Returns whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        let before = self.fields.len();
        self.retain_from(0, name);
        self.fields.len() != before
    }

    /// Removes all lines of several names.
    pub fn remove_all(&mut self, names: &[Known]) {
        let Self { arena, fields } = self;
        let lengths = Lengths::of(names.iter().map(|name| name.name.len()));
        remove(fields, |field| {
            lengths.may_have(field.name.len()) && names.iter().any(|name| named(arena, field, name.name.as_bytes()))
        });
    }

    /// Adds the lines of another list, all of them, instead of those that this one has of the same names.
    pub fn replace_all(&mut self, others: &Self) {
        let lengths = Lengths::of(others.fields.iter().map(|field| field.name.len()));
        let Self { arena, fields } = self;
        remove(fields, |field| {
            lengths.may_have(field.name.len()) && {
                let name = arena.get(field.name.range()).unwrap_or_default();
                others.fields.iter().any(|other| named(&others.arena, other, name))
            }
        });
        self.append_all(others);
    }

    /// Gives the lines of `from` the name `to`; earlier lines of `to` are removed. Returns whether there was a line
    /// of `from`; without one nothing changes.
    pub fn rename(&mut self, from: &str, to: &str) -> Result<bool, InvalidHeader> {
        if !self.contains(from) {
            return Ok(false);
        }
        check_name(to)?;
        if !from.eq_ignore_ascii_case(to) {
            self.retain_from(0, to);
        }
        let renamed = self.store(to.as_bytes());
        for index in 0..self.fields.len() {
            if self.is_named(&self.fields[index], from.as_bytes()) {
                let field = &mut self.fields[index];
                (field.name, field.whole, field.plain) = (renamed, false, false);
            }
        }
        Ok(true)
    }

    /// Copies the bytes of a received head; spans of it follow with `push_received` and `span`.
    pub(crate) fn load(&mut self, head: &[u8]) {
        self.clear();
        self.arena.extend_from_slice(head);
    }

    /// Adds a line whose parts are pieces of the loaded head.
    pub(crate) fn push_received(&mut self, name: Span, value: Span) {
        self.fields.push(Field { name, value, whole: false, plain: false });
    }

    pub(crate) fn bytes(&self, span: Span) -> &[u8] {
        self.arena.get(span.range()).unwrap_or_default()
    }

    /// Appends bytes to the arena without making a line of them.
    pub(crate) fn store(&mut self, bytes: &[u8]) -> Span {
        let start = self.arena.len();
        self.arena.extend_from_slice(bytes);
        Span::new(start, self.arena.len())
    }

    fn checked(&mut self, name: &str, value: &[u8]) -> Result<Field, InvalidHeader> {
        check_name(name)?;
        check_value(value)?;
        Ok(self.store_line(name, value))
    }

    /// Appends a line to the arena as it will be written.
    fn store_line(&mut self, name: &str, value: &[u8]) -> Field {
        let start = self.arena.len();
        line(&mut self.arena, name.as_bytes(), value);
        let middle = start + name.len();
        let end = middle + 2 + value.len();
        Field { name: Span::new(start, middle), value: Span::new(middle + 2, end), whole: true, plain: false }
    }

    /// Writes the lines, each as its fate is. Lines that lie side by side as they are written are copied together.
    pub(crate) fn write(&self, out: &mut Vec<u8>, mut fate: impl FnMut(&[u8], &[u8]) -> Fate) {
        let mut run = 0..0;
        for field in &self.fields {
            if field.plain && field.name.start as usize == run.end {
                debug_assert_eq!(fate(self.bytes(field.name), self.bytes(field.value)), Fate::Kept);
                run.end = field.value.end as usize + 2;
                continue;
            }
            let (name, value) = (self.bytes(field.name), self.bytes(field.value));
            let (whole, more) = match fate(name, value) {
                Fate::Kept => (self.written(field), &b""[..]),
                Fate::Dropped => continue,
                Fate::Continued(more) => (None, more),
            };
            match whole {
                Some(whole) if whole.start == run.end => run.end = whole.end,
                whole => {
                    out.extend_from_slice(self.arena.get(std::mem::take(&mut run)).unwrap_or_default());
                    if let Some(whole) = whole {
                        run = whole;
                        continue;
                    }
                    line(out, name, value);
                    if !more.is_empty() {
                        out.truncate(out.len() - 2);
                        out.extend_from_slice(more);
                        out.extend_from_slice(b"\r\n");
                    }
                }
            }
        }
        out.extend_from_slice(self.arena.get(run).unwrap_or_default());
    }

    /// Where a line is in the arena as it is written, if it is there so: a received one may have other blanks.
    fn written(&self, field: &Field) -> Option<Range<usize>> {
        let (name, value) = (field.name.range(), field.value.range());
        let is = |at: usize, bytes: &[u8]| self.arena.get(at..at + bytes.len()) == Some(bytes);
        let whole = || value.start == name.end + 2 && is(name.end, b": ") && is(value.end, b"\r\n");
        (field.whole || whole()).then(|| name.start..value.end + 2)
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|field| self.is_named(field, name.as_bytes()))
    }

    /// Removes the lines of a name from a place on.
    fn retain_from(&mut self, start: usize, name: &str) {
        let Self { arena, fields } = self;
        let next = |fields: &[Field], from: usize| {
            let rest = fields.get(from..).unwrap_or_default();
            rest.iter().position(|field| named(arena, field, name.as_bytes())).map(|index| from + index)
        };
        let Some(first) = next(fields, start) else { return };
        fields.remove(first);
        // Hardly ever is there a second one; if so, the lines behind move once, however many there are.
        if let Some(second) = next(fields, first) {
            let mut index = 0;
            fields.retain(|field| {
                index += 1;
                index <= second || !named(arena, field, name.as_bytes())
            });
        }
    }

    fn is_named(&self, field: &Field, name: &[u8]) -> bool {
        named(&self.arena, field, name)
    }
}

impl fmt::Debug for Headers {
    /// Names only: values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned())).finish()
    }
}

impl Span {
    /// Offsets into an arena. Heads are limited to far less than 4 GiB; a larger offset yields an empty span.
    pub(crate) fn new(start: usize, end: usize) -> Self {
        match (u32::try_from(start), u32::try_from(end)) {
            (Ok(start), Ok(end)) => Self { start, end },
            _ => Self::default(),
        }
    }

    fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// The same piece where its arena begins later.
    fn moved(self, by: u32) -> Self {
        Self { start: self.start.wrapping_add(by), end: self.end.wrapping_add(by) }
    }
}

/// Removes what is one of those; most often there is none, and nothing has to move.
fn remove(fields: &mut Vec<Field>, is_one: impl Fn(&Field) -> bool) {
    if fields.iter().any(&is_one) {
        fields.retain(|field| !is_one(field));
    }
}

fn named(arena: &[u8], field: &Field, name: &[u8]) -> bool {
    // Most names are written as they are asked for, and comparing so is much the cheaper way.
    let alike = |own: &[u8]| own == name || own.eq_ignore_ascii_case(name);
    field.name.len() == name.len() && arena.get(field.name.range()).is_some_and(alike)
}

/// A set of lengths of names; long ones share a place.
#[derive(Clone, Copy)]
struct Lengths(u64);

impl Lengths {
    fn of(lengths: impl Iterator<Item = usize>) -> Self {
        Self(lengths.fold(0, |set, length| set | (1 << length.min(63))))
    }

    fn may_have(self, length: usize) -> bool {
        self.0 & (1 << length.min(63)) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Headers {
        let mut headers = Headers::new();
        for (name, value) in [("Host", "a"), ("X-A", "1"), ("x-b", "2"), ("x-a", "3")] {
            headers.append(name, value).unwrap();
        }
        headers
    }

    fn lines(headers: &Headers) -> Vec<String> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        headers.iter().map(|(name, value)| format!("{}: {}", text(name), text(value))).collect()
    }

    #[test]
    fn reads_without_regard_to_case() {
        let headers = sample();
        assert_eq!(headers.get("X-a"), Some(&b"1"[..]));
        assert_eq!(headers.get_all("x-A").collect::<Vec<_>>(), [b"1", b"3"]);
        assert!(headers.contains("HOST") && !headers.contains("x-c"));
    }

    #[test]
    fn set_replaces_all_at_the_first_place() {
        let mut headers = sample();
        headers.set("x-A", "new").unwrap();
        assert_eq!(lines(&headers), ["Host: a", "x-A: new", "x-b: 2"]);
        headers.set("x-c", "4").unwrap();
        assert_eq!(headers.get("X-C"), Some(&b"4"[..]));
    }

    #[test]
    fn a_list_is_one_line() {
        let (mut headers, name) = (Headers::new(), const { Known::new("X-L") });
        headers.append_list(name, [&b"a"[..], b"x\r\ny", b"b c"].into_iter());
        headers.append_list(name, std::iter::empty());
        let mut out = Vec::new();
        headers.write(&mut out, |_, _| Fate::Kept);
        assert_eq!(
            (lines(&headers), out),
            (vec!["X-L: a, b c".into(), "X-L: ".into()], b"X-L: a, b c\r\nX-L: \r\n".to_vec())
        );
    }

    #[test]
    fn rename_overwrites_the_target() {
        let mut headers = sample();
        assert_eq!(headers.rename("x-a", "X-B"), Ok(true));
        assert_eq!(lines(&headers), ["Host: a", "X-B: 1", "X-B: 3"]);
        assert_eq!(headers.rename("gone", "x"), Ok(false));
    }

    #[test]
    fn removes_and_inserts_if_absent() {
        let mut headers = sample();
        assert!(headers.remove("X-a") && !headers.remove("x-a"));
        assert_eq!(headers.insert_if_absent("x-B", "9"), Ok(false));
        assert_eq!(headers.insert_if_absent("x-a", "9"), Ok(true));
        assert_eq!(lines(&headers), ["Host: a", "x-b: 2", "x-a: 9"]);
    }

    #[test]
    fn removes_and_replaces_several() {
        let mut headers = sample();
        headers.remove_all(&["X-B", "gone", "HOST"].map(Known::new));
        assert_eq!(lines(&headers), ["X-A: 1", "x-a: 3"]);
        let mut others = Headers::new();
        for (name, value) in [("X-a", "new"), ("x-c", ""), ("y-a", "5")] {
            others.append(name, value).unwrap();
        }
        let mut headers = sample();
        headers.replace_all(&others);
        assert_eq!(lines(&headers), ["Host: a", "x-b: 2", "X-a: new", "x-c: ", "y-a: 5"]);
        headers.replace_all(&Headers::new());
        assert_eq!(headers.len(), 5);
    }

    #[test]
    fn writes_lines_side_by_side_at_once_and_others_anew() {
        let mut headers = Headers::new();
        let head = b"GET / HTTP/1.1\r\nA: 1\r\nB:2\r\nC: 3 \r\nD: 4\nE: \r\nF: 6\r\n\r\n";
        headers.load(head);
        for (name, value) in [(16, 19), (22, 24), (27, 30), (34, 37), (39, 42), (44, 47)] {
            let value_end = if value == 42 { value } else { value + 1 };
            headers.push_received(Span::new(name, name + 1), Span::new(value, value_end));
        }
        headers.append("G", "7").unwrap();
        headers.append_number(const { Known::new("X-H") }, 8);
        headers.rename("f", "X-F").unwrap();
        let written = |fate: &dyn Fn(&[u8]) -> Fate| {
            let mut out = Vec::new();
            headers.write(&mut out, |name, _| fate(name));
            String::from_utf8(out).unwrap()
        };
        let all = "A: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\nE: \r\nX-F: 6\r\nG: 7\r\nX-H: 8\r\n";
        assert_eq!(written(&|_| Fate::Kept), all);
        assert_eq!(written(&|_| Fate::Dropped), "");
        let some = |name: &[u8]| match name {
            b"A" | b"G" => Fate::Dropped,
            b"E" => Fate::Continued(b"5"),
            _ => Fate::Kept,
        };
        assert_eq!(written(&some), "B: 2\r\nC: 3\r\nD: 4\r\nE: 5\r\nX-F: 6\r\nX-H: 8\r\n");
        let mut copy = Headers::new();
        copy.replace_all(&headers);
        let mut out = Vec::new();
        copy.write(&mut out, |_, _| Fate::Kept);
        assert_eq!(String::from_utf8(out).unwrap(), all);
    }

    #[test]
    fn refuses_what_would_split_a_message() {
        let mut headers = Headers::new();
        assert_eq!(headers.append("x", "a\r\nb: c"), Err(InvalidHeader::Value));
        assert_eq!(headers.set("a b", "c"), Err(InvalidHeader::Name));
        assert_eq!(headers.append("", "c"), Err(InvalidHeader::Name));
        assert!(headers.is_empty());
    }
}
