//! Values of expressions.

use std::borrow::Cow;
use std::rc::Rc;

use super::Scope;
use super::coercion::{number_to_text, to_integer};
use super::library::{Function, Module};

/// A value of an expression. Strings are bytes, borrowed from the template or the request wherever possible.
#[derive(Debug, Clone)]
pub enum Value<'a> {
    /// Nothing; rendered as no text.
    Nil,
    /// `true` or `false`.
    Bool(bool),
    /// A double, as all numbers of Lua 5.1.
    Number(f64),
    /// A byte string.
    Str(Cow<'a, [u8]>),
    /// A list or a map, made by a table constructor or by [`Value::list`].
    Table(Rc<Table<'a>>),
    /// One of the global look-up tables, not copied.
    Scope(Scope),
    /// A global library such as `string`.
    #[doc(hidden)]
    Module(Module),
    /// A library function.
    #[doc(hidden)]
    Function(Function),
}

/// A list part (from 1) and a keyed part. Immutable: expressions have no assignment.
#[derive(Debug, Clone, Default)]
pub struct Table<'a> {
    pub(super) items: Vec<Value<'a>>,
    pub(super) keyed: Vec<(Value<'a>, Value<'a>)>,
}

impl<'a> Value<'a> {
    /// A string that lives as long as the evaluation.
    #[must_use]
    pub fn text(text: &'a [u8]) -> Self {
        Self::Str(Cow::Borrowed(text))
    }

    /// A list: `value[1]` is the first item, `#value` their number.
    #[must_use]
    pub fn list(items: Vec<Value<'a>>) -> Self {
        Self::Table(Rc::new(Table { items, keyed: Vec::new() }))
    }

    pub(super) fn owned(text: impl Into<Vec<u8>>) -> Self {
        Self::Str(Cow::Owned(text.into()))
    }

    /// Lua's truth: everything but nil and false.
    #[must_use]
    pub fn is_true(&self) -> bool {
        !matches!(self, Self::Nil | Self::Bool(false))
    }

    /// Lua's name of the type.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Nil => "nil",
            Self::Bool(_) => "boolean",
            Self::Number(_) => "number",
            Self::Str(_) => "string",
            Self::Table(_) | Self::Scope(_) | Self::Module(_) => "table",
            Self::Function(_) => "function",
        }
    }

    /// The text of any value, as `tostring` makes it; tables and functions have no address to show.
    pub(super) fn display(self) -> Cow<'a, [u8]> {
        match self {
            Self::Str(text) => text,
            Self::Number(number) => Cow::Owned(number_to_text(number).into_bytes()),
            Self::Nil => Cow::Borrowed(b"nil"),
            Self::Bool(true) => Cow::Borrowed(b"true"),
            Self::Bool(false) => Cow::Borrowed(b"false"),
            Self::Table(_) | Self::Scope(_) | Self::Module(_) => Cow::Borrowed(b"table"),
            Self::Function(_) => Cow::Borrowed(b"function"),
        }
    }

    /// Lua's `==`: no conversions; tables are equal only to themselves.
    pub(super) fn equals(&self, other: &Value<'_>) -> bool {
        match (self, other) {
            (Self::Nil, Value::Nil) => true,
            (Self::Bool(a), Value::Bool(b)) => a == b,
            #[expect(clippy::float_cmp, reason = "this is what == means in Lua")]
            (Self::Number(a), Value::Number(b)) => a == b,
            (Self::Str(a), Value::Str(b)) => a == b,
            (Self::Scope(a), Value::Scope(b)) => a == b,
            (Self::Module(a), Value::Module(b)) => a == b,
            (Self::Function(a), Value::Function(b)) => a == b,
            (Self::Table(a), Value::Table(b)) => std::ptr::eq(Rc::as_ptr(a).cast::<u8>(), Rc::as_ptr(b).cast::<u8>()),
            _ => false,
        }
    }
}

impl<'a> Table<'a> {
    /// `table[key]`.
    pub(super) fn get(&self, key: &Value<'_>) -> Value<'a> {
        if let Value::Number(number) = key
            && let Some(item) = position(*number).and_then(|index| self.items.get(index))
        {
            return item.clone();
        }
        self.keyed.iter().rev().find(|(own, _)| own.equals(key)).map_or(Value::Nil, |(_, value)| value.clone())
    }
}

/// The place in a list that a Lua index means: integral and from 1.
pub(super) fn position(number: f64) -> Option<usize> {
    if number.fract() != 0.0 || !number.is_finite() {
        return None;
    }
    usize::try_from(to_integer(number).checked_sub(1)?).ok()
}
