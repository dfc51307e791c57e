//! What alone may stay of a JSON document.

use std::collections::BTreeMap;

use super::body::TooMany;
use super::document::{Node, Work};
use super::path::{Step, steps};

/// Names by their steps.
#[derive(Debug, Default)]
pub(super) struct Allow {
    /// A name ends here: everything from here on may stay.
    whole: bool,
    members: BTreeMap<Box<[u8]>, Allow>,
    items: BTreeMap<usize, Allow>,
    each: Option<Box<Allow>>,
}

impl Allow {
    pub(super) fn new<'n>(names: impl IntoIterator<Item = &'n str>, nested: bool) -> Self {
        let mut all = Self::default();
        for name in names {
            let Some(steps) = steps(name.as_bytes(), nested) else { continue };
            let mut at = &mut all;
            for step in steps {
                at = match step {
                    Step::Member(name) => at.members.entry(name.into()).or_default(),
                    Step::Item(number) => at.items.entry(number).or_default(),
                    Step::Each => at.each.get_or_insert_default(),
                };
            }
            at.whole = true;
        }
        all
    }

    /// Takes everything else out of a value. `false` if nothing of it may stay.
    pub(super) fn keep(&self, node: &mut Node<'_>, work: &mut Work) -> Result<bool, TooMany> {
        keep(&[self], node, work)
    }
}

/// The same for several lists that meet in a value: what one of them allows may stay.
fn keep(allows: &[&Allow], node: &mut Node<'_>, work: &mut Work) -> Result<bool, TooMany> {
    work.take(allows.len())?;
    if allows.iter().any(|allow| allow.whole) {
        return Ok(true);
    }
    node.open(work)?;
    let mut bound = Ok(());
    let mut keep_below = |below: &[&Allow], value: &mut Node<'_>, work: &mut Work| {
        if bound.is_err() || below.is_empty() {
            return false;
        }
        keep(below, value, work).unwrap_or_else(|error| {
            bound = Err(error);
            false
        })
    };
    match node {
        Node::Object(members) => members.retain_mut(|member| {
            let below: Vec<&Allow> = allows.iter().filter_map(|allow| allow.members.get(&*member.name)).collect();
            keep_below(&below, &mut member.value, work)
        }),
        Node::List(items) => {
            let mut number = 0;
            items.retain_mut(|item| {
                number += 1;
                let numbered = allows.iter().filter_map(|allow| allow.items.get(&number));
                let below: Vec<&Allow> =
                    allows.iter().filter_map(|allow| allow.each.as_deref()).chain(numbered).collect();
                keep_below(&below, item, work)
            });
        }
        Node::Text(_) => return Ok(false),
    }
    bound.map(|()| true)
}
