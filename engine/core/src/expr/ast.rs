//! The compiled form of an expression.

use super::Scope;
use super::library::{Function, Module};

/// A compiled expression. Its depth is bounded by the parser, so recursion over it (and dropping it) is safe.
#[derive(Debug)]
pub(super) enum Expr {
    Nil,
    Bool(bool),
    Number(f64),
    Str(Box<[u8]>),
    Scope(Scope),
    Module(Module),
    Function(Function),
    /// A global name that means nothing here: nil, as in Lua; kept for messages.
    Unknown(Box<str>),
    Index(Box<Expr>, Box<Expr>),
    Call(Box<Expr>, Vec<Expr>),
    Method(Box<Expr>, Box<str>, Vec<Expr>),
    Unary(Unary, Box<Expr>),
    Binary(Binary, Box<Expr>, Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    /// A whole chain of `..`, left to right.
    Concat(Vec<Expr>),
    Table(Vec<Field>),
    /// Parentheses cut a call's results to the first.
    Group(Box<Expr>),
}

#[derive(Debug)]
pub(super) enum Field {
    Item(Expr),
    Keyed(Expr, Expr),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unary {
    Negate,
    Not,
    Length,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Binary {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Power,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

impl Expr {
    /// How Lua's messages name this operand: `global 'x'`, `field 'y'`; empty when it has no name.
    pub(super) fn described(&self) -> String {
        match self {
            Self::Unknown(name) => format!("global '{name}' "),
            Self::Index(_, key) => match &**key {
                Self::Str(name) => format!("field '{}' ", String::from_utf8_lossy(name)),
                _ => "field '?' ".to_owned(),
            },
            Self::Method(_, name, _) => format!("method '{name}' "),
            _ => String::new(),
        }
    }

    /// Whether `test` holds for this node or any below it.
    pub(super) fn any(&self, test: &mut dyn FnMut(&Self) -> bool) -> bool {
        test(self)
            || match self {
                Self::Index(left, right)
                | Self::Binary(_, left, right)
                | Self::And(left, right)
                | Self::Or(left, right) => left.any(test) || right.any(test),
                Self::Call(callee, arguments) | Self::Method(callee, _, arguments) => {
                    callee.any(test) || arguments.iter().any(|argument| argument.any(test))
                }
                Self::Unary(_, inner) | Self::Group(inner) => inner.any(test),
                Self::Concat(operands) => operands.iter().any(|operand| operand.any(test)),
                Self::Table(fields) => fields.iter().any(|field| match field {
                    Field::Item(value) => value.any(test),
                    Field::Keyed(key, value) => key.any(test) || value.any(test),
                }),
                _ => false,
            }
    }
}
