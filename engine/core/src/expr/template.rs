//! Text with `$(expression)` holes.

use std::fmt;

use super::ast::Expr;
use super::eval::Evaluator;
use super::library::Sandbox;
use super::parser::parse;
use super::{Budget, Fault, Scope, SyntaxError, Variables};

/// A compiled template. Without holes it is plain text, and using it costs nothing.
pub struct Template {
    /// Text before each hole, and the hole.
    holes: Vec<(Box<[u8]>, Expr)>,
    /// Text after the last hole.
    tail: Box<[u8]>,
}

impl fmt::Debug for Template {
    /// Says nothing of the text: templates carry secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Template").finish_non_exhaustive()
    }
}

impl Template {
    /// Compiles `source`. A hole reaches from `$(` to the parenthesis that balances it, strings not excepted; without
    /// such a parenthesis the text stands for itself. `$('$(x)')` renders `$(x)`.
    ///
    /// # Errors
    /// The text of a hole is not an expression.
    pub fn compile(source: &str, sandbox: Sandbox) -> Result<Self, SyntaxError> {
        let text = source.as_bytes();
        let closers = closers(text);
        let mut holes = Vec::new();
        let (mut done, mut from) = (0, 0);
        while let Some(at) = memchr::memmem::find(&text[from..], b"$(") {
            let open = from + at + 1;
            from = open + 1;
            if let Some(close) = closers[open] {
                holes.push((text[done..open - 1].into(), parse(&text[open + 1..close], sandbox)?));
                (done, from) = (close + 1, close + 1);
            }
        }
        Ok(Self { holes, tail: text[done..].into() })
    }

    /// The text, if it is the same for every request.
    #[must_use]
    pub fn as_static(&self) -> Option<&[u8]> {
        self.holes.is_empty().then_some(&*self.tail)
    }

    /// Whether an expression names `scope`, so that a caller knows what to keep for it.
    #[must_use]
    pub fn uses(&self, scope: Scope) -> bool {
        self.holes.iter().any(|(_, expr)| expr.any(&mut |node| matches!(node, Expr::Scope(own) if *own == scope)))
    }

    /// Appends the text for one request to `out`. Expressions that are nil or false render as nothing.
    ///
    /// # Errors
    /// An expression fails or costs more than is left of `budget`; `out` may then hold part of the text.
    pub fn render(&self, variables: &dyn Variables, budget: &mut Budget, out: &mut Vec<u8>) -> Result<(), Fault> {
        for (text, expr) in &self.holes {
            budget.bytes(text.len())?;
            out.extend_from_slice(text);
            let value = Evaluator::new(variables, budget).value(expr)?;
            if value.is_true() {
                let text = value.display();
                budget.bytes(text.len())?;
                out.extend_from_slice(&text);
            }
        }
        budget.bytes(self.tail.len())?;
        out.extend_from_slice(&self.tail);
        Ok(())
    }
}

/// For each opening parenthesis, the place of the one that balances it.
fn closers(text: &[u8]) -> Vec<Option<usize>> {
    let mut closers = vec![None; text.len()];
    let mut open = Vec::new();
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b'(' => open.push(at),
            b')' => {
                if let Some(opener) = open.pop() {
                    closers[opener] = Some(at);
                }
            }
            _ => {}
        }
    }
    closers
}
