//! From a request to the few candidates that can accept it.
//!
//! The index is a shallow decision tree. A leaf lists a few candidates by rank. A split looks at one kind of condition
//! and keeps a child per key; a request is led to the child of every key that it has, and to the one of the
//! candidates without such a condition. Children may hold too many candidates, never too few: whoever is found is
//! asked in full. Subtrees whose best candidate cannot win any more are left out.

mod build;
mod keys;

use super::MatchInput;
use super::candidates::Candidates;
use super::levels::Gone;
use super::programs::Program;
use super::segments::Segments;
use super::tree::{NONE, PrefixTree};
use super::work::{TooCostly, Work};
use crate::message::Scheme;
pub(super) use keys::{Key, Kind};

/// The tree over all candidates of a router.
#[derive(Debug)]
pub(super) struct Index {
    nodes: Box<[Node]>,
    /// Candidates of all leaves.
    ranks: Box<[u32]>,
    root: u32,
}

/// What a step through the tree, and asking a candidate, cost in units of work.
const STEP: usize = 8;
/// Bytes of a request that are read in the time of one unit of work.
const BYTES_PER_UNIT: usize = 2;
/// Programs of a leaf from which on they are compiled before a request comes.
const MANY_PROGRAMS: usize = 16;

#[derive(Debug)]
enum Node {
    /// A piece of [`Index::ranks`], best first.
    Leaf {
        start: u32,
        count: u32,
    },
    Split(Box<Split>),
}

#[derive(Debug)]
struct Split {
    /// The best rank below.
    best: u32,
    table: Table,
    /// The child of candidates without this kind of condition, or `NONE`.
    rest: u32,
}

/// Keys of one kind of condition → child.
#[derive(Debug)]
enum Table {
    Path(PrefixTree),
    /// The end of the path, from its last byte on.
    Ending(PrefixTree),
    /// The start of the segment at a position; a whole segment ends with `/`.
    Segment(u8, PrefixTree),
    /// The number of segments, in two bytes.
    Depth(PrefixTree),
    Method(PrefixTree),
    Host(NameTable),
    /// `name:value` in lower case and with `-` for `_` in the name, or a start of it where that is all that is known.
    Header(PrefixTree),
    /// Plain HTTP asks no server name, so it gets a child of its own with all candidates.
    ServerName {
        names: NameTable,
        plain: u32,
    },
}

/// Keys of name patterns: `prefix.*` from the start of a name, all others from its end.
#[derive(Debug)]
struct NameTable {
    forward: PrefixTree,
    backward: PrefixTree,
}

impl NameTable {
    fn visit(&self, name: &str, mut found: impl FnMut(u32)) {
        self.backward.visit(name.bytes().rev(), &mut found);
        self.forward.visit(name.bytes(), found);
    }
}

/// The winner: its rank, and where its match ends in the path.
pub(super) struct Found {
    pub(super) rank: u32,
    pub(super) end: usize,
}

impl Index {
    /// The best candidate of a precedence of at least `least` that is not gone.
    pub(super) fn find(
        &self,
        candidates: &Candidates,
        gone: Option<&Gone>,
        (input, path): (&MatchInput<'_>, &str),
        least: u64,
        work: &Work,
    ) -> Result<Option<Found>, TooCostly> {
        let best = Found { rank: NONE, end: 0 };
        let mut search = Search { index: self, candidates, gone, input, path, least, work, segments: None, best };
        search.descend(self.root);
        work.judge((search.best.rank != NONE).then_some(search.best))
    }

    /// Compiles the programs of leaves that have many, so that no single request has to.
    pub(super) fn warm(&self, candidates: &Candidates) {
        for node in &self.nodes {
            let Node::Leaf { start, count } = node else { continue };
            let mut programs = Vec::new();
            for &rank in &self.ranks[*start as usize..][..*count as usize] {
                candidates.programs(rank, &mut |program| programs.push(program));
            }
            if programs.len() > MANY_PROGRAMS {
                programs.into_iter().for_each(Program::warm);
            }
        }
    }
}

#[cfg(test)]
impl Index {
    /// How many candidates the leaves list, repetitions included.
    pub(super) fn entries(&self) -> usize {
        self.ranks.len()
    }

    pub(super) fn leaf_sizes(&self) -> impl Iterator<Item = usize> {
        self.nodes.iter().map(|node| match node {
            Node::Leaf { count, .. } => *count as usize,
            Node::Split(_) => 0,
        })
    }
}

struct Search<'a> {
    index: &'a Index,
    candidates: &'a Candidates,
    gone: Option<&'a Gone>,
    input: &'a MatchInput<'a>,
    path: &'a str,
    least: u64,
    work: &'a Work,
    /// Of the path, once a split has asked for them.
    segments: Option<Segments>,
    /// The best so far.
    best: Found,
}

impl Search<'_> {
    fn descend(&mut self, node: u32) {
        if !self.work.take(STEP) {
            return;
        }
        // Also the way out for `NONE`, which is no node.
        let index = self.index;
        match index.nodes.get(node as usize) {
            Some(Node::Leaf { start, count }) => self.scan(&index.ranks[*start as usize..][..*count as usize]),
            Some(Node::Split(split)) if split.best < self.best.rank => {
                self.follow(&split.table);
                self.descend(split.rest);
            }
            _ => {}
        }
    }

    fn scan(&mut self, ranks: &[u32]) {
        for &rank in ranks {
            let candidate = self.candidates.ranked[rank as usize];
            if rank >= self.best.rank || candidate.precedence < self.least {
                return;
            }
            if !self.work.take(STEP) {
                return;
            }
            if self.gone.is_some_and(|gone| gone.contains(candidate.route)) {
                continue;
            }
            if let Some(end) = self.candidates.accepts(rank, self.input, self.path, self.work) {
                self.best = Found { rank, end };
                return;
            }
        }
    }

    fn segments(&mut self) -> Segments {
        *self.segments.get_or_insert_with(|| Segments::of(self.input.path))
    }

    fn follow(&mut self, table: &Table) {
        let input = self.input;
        let length = match table {
            Table::Path(_) | Table::Ending(_) | Table::Segment(..) => input.path.len(),
            Table::Depth(_) => 0,
            Table::Method(_) => input.method.len(),
            Table::Host(_) => 2 * input.host.len(),
            Table::ServerName { .. } => 2 * input.sni.map_or(0, str::len),
            Table::Header(_) => input.headers.bytes_held(),
        };
        if !self.work.take(length / BYTES_PER_UNIT) {
            return;
        }
        match table {
            Table::Path(tree) => tree.visit(input.path.iter().copied(), |child| self.descend(child)),
            Table::Ending(tree) => tree.visit(input.path.iter().rev().copied(), |child| self.descend(child)),
            Table::Segment(position, tree) => {
                if let Some(segment) = self.segments().get(input.path, *position) {
                    tree.visit(segment.iter().copied().chain([b'/']), |child| self.descend(child));
                }
            }
            Table::Depth(tree) => {
                let depth = self.segments().depth();
                tree.visit(depth.to_be_bytes().into_iter(), |child| self.descend(child));
            }
            Table::Method(tree) => tree.visit(input.method.iter().copied(), |child| self.descend(child)),
            Table::Host(names) => names.visit(input.host, |child| self.descend(child)),
            Table::Header(tree) => {
                for (name, value) in input.headers.iter() {
                    let name = name.iter().map(|&byte| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() });
                    let line = name.chain([b':']).chain(value.iter().map(u8::to_ascii_lowercase));
                    tree.visit(line, |child| self.descend(child));
                }
            }
            Table::ServerName { plain, .. } if input.scheme == Scheme::Http => self.descend(*plain),
            Table::ServerName { names, .. } => {
                if let Some(name) = input.sni {
                    names.visit(name, |child| self.descend(child));
                }
            }
        }
    }
}
