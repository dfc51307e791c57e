//! Names that lead into a JSON document: `customers[*].info.phones[1]`.

/// Bodies nest no deeper, so no longer path leads anywhere.
pub(super) const MOST_STEPS: usize = 1000;

/// One step into a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step<'p> {
    /// To the member of an object.
    Member(&'p [u8]),
    /// To an item of a list; the first one is 1.
    Item(usize),
    /// To all items of a list.
    Each,
}

/// The steps of a path; without `nested` all of it names one member. Brackets around anything but `*` or a number are part of a
/// name. `None` for a path that leads nowhere.
pub(super) fn steps(path: &[u8], nested: bool) -> Option<Vec<Step<'_>>> {
    if !nested {
        return Some(vec![Step::Member(path)]);
    }
    let mut steps = Vec::new();
    for segment in path.split(|byte| *byte == b'.') {
        let brackets = brackets(segment);
        let (name, indices) = segment.split_at(segment.len() - brackets);
        if !name.is_empty() || indices.is_empty() {
            steps.push(Step::Member(name));
        }
        let indices = indices.split(|byte| *byte == b']').filter_map(|index| index.strip_prefix(b"["));
        for index in indices {
            steps.push(index_of(index)?);
        }
        if steps.len() > MOST_STEPS {
            return None;
        }
    }
    Some(steps)
}

/// How many bytes at the end of a segment are indices in brackets.
fn brackets(segment: &[u8]) -> usize {
    let mut rest = segment;
    while let Some(inside) = rest.strip_suffix(b"]")
        && let Some(open) = memchr::memrchr(b'[', inside)
        && matches!(&inside[open + 1..], index if is_index(index))
    {
        rest = &rest[..open];
    }
    segment.len() - rest.len()
}

fn is_index(index: &[u8]) -> bool {
    index == b"*" || (!index.is_empty() && index.iter().all(u8::is_ascii_digit))
}

/// A number that is too large leads nowhere, as 0 does.
fn index_of(index: &[u8]) -> Option<Step<'_>> {
    if index == b"*" {
        return Some(Step::Each);
    }
    let number: usize = std::str::from_utf8(index).ok()?.parse().ok()?;
    (number > 0).then_some(Step::Item(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_from_left_to_right() {
        use Step::{Each, Item, Member};
        let read = |path: &'static str| steps(path.as_bytes(), true).unwrap();
        assert_eq!(read("a"), [Member(b"a")]);
        assert_eq!(read("a.b"), [Member(b"a"), Member(b"b")]);
        assert_eq!(read("a[*].b[12][1]"), [Member(b"a"), Each, Member(b"b"), Item(12), Item(1)]);
        assert_eq!(read("[*].a"), [Each, Member(b"a")]);
        assert_eq!(read("a[b].c[]"), [Member(b"a[b]"), Member(b"c[]")]);
        assert_eq!(read("a[1]b"), [Member(b"a[1]b")]);
        assert_eq!(read("a..b."), [Member(b"a"), Member(b""), Member(b"b"), Member(b"")]);
        assert_eq!(steps(b"a[*].b", false).unwrap(), [Member(b"a[*].b")]);
    }

    #[test]
    fn paths_that_lead_nowhere() {
        assert_eq!(steps(b"a[0]", true), None);
        assert_eq!(steps(b"a[99999999999999999999]", true), None);
        assert_eq!(steps("a.".repeat(MOST_STEPS).as_bytes(), true), None);
    }
}
