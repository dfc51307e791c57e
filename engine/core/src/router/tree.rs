//! A radix tree that finds all keys an input starts with.

use std::collections::VecDeque;

/// Stands for "no value" and "no node" in the index.
pub(super) const NONE: u32 = u32::MAX;

/// An immutable map from byte strings to numbers. One walk along an input finds every key that is a prefix of it, in
/// time proportional to the input and whatever the number of keys.
#[derive(Debug, Default)]
pub(super) struct PrefixTree {
    branches: Box<[Branch]>,
    labels: Box<[u8]>,
}

/// A node together with the edge that leads to it. Children are neighbours, ordered by their first byte.
#[derive(Debug, Clone, Copy)]
struct Branch {
    /// Where the label of the edge is, without its first byte.
    label: u32,
    length: u32,
    children: u32,
    value: u32,
    count: u16,
    first: u8,
}

impl PrefixTree {
    /// `entries` are sorted by key and distinct.
    pub(super) fn build(entries: &[(Vec<u8>, u32)]) -> Self {
        if entries.is_empty() {
            return Self::default();
        }
        let mut labels = Vec::new();
        let mut branches = vec![Branch { label: 0, length: 0, children: 0, value: NONE, count: 0, first: 0 }];
        let mut open = VecDeque::from([(0, entries, 0)]);
        while let Some((index, mut below, depth)) = open.pop_front() {
            if let [(key, value), others @ ..] = below
                && key.len() == depth
            {
                branches[index].value = *value;
                below = others;
            }
            branches[index].children = offset(branches.len());
            for group in below.chunk_by(|(a, _), (b, _)| a[depth] == b[depth]) {
                let end = shared_length(group, depth);
                let label = &group[0].0[depth + 1..end];
                open.push_back((branches.len(), group, end));
                branches[index].count += 1;
                branches.push(Branch {
                    label: offset(labels.len()),
                    length: offset(label.len()),
                    children: 0,
                    value: NONE,
                    count: 0,
                    first: group[0].0[depth],
                });
                labels.extend_from_slice(label);
            }
        }
        Self { branches: branches.into(), labels: labels.into() }
    }

    /// Calls `found` with the value of every key that `input` starts with, shortest first.
    pub(super) fn visit(&self, mut input: impl Iterator<Item = u8>, mut found: impl FnMut(u32)) {
        let Some(mut branch) = self.branches.first() else { return };
        loop {
            if branch.value != NONE {
                found(branch.value);
            }
            let Some(byte) = input.next() else { return };
            let Some(next) = self.child(branch, byte) else { return };
            let label = &self.labels[next.label as usize..][..next.length as usize];
            if !label.iter().all(|&expected| input.next() == Some(expected)) {
                return;
            }
            branch = next;
        }
    }

    fn child(&self, branch: &Branch, byte: u8) -> Option<&Branch> {
        let children = &self.branches[branch.children as usize..][..usize::from(branch.count)];
        if children.len() <= 8 {
            return children.iter().find(|child| child.first == byte);
        }
        children.binary_search_by_key(&byte, |child| child.first).ok().map(|at| &children[at])
    }
}

/// Length of what all keys of a sorted group have in common.
fn shared_length(group: &[(Vec<u8>, u32)], known: usize) -> usize {
    let [(first, _), .., (last, _)] = group else { return group[0].0.len() };
    known + first[known..].iter().zip(&last[known..]).take_while(|(a, b)| a == b).count()
}

/// Positions in the index are 32 bits wide; the limits on the size of a configuration keep them far below.
pub(super) fn offset(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(NONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(keys: &[&str]) -> PrefixTree {
        let mut entries: Vec<(Vec<u8>, u32)> =
            keys.iter().enumerate().map(|(value, key)| (key.as_bytes().to_vec(), offset(value))).collect();
        entries.sort();
        PrefixTree::build(&entries)
    }

    fn found(tree: &PrefixTree, input: &str) -> Vec<u32> {
        let mut values = Vec::new();
        tree.visit(input.bytes(), |value| values.push(value));
        values
    }

    #[test]
    fn finds_every_prefix_shortest_first() {
        let tree = tree(&["/", "/api", "/api/users", "/app", "/b", "/api/users/7", ""]);
        assert_eq!(found(&tree, "/api/users/1"), [6, 0, 1, 2]);
        assert_eq!(found(&tree, "/api/users/7"), [6, 0, 1, 2, 5]);
        assert_eq!(found(&tree, "/apis"), [6, 0, 1]);
        assert_eq!(found(&tree, "/ap"), [6, 0]);
        assert_eq!(found(&tree, "x"), [6]);
        assert_eq!(found(&tree, ""), [6]);
    }

    #[test]
    fn an_empty_tree_finds_nothing() {
        assert!(found(&tree(&[]), "/a").is_empty());
    }

    #[test]
    fn wide_nodes_find_every_child() {
        let keys: Vec<String> = (0..=255_u32).map(|n| format!("/{n:02x}{n:02x}")).collect();
        let tree = tree(&keys.iter().map(String::as_str).collect::<Vec<_>>());
        for (value, key) in keys.iter().enumerate() {
            assert_eq!(found(&tree, &format!("{key}/x")), [offset(value)], "{key}");
        }
        assert!(found(&tree, "/0").is_empty());
    }

    #[test]
    fn agrees_with_a_scan() {
        let keys: Vec<String> = (0..2000_u32).map(|n| format!("/{}", n.wrapping_mul(2_654_435_761) % 5000)).collect();
        let mut distinct: Vec<&str> = keys.iter().map(String::as_str).collect();
        distinct.sort_unstable();
        distinct.dedup();
        let tree = tree(&distinct);
        for n in 0..5000 {
            let input = format!("/{n}1");
            let mut expected: Vec<&str> = distinct.iter().copied().filter(|key| input.starts_with(key)).collect();
            expected.sort_by_key(|key| key.len());
            let got: Vec<&str> = found(&tree, &input).into_iter().map(|value| distinct[value as usize]).collect();
            assert_eq!(got, expected, "{input}");
        }
    }
}
