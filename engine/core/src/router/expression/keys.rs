//! What a request surely has that an expression accepts: where the index files the expression.

use super::super::index::{Key, Kind};
use super::super::segments::Shape;
use super::fields::{NumberField, TextField};
use super::{Comparison, Expression, Node, TextOperator, TextTest};

/// Keys of which an accepted request has one; none if it may have any. Headers are for [`header_lines`].
pub(in super::super) fn keys(expression: &Expression, kind: Kind) -> Vec<Key> {
    of_node(&expression.root, kind).unwrap_or_default()
}

/// For every header that must be there: lines `name:value`, in lower case, of which an accepted request has one.
pub(in super::super) fn header_lines(expression: &Expression) -> Vec<Vec<Vec<u8>>> {
    lines_of_node(&expression.root)
}

fn of_node(node: &Node, kind: Kind) -> Option<Vec<Key>> {
    match node {
        // Every part has to hold, so any one part's keys will do: the fewest tell most.
        Node::All(parts) => parts.iter().filter_map(|part| of_node(part, kind)).min_by_key(Vec::len),
        Node::Any(parts) => {
            let all: Option<Vec<Vec<Key>>> = parts.iter().map(|part| of_node(part, kind)).collect();
            all.map(|all| all.into_iter().flatten().collect())
        }
        Node::Text(test) => test.key(kind),
        Node::Number { field: NumberField::SegmentCount, comparison: Comparison::Equal, value } => {
            let depth = u16::try_from(*value).ok().filter(|_| kind == Kind::Depth)?;
            Some(vec![Key::Forward(depth.to_be_bytes().to_vec())])
        }
        _ => None,
    }
}

impl TextTest {
    fn key(&self, kind: Kind) -> Option<Vec<Key>> {
        match (kind, &self.field) {
            (Kind::Path, TextField::Path) | (Kind::Method, TextField::Method) if !self.lower => self.starts(),
            (Kind::Ending, TextField::Path) if !self.lower => self.ends(),
            (Kind::Segment(position), TextField::Path) if !self.lower => match &self.operator {
                TextOperator::Equal(value) => shape_key(&Shape::of_whole(value), position),
                TextOperator::Start(value) => shape_key(&Shape::of_prefix(value), position),
                TextOperator::Match(pattern) => shape_key(&pattern.shape, position),
                _ => None,
            },
            (Kind::Depth, TextField::Path) => {
                let depth = match &self.operator {
                    TextOperator::Equal(value) => Shape::of_whole(value).depth(),
                    TextOperator::Match(pattern) => pattern.shape.depth(),
                    _ => None,
                };
                depth.map(|depth| vec![Key::Forward(depth.to_be_bytes().to_vec())])
            }
            (Kind::Segment(position), TextField::Segment(own)) if !self.lower && u16::from(position) == *own => {
                match &self.operator {
                    TextOperator::Equal(value) if !value.contains(&b'/') => {
                        Some(vec![Key::Forward([value, &b"/"[..]].concat())])
                    }
                    TextOperator::Start(value) if !value.contains(&b'/') => Some(vec![Key::Forward(value.to_vec())]),
                    _ => None,
                }
            }
            // Both are in lower case as they come.
            (Kind::Host, TextField::Host) | (Kind::ServerName, TextField::ServerName) => match &self.operator {
                TextOperator::Equal(value) | TextOperator::End(value) => {
                    Some(vec![Key::Backward(value.iter().rev().copied().collect())])
                }
                TextOperator::Start(value) => Some(vec![Key::Forward(value.to_vec())]),
                _ => None,
            },
            _ => None,
        }
    }

    /// What the text has to end with.
    fn ends(&self) -> Option<Vec<Key>> {
        let key = |end: &[u8]| Key::Backward(end.iter().rev().copied().collect());
        let keys: Vec<Key> = match &self.operator {
            TextOperator::Equal(value) | TextOperator::End(value) => vec![key(value)],
            TextOperator::Match(pattern) => pattern.endings.iter().map(|end| key(end)).collect(),
            _ => return None,
        };
        (!keys.is_empty()).then_some(keys)
    }

    /// What the text has to start with.
    fn starts(&self) -> Option<Vec<Key>> {
        let keys: Vec<Key> = match &self.operator {
            TextOperator::Equal(value) | TextOperator::Start(value) => vec![Key::Forward(value.to_vec())],
            TextOperator::Match(pattern) => {
                pattern.beginnings.iter().map(|start| Key::Forward(start.to_vec())).collect()
            }
            _ => return None,
        };
        (!keys.is_empty()).then_some(keys)
    }
}

fn shape_key(shape: &Shape, position: u8) -> Option<Vec<Key>> {
    shape.key(position).map(|key| vec![Key::Forward(key.to_vec())])
}

fn lines_of_node(node: &Node) -> Vec<Vec<Vec<u8>>> {
    match node {
        Node::All(parts) => parts.iter().flat_map(lines_of_node).collect(),
        Node::Any(parts) => {
            let shortest = |part: &Node| lines_of_node(part).into_iter().min_by_key(Vec::len);
            let all: Option<Vec<Vec<Vec<u8>>>> = parts.iter().map(shortest).collect();
            all.map(|all| vec![all.into_iter().flatten().collect()]).unwrap_or_default()
        }
        Node::Text(TextTest { field: TextField::Header(name), operator, .. }) => {
            let line = |value: &[u8]| [name.as_bytes(), b":", &value.to_ascii_lowercase()].concat();
            vec![match operator {
                TextOperator::Equal(value) | TextOperator::Start(value) => vec![line(value)],
                TextOperator::Match(pattern) if !pattern.beginnings.is_empty() => {
                    pattern.beginnings.iter().map(|start| line(start)).collect()
                }
                _ => vec![line(b"")],
            }]
        }
        _ => Vec::new(),
    }
}
