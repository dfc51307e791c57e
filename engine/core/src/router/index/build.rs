//! Building the tree: every split takes the kind of condition that leaves the least to look at.

use std::collections::{BTreeMap, HashMap};

use super::super::candidates::Candidates;
use super::super::rule::{HeaderRule, Rule};
use super::super::tree::{NONE, PrefixTree, offset};
use super::keys::{self, KINDS, Key, Kind};
use super::{Index, NameTable, Node, Split, Table};

/// So few candidates are asked one after the other.
const MAX_LEAF: usize = 8;
/// How many entries the index may have per key of the configuration. Splits that repeat more stay leaves.
const REPETITION: usize = 32;

impl Index {
    pub(in super::super) fn build(candidates: &Candidates) -> Self {
        let all: Vec<u32> = (0..offset(candidates.ranked.len())).collect();
        let rules = candidates.routes.iter().filter_map(|route| route.rule.as_deref());
        let keys = all.len() + rules.map(keys_of).sum::<usize>();
        let most = keys.saturating_mul(REPETITION);
        let mut builder = Builder { candidates, nodes: Vec::new(), ranks: Vec::new(), room: most };
        let root = builder.node(all, &KINDS);
        Self { nodes: builder.nodes.into(), ranks: builder.ranks.into(), root }
    }
}

struct Builder<'a> {
    candidates: &'a Candidates,
    nodes: Vec<Node>,
    ranks: Vec<u32>,
    /// How many more entries the index may get.
    room: usize,
}

/// Candidates by the keys of one kind of condition.
#[derive(Default)]
struct Partition {
    forward: BTreeMap<Vec<u8>, Vec<u32>>,
    backward: BTreeMap<Vec<u8>, Vec<u32>>,
    /// Those without such a condition.
    rest: Vec<u32>,
    /// Sum of the sizes of all groups and the rest, or more.
    entries: usize,
}

impl Builder<'_> {
    fn node(&mut self, ranks: Vec<u32>, kinds: &[Kind]) -> u32 {
        let chosen = if ranks.len() > MAX_LEAF { self.choose(&ranks, kinds) } else { None };
        let node = if let Some((kind, partition)) = chosen {
            self.room = self.room.saturating_sub(partition.entries);
            let kinds: Vec<Kind> = kinds.iter().copied().filter(|&other| other != kind).collect();
            self.split(kind, partition, ranks, &kinds)
        } else {
            let start = offset(self.ranks.len());
            self.ranks.extend_from_slice(&ranks);
            Node::Leaf { start, count: offset(ranks.len()) }
        };
        self.nodes.push(node);
        offset(self.nodes.len() - 1)
    }

    fn choose(&self, ranks: &[u32], kinds: &[Kind]) -> Option<(Kind, Partition)> {
        let mut best = None;
        let mut least = ranks.len() - ranks.len() / 4;
        for &kind in kinds {
            if best.is_some() && least <= MAX_LEAF {
                break;
            }
            if let Some(partition) = self.partition(kind, ranks)
                && partition.to_look_at() < least
            {
                least = partition.to_look_at();
                best = Some((kind, partition));
            }
        }
        best
    }

    fn split(&mut self, kind: Kind, partition: Partition, ranks: Vec<u32>, kinds: &[Kind]) -> Node {
        let best = ranks[0];
        // Keys with the same candidates share a child: a route with many hosts and paths stays linear in both.
        let mut children = HashMap::new();
        let mut tree = |groups: BTreeMap<Vec<u8>, Vec<u32>>| {
            let mut entries = Vec::with_capacity(groups.len());
            for (key, group) in groups {
                let known = children.get(&group).copied();
                let child = known.unwrap_or_else(|| {
                    let child = self.node(group.clone(), kinds);
                    children.insert(group, child);
                    child
                });
                entries.push((key, child));
            }
            PrefixTree::build(&entries)
        };
        let forward = tree(partition.forward);
        let backward = tree(partition.backward);
        let table = match kind {
            Kind::Path => Table::Path(forward),
            Kind::Ending => Table::Ending(backward),
            Kind::Segment(position) => Table::Segment(position, forward),
            Kind::Depth => Table::Depth(forward),
            Kind::Method => Table::Method(forward),
            Kind::Header => Table::Header(forward),
            Kind::Host => Table::Host(NameTable { forward, backward }),
            Kind::ServerName => {
                Table::ServerName { names: NameTable { forward, backward }, plain: self.node(ranks, kinds) }
            }
        };
        let rest = if partition.rest.is_empty() { NONE } else { self.node(partition.rest, kinds) };
        Node::Split(Box::new(Split { best, table, rest }))
    }

    /// `None` when it would have more entries than there is room for.
    fn partition(&self, kind: Kind, ranks: &[u32]) -> Option<Partition> {
        let frequency = if kind == Kind::Header { self.header_frequency(ranks)? } else { HashMap::new() };
        let mut partition = Partition::default();
        if kind == Kind::ServerName {
            partition.entries += ranks.len();
        }
        for &rank in ranks {
            let keys = match kind {
                Kind::Header => self.header_keys(rank, &frequency),
                _ => keys::of(self.candidates, rank, kind),
            };
            partition.add(rank, keys);
            if partition.entries > self.room {
                return None;
            }
        }
        Some(partition)
    }

    /// Of several headers the one whose values are rarest: all of them must match, so one is enough to find the route.
    fn header_keys(&self, rank: u32, frequency: &HashMap<Vec<u8>, usize>) -> Vec<Key> {
        let commonest = |keys: &Vec<Vec<u8>>| keys.iter().filter_map(|key| frequency.get(key)).max().copied();
        let rarest = keys::header_lines(self.candidates, rank).into_iter().min_by_key(commonest);
        rarest.into_iter().flatten().map(Key::Forward).collect()
    }

    fn header_frequency(&self, ranks: &[u32]) -> Option<HashMap<Vec<u8>, usize>> {
        let mut frequency = HashMap::new();
        let mut counted = 0;
        for &rank in ranks {
            for key in keys::header_lines(self.candidates, rank).into_iter().flatten() {
                *frequency.entry(key).or_insert(0) += 1;
                counted += 1;
            }
            if counted > self.room {
                return None;
            }
        }
        Some(frequency)
    }
}

impl Partition {
    fn add(&mut self, rank: u32, keys: Vec<Key>) {
        self.entries += keys.len().max(1);
        if keys.is_empty() {
            self.rest.push(rank);
        }
        for key in keys {
            let group = match key {
                Key::Forward(key) => self.forward.entry(key).or_default(),
                Key::Backward(key) => self.backward.entry(key).or_default(),
            };
            if group.last() != Some(&rank) {
                group.push(rank);
            }
        }
    }

    fn groups(&self) -> impl Iterator<Item = &Vec<u32>> {
        self.forward.values().chain(self.backward.values())
    }

    /// How many candidates a request has to be compared with if it has the commonest key.
    fn to_look_at(&self) -> usize {
        self.groups().map(Vec::len).max().unwrap_or(0) + self.rest.len()
    }
}

/// How many keys a rule has to offer.
fn keys_of(rule: &Rule) -> usize {
    let of_patterns =
        |header: &HeaderRule| -> usize { header.patterns.iter().map(|pattern| pattern.beginnings.len().max(1)).sum() };
    let values: usize = rule.headers.iter().map(|header| header.values.len() + of_patterns(header)).sum();
    rule.methods.len() + rule.hosts.iter().count() + rule.snis.iter().count() + values
}
