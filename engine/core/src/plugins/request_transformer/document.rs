//! JSON documents that edits lead into.
//!
//! A value stays text until something looks into it, so numbers keep their digits and whatever nobody names keeps its
//! layout. What looking costs is bounded: a path that fits every item of a long list is worked on for each of them.

use std::borrow::Cow;

use super::allow::Allow;
use super::body::TooMany;
use super::json::{Scanner, quote};
use super::operations::Parameters;
use super::path::{Step, steps};

#[cfg(test)]
mod tests;

/// Units of work per document: looking at a member is one of them.
const MOST_WORK: usize = 4_000_000;
/// What else costs a unit: bytes that are scanned, and parts of members and items that are held.
const BYTES_PER_UNIT: usize = 32;
const UNITS_PER_NODE: usize = 16;
/// Bytes that edits may add to a document.
const MOST_GROWTH: usize = 16 * 1024 * 1024;

/// What is left of the bounds.
#[derive(Debug)]
pub(super) struct Work {
    units: usize,
    growth: usize,
}

impl Work {
    pub(super) fn take(&mut self, units: usize) -> Result<(), TooMany> {
        self.units = self.units.checked_sub(units).ok_or(TooMany)?;
        Ok(())
    }

    fn grow(&mut self, bytes: usize) -> Result<(), TooMany> {
        self.growth = self.growth.checked_sub(bytes).ok_or(TooMany)?;
        Ok(())
    }
}

/// A value, opened as far as somebody has looked into it.
#[derive(Debug)]
pub(super) enum Node<'b> {
    /// As it came, or a string, number or boolean that was made.
    Text(Cow<'b, [u8]>),
    Object(Vec<Member<'b>>),
    List(Vec<Node<'b>>),
}

#[derive(Debug)]
pub(super) struct Member<'b> {
    pub(super) name: Cow<'b, [u8]>,
    /// The name as it is written, colon included.
    written: Cow<'b, [u8]>,
    pub(super) value: Node<'b>,
}

impl<'b> Node<'b> {
    /// Makes members or items of a text that has some.
    pub(super) fn open(&mut self, work: &mut Work) -> Result<(), TooMany> {
        let Self::Text(Cow::Borrowed(text)) = self else { return Ok(()) };
        let text: &'b [u8] = text;
        if !matches!(text.first(), Some(b'{' | b'[')) {
            return Ok(());
        }
        work.take(text.len() / BYTES_PER_UNIT)?;
        let mut scanner = Scanner::new(text);
        let mut bound = Ok(());
        *self = if text.starts_with(b"{") {
            let mut members = Vec::new();
            let read = scanner.object(|name, member, value| {
                bound = bound.and_then(|()| work.take(UNITS_PER_NODE));
                if bound.is_ok() {
                    let written = Cow::Borrowed(&text[member.start..value.start]);
                    members.push(Member { name, written, value: Self::Text(Cow::Borrowed(&text[value])) });
                }
            });
            // What was read before is read again; whatever could not be would be lost.
            read.ok_or(TooMany)?;
            Self::Object(members)
        } else {
            let mut items = Vec::new();
            let read = scanner.list(|item| {
                bound = bound.and_then(|()| work.take(UNITS_PER_NODE));
                if bound.is_ok() {
                    items.push(Self::Text(Cow::Borrowed(&text[item])));
                }
            });
            read.ok_or(TooMany)?;
            Self::List(items)
        };
        bound
    }

    /// The member that counts of those with a name: the last one.
    fn member(&mut self, name: &[u8], work: &mut Work) -> Result<Option<&mut Self>, TooMany> {
        let Self::Object(members) = self else { return Ok(None) };
        work.take(members.len())?;
        Ok(members.iter_mut().rfind(|member| *member.name == *name).map(|member| &mut member.value))
    }

    fn remove(&mut self, step: &Step<'_>) -> bool {
        match (self, step) {
            (Self::Object(members), Step::Member(name)) => {
                let before = members.len();
                members.retain(|member| *member.name != **name);
                members.len() < before
            }
            (Self::List(items), Step::Item(number)) if *number <= items.len() => {
                items.remove(number - 1);
                true
            }
            (Self::List(items), Step::Each) => !std::mem::take(items).is_empty(),
            _ => false,
        }
    }

    /// Takes a member out.
    fn take(&mut self, name: &[u8]) -> Option<Self> {
        let Self::Object(members) = self else { return None };
        let at = members.iter().rposition(|member| *member.name == *name)?;
        Some(members.remove(at).value)
    }

    fn set(&mut self, name: &[u8], value: Self) {
        let Self::Object(members) = self else { return };
        members.retain(|member| *member.name != *name);
        let written = [&*quote(name), b":"].concat();
        members.push(Member { name: Cow::Owned(name.to_vec()), written: Cow::Owned(written), value });
    }

    /// A list gets one more item, a string or object becomes a list of two, and anything else gives way to a list.
    fn append(&mut self, item: Self, work: &mut Work) -> Result<(), TooMany> {
        self.open(work)?;
        if let Self::List(items) = self {
            items.push(item);
            return Ok(());
        }
        let old = std::mem::replace(self, Self::List(Vec::new()));
        let is_kept = matches!(&old, Self::Object(_)) || matches!(&old, Self::Text(text) if text.starts_with(b"\""));
        *self = Self::List(if is_kept { vec![old, item] } else { vec![item] });
        Ok(())
    }

    /// `false` does not count as there, `null` does.
    fn is_present(&self) -> bool {
        !matches!(self, Self::Text(text) if **text == *b"false")
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Text(text) => out.extend_from_slice(text),
            Self::Object(members) => {
                out.push(b'{');
                for (index, member) in members.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    out.extend_from_slice(&member.written);
                    member.value.write(out);
                }
                out.push(b'}');
            }
            Self::List(items) => {
                out.push(b'[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    item.write(out);
                }
                out.push(b']');
            }
        }
    }
}

/// A text that an edit makes; without bytes it is none.
fn made(value: &[u8]) -> Node<'static> {
    Node::Text(Cow::Owned(value.to_vec()))
}

/// What is done where a path ends.
type Edit<'e, 'b> = &'e mut dyn FnMut(&mut Node<'b>, &Step<'_>, &mut Work) -> Result<bool, TooMany>;

/// A whole document. Values of edits are JSON texts here; an empty one is no value, and the edit is left out.
pub(super) struct Document<'b> {
    root: Node<'b>,
    /// Whether names are paths.
    nested: bool,
    changed: bool,
    work: Work,
    fault: Result<(), TooMany>,
}

impl<'b> Document<'b> {
    /// Reads a body; `None` if it is no JSON. An empty one is an object without members.
    pub(super) fn read(body: &'b [u8], nested: bool) -> Option<Self> {
        let text = if body.is_empty() { b"{}" } else { body.trim_ascii() };
        Scanner::new(text).only_value()?;
        let work = Work { units: MOST_WORK, growth: MOST_GROWTH };
        Some(Self { root: Node::Text(Cow::Borrowed(text)), nested, changed: false, work, fault: Ok(()) })
    }

    /// Leaves what alone may stay. What is neither object nor list has nothing that may.
    pub(super) fn keep(&mut self, allow: &Allow) {
        self.fault = self.fault.and_then(|()| {
            if !allow.keep(&mut self.root, &mut self.work)? {
                self.root = Node::Object(Vec::new());
            }
            self.changed = true;
            Ok(())
        });
    }

    /// The edited body; `None` where nothing was changed.
    pub(super) fn finish(self) -> Result<Option<Vec<u8>>, TooMany> {
        self.fault?;
        if !self.changed {
            return Ok(None);
        }
        let mut out = Vec::new();
        self.root.write(&mut out);
        Ok(Some(out))
    }

    /// Edits wherever a path ends.
    fn edit(&mut self, path: &[u8], edit: Edit<'_, 'b>) {
        let Some(steps) = steps(path, self.nested) else { return };
        self.fault = self.fault.and_then(|()| {
            self.changed |= edit_at(&mut self.root, &steps, &mut self.work, edit)?;
            Ok(())
        });
    }
}

fn edit_at<'b>(node: &mut Node<'b>, steps: &[Step<'_>], work: &mut Work, edit: Edit<'_, 'b>) -> Result<bool, TooMany> {
    work.take(1)?;
    node.open(work)?;
    let [step, rest @ ..] = steps else { return Ok(false) };
    if rest.is_empty() {
        if let Node::Object(members) = node {
            work.take(members.len())?;
        }
        return edit(node, step, work);
    }
    match (node, step) {
        (node @ Node::Object(_), Step::Member(name)) => match node.member(name, work)? {
            Some(value) => edit_at(value, rest, work, edit),
            None => Ok(false),
        },
        (Node::List(items), Step::Item(number)) => match items.get_mut(number - 1) {
            Some(item) => edit_at(item, rest, work, edit),
            None => Ok(false),
        },
        (Node::List(items), Step::Each) => {
            let mut changed = false;
            for item in items {
                changed |= edit_at(item, rest, work, &mut *edit)?;
            }
            Ok(changed)
        }
        _ => Ok(false),
    }
}

/// The items that a last step leads to.
fn items<'n, 'b>(node: &'n mut Node<'b>, step: &Step<'_>) -> &'n mut [Node<'b>] {
    match (node, step) {
        (Node::List(items), Step::Item(number)) => match items.get_mut(number - 1) {
            Some(item) => std::slice::from_mut(item),
            None => &mut [],
        },
        (Node::List(items), Step::Each) => items,
        _ => &mut [],
    }
}

impl Parameters for Document<'_> {
    fn remove(&mut self, name: &[u8]) {
        self.edit(name, &mut |node, step, _| Ok(node.remove(step)));
    }

    /// The new name is one within the same object.
    fn rename(&mut self, name: &[u8], new_name: &[u8]) {
        self.edit(name, &mut |node, step, work| {
            let Step::Member(name) = step else { return Ok(false) };
            if **name == *new_name {
                return Ok(false);
            }
            let Some(value) = node.take(name) else { return Ok(false) };
            node.remove(&Step::Member(name));
            work.grow(new_name.len())?;
            node.set(new_name, value);
            Ok(true)
        });
    }

    fn replace(&mut self, name: &[u8], value: &[u8]) {
        if value.is_empty() {
            return;
        }
        self.edit(name, &mut |node, step, work| {
            if let Step::Member(name) = step {
                let is_there = node.member(name, work)?.is_some_and(|value| value.is_present());
                if is_there {
                    work.grow(value.len())?;
                    node.set(name, made(value));
                }
                return Ok(is_there);
            }
            let items = items(node, step);
            for item in &mut *items {
                work.grow(value.len())?;
                *item = made(value);
            }
            Ok(!items.is_empty())
        });
    }

    fn add(&mut self, name: &[u8], value: &[u8]) {
        if value.is_empty() {
            return;
        }
        self.edit(name, &mut |node, step, work| {
            let Step::Member(name) = step else { return Ok(false) };
            let is_absent = match node.member(name, work)? {
                Some(value) => !value.is_present(),
                None => matches!(node, Node::Object(_)),
            };
            if is_absent {
                work.grow(name.len() + value.len())?;
                node.set(name, made(value));
            }
            Ok(is_absent)
        });
    }

    fn append(&mut self, name: &[u8], value: &[u8]) {
        if value.is_empty() {
            return;
        }
        self.edit(name, &mut |node, step, work| {
            if let Step::Member(name) = step {
                work.grow(name.len() + value.len())?;
                if let Some(list) = node.member(name, work)? {
                    list.append(made(value), work)?;
                    return Ok(true);
                }
                node.set(name, Node::List(vec![made(value)]));
                return Ok(matches!(node, Node::Object(_)));
            }
            let items = items(node, step);
            for item in &mut *items {
                work.grow(value.len())?;
                item.append(made(value), work)?;
            }
            Ok(!items.is_empty())
        });
    }
}
