//! Value templates: text with `$(expression)` holes, compiled once and rendered per request.
//!
//! An expression is the side-effect-free part of Lua 5.1: literals, operators, indexing, table constructors, calls of
//! a fixed library. There are no statements, loops or function definitions. Tenants who do not trust each other share
//! one process, so what an evaluation may cost is bounded by a [`Budget`] (steps and bytes), nesting is bounded when
//! compiling, and an expression sees nothing but what its caller passes in through [`Variables`].
//!
//! Source: Lua 5.1 reference manual, sections 2.1, 2.2, 2.5 and 5.4.

mod ast;
mod coercion;
mod eval;
mod format;
mod lexer;
mod library;
mod parser;
mod pattern;
mod strings;
mod template;
#[cfg(test)]
mod tests;
mod value;

use std::borrow::Cow;
use std::fmt;

pub use library::Sandbox;
pub use template::Template;
pub use value::{Table, Value};

/// Where an expression starts looking something up: the global names every template knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Request headers; names are case-insensitive and `_` equals `-`.
    Headers,
    /// Decoded query arguments; a flag without `=` is `true`.
    QueryParams,
    /// What the route's path regex captured, by number (0 = all of it) or by name.
    UriCaptures,
    /// Values that other plugins share within the request.
    Shared,
}

/// The key of a lookup in a [`Scope`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key<'k> {
    /// By name.
    Name(&'k [u8]),
    /// By number; the first item of a list is 1.
    Index(usize),
}

/// What the caller lets an expression see. Called only for what is really used, never when rendering static text.
pub trait Variables {
    /// The value of `key` in `scope`; [`Value::Nil`] when there is none. Several values of one name are a list.
    fn get<'a>(&'a self, scope: Scope, key: Key<'_>) -> Value<'a>;
}

/// Why a template does not compile; the text goes to whoever configured it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError(pub(crate) Cow<'static, str>);

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SyntaxError {}

/// Why an evaluation failed. Never contains request data beyond type names, so it may be logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// What Lua calls a runtime error: wrong operand type, unknown function, bad argument.
    Runtime(Cow<'static, str>),
    /// The evaluation took more steps than its budget allows.
    Steps,
    /// The evaluation made more bytes than its budget allows.
    Bytes,
}

impl Fault {
    pub(crate) fn runtime(message: impl Into<Cow<'static, str>>) -> Self {
        Self::Runtime(message.into())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Runtime(message) => f.write_str(message),
            Self::Steps => f.write_str("the expression takes too many steps"),
            Self::Bytes => f.write_str("the expression makes too much text"),
        }
    }
}

impl std::error::Error for Fault {}

/// What evaluations may still cost. One budget covers everything one plugin renders for one request, so many
/// templates cannot add up to more than one expensive one.
#[derive(Debug)]
pub struct Budget {
    steps: u32,
    bytes: u32,
}

impl Budget {
    /// Elementary steps per request: an operator, a lookup, one step of pattern matching. About a millisecond at most.
    const STEPS: u32 = 200_000;
    /// Bytes of strings made per request, intermediate ones included.
    const BYTES: u32 = 1 << 20;
    /// Copying is cheap but not free: so many bytes count as one step.
    const BYTES_PER_STEP: u32 = 64;

    /// A full budget.
    #[must_use]
    pub fn new() -> Self {
        Self { steps: Self::STEPS, bytes: Self::BYTES }
    }

    pub(crate) fn step(&mut self) -> Result<(), Fault> {
        self.steps = self.steps.checked_sub(1).ok_or(Fault::Steps)?;
        Ok(())
    }

    /// Accounts for `count` bytes about to be written; call before writing them.
    pub(crate) fn bytes(&mut self, count: usize) -> Result<(), Fault> {
        let count = u32::try_from(count).map_err(|_| Fault::Bytes)?;
        self.bytes = self.bytes.checked_sub(count).ok_or(Fault::Bytes)?;
        self.scan(count as usize)
    }

    /// Accounts for reading `count` bytes.
    pub(crate) fn scan(&mut self, count: usize) -> Result<(), Fault> {
        let steps = u32::try_from(count).map_err(|_| Fault::Steps)? / Self::BYTES_PER_STEP;
        self.steps = self.steps.checked_sub(steps).ok_or(Fault::Steps)?;
        Ok(())
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::new()
    }
}
