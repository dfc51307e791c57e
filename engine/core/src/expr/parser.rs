//! Tokens to expressions, by precedence climbing.

use super::SyntaxError;
use super::ast::{Binary, Expr, Field, Unary};
use super::lexer::{Token, tokens};
use super::library::{self, Sandbox};

/// How deep expressions may nest; the evaluator recurses as deep.
const MAX_DEPTH: u32 = 100;
/// How many operators, operands and arguments one expression may have.
const MAX_NODES: u32 = 4000;

/// Binding strength of unary operators: above `*`, below `^`.
const UNARY: u8 = 8;

#[derive(Clone, Copy)]
enum Infix {
    Or,
    And,
    Concat,
    Plain(Binary),
}

/// The operator of a symbol with its left and right binding strength (right below left: right-associative).
fn infix(symbol: &str) -> Option<(Infix, u8, u8)> {
    Some(match symbol {
        "or" => (Infix::Or, 1, 1),
        "and" => (Infix::And, 2, 2),
        "<" => (Infix::Plain(Binary::Less), 3, 3),
        ">" => (Infix::Plain(Binary::Greater), 3, 3),
        "<=" => (Infix::Plain(Binary::LessEqual), 3, 3),
        ">=" => (Infix::Plain(Binary::GreaterEqual), 3, 3),
        "==" => (Infix::Plain(Binary::Equal), 3, 3),
        "~=" => (Infix::Plain(Binary::NotEqual), 3, 3),
        ".." => (Infix::Concat, 5, 4),
        "+" => (Infix::Plain(Binary::Add), 6, 6),
        "-" => (Infix::Plain(Binary::Subtract), 6, 6),
        "*" => (Infix::Plain(Binary::Multiply), 7, 7),
        "/" => (Infix::Plain(Binary::Divide), 7, 7),
        "%" => (Infix::Plain(Binary::Modulo), 7, 7),
        "^" => (Infix::Plain(Binary::Power), 10, 9),
        _ => return None,
    })
}

/// Compiles one expression; everything in `source` must belong to it.
pub(super) fn parse(source: &[u8], sandbox: Sandbox) -> Result<Expr, SyntaxError> {
    let mut parser = Parser { tokens: tokens(source)?, at: 0, depth: 0, nodes: 0, sandbox };
    let expr = parser.expression(0)?;
    match parser.peek() {
        Token::End => Ok(expr),
        other => Err(unexpected(other)),
    }
}

fn unexpected(token: &Token) -> SyntaxError {
    SyntaxError(format!("unexpected symbol near '{}'", token.spelling()).into())
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: u32,
    nodes: u32,
    sandbox: Sandbox,
}

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).unwrap_or(&Token::End)
    }

    fn advance(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    fn accept(&mut self, symbol: &str) -> bool {
        let found = matches!(self.peek(), Token::Symbol(own) if *own == symbol);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, symbol: &str) -> Result<(), SyntaxError> {
        if self.accept(symbol) {
            return Ok(());
        }
        Err(SyntaxError(format!("'{symbol}' expected near '{}'", self.peek().spelling()).into()))
    }

    fn name(&mut self) -> Result<Box<str>, SyntaxError> {
        match self.advance() {
            Token::Name(name) => Ok(name),
            other => Err(SyntaxError(format!("name expected near '{}'", other.spelling()).into())),
        }
    }

    /// Counts one node; chains that grow to the left get as deep as they are long, so they count as depth too.
    fn grow(&mut self) -> Result<(), SyntaxError> {
        self.nodes += 1;
        if self.nodes > MAX_NODES { Err(SyntaxError("expression is too long".into())) } else { Ok(()) }
    }

    fn deepen(&mut self) -> Result<(), SyntaxError> {
        self.grow()?;
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err(SyntaxError("expression nests too deeply".into())) } else { Ok(()) }
    }

    fn expression(&mut self, limit: u8) -> Result<Expr, SyntaxError> {
        let before = self.depth;
        self.deepen()?;
        let mut left = match self.peek() {
            Token::Symbol("not") => self.unary(Unary::Not)?,
            Token::Symbol("-") => self.unary(Unary::Negate)?,
            Token::Symbol("#") => self.unary(Unary::Length)?,
            _ => self.operand()?,
        };
        while let Token::Symbol(symbol) = *self.peek() {
            let Some((operator, _, right_strength)) = infix(symbol).filter(|found| found.1 > limit) else {
                break;
            };
            self.at += 1;
            left = match operator {
                Infix::Concat => self.concat(left, right_strength)?,
                Infix::Or => Expr::Or(Box::new(left), Box::new(self.expression(right_strength)?)),
                Infix::And => Expr::And(Box::new(left), Box::new(self.expression(right_strength)?)),
                Infix::Plain(binary) => {
                    Expr::Binary(binary, Box::new(left), Box::new(self.expression(right_strength)?))
                }
            };
            self.deepen()?;
        }
        self.depth = before;
        Ok(left)
    }

    fn unary(&mut self, operator: Unary) -> Result<Expr, SyntaxError> {
        self.at += 1;
        Ok(Expr::Unary(operator, Box::new(self.expression(UNARY)?)))
    }

    /// `a .. b .. c` as one list: each string is copied once, and a long chain is not deep.
    fn concat(&mut self, first: Expr, strength: u8) -> Result<Expr, SyntaxError> {
        let mut operands = vec![first];
        loop {
            // One stronger than `..` itself, so that the loop sees the next `..` of the chain.
            operands.push(self.expression(strength + 1)?);
            if !self.accept("..") {
                return Ok(Expr::Concat(operands));
            }
        }
    }

    fn operand(&mut self) -> Result<Expr, SyntaxError> {
        match self.peek() {
            Token::Name(_) | Token::Symbol("(") => return self.suffixed(),
            _ => {}
        }
        match self.advance() {
            Token::Number(number) => Ok(Expr::Number(number)),
            Token::Str(text) => Ok(Expr::Str(text)),
            Token::Symbol("nil") => Ok(Expr::Nil),
            Token::Symbol("true") => Ok(Expr::Bool(true)),
            Token::Symbol("false") => Ok(Expr::Bool(false)),
            Token::Symbol("{") => self.table(),
            Token::Symbol("function") => Err(SyntaxError("functions cannot be defined here".into())),
            other => Err(unexpected(&other)),
        }
    }

    fn suffixed(&mut self) -> Result<Expr, SyntaxError> {
        let mut expr = if let Token::Name(name) = self.advance() {
            library::global(&name, self.sandbox).unwrap_or(Expr::Unknown(name))
        } else {
            let inner = self.expression(0)?;
            self.expect(")")?;
            Expr::Group(Box::new(inner))
        };
        let before = self.depth;
        loop {
            expr = match self.peek() {
                Token::Symbol(".") => {
                    self.at += 1;
                    let name = self.name()?;
                    Expr::Index(Box::new(expr), Box::new(Expr::Str(name.as_bytes().into())))
                }
                Token::Symbol("[") => {
                    self.at += 1;
                    let key = self.expression(0)?;
                    self.expect("]")?;
                    Expr::Index(Box::new(expr), Box::new(key))
                }
                Token::Symbol(":") => {
                    self.at += 1;
                    let name = self.name()?;
                    let arguments = self.arguments()?;
                    Expr::Method(Box::new(expr), name, arguments)
                }
                Token::Symbol("(" | "{") | Token::Str(_) => {
                    let arguments = self.arguments()?;
                    Expr::Call(Box::new(expr), arguments)
                }
                _ => break,
            };
            self.deepen()?;
        }
        self.depth = before;
        Ok(expr)
    }

    fn arguments(&mut self) -> Result<Vec<Expr>, SyntaxError> {
        match self.advance() {
            Token::Str(text) => Ok(vec![Expr::Str(text)]),
            Token::Symbol("{") => Ok(vec![self.table()?]),
            Token::Symbol("(") => {
                let mut arguments = Vec::new();
                if self.accept(")") {
                    return Ok(arguments);
                }
                loop {
                    arguments.push(self.expression(0)?);
                    if !self.accept(",") {
                        self.expect(")")?;
                        return Ok(arguments);
                    }
                }
            }
            other => Err(SyntaxError(format!("function arguments expected near '{}'", other.spelling()).into())),
        }
    }

    fn table(&mut self) -> Result<Expr, SyntaxError> {
        let mut fields = Vec::new();
        loop {
            if self.accept("}") {
                return Ok(Expr::Table(fields));
            }
            fields.push(self.field()?);
            if !self.accept(",") && !self.accept(";") {
                self.expect("}")?;
                return Ok(Expr::Table(fields));
            }
        }
    }

    fn field(&mut self) -> Result<Field, SyntaxError> {
        if self.accept("[") {
            let key = self.expression(0)?;
            self.expect("]")?;
            self.expect("=")?;
            return Ok(Field::Keyed(key, self.expression(0)?));
        }
        if matches!(self.tokens.get(self.at + 1), Some(Token::Symbol("="))) {
            let name = self.name()?;
            self.at += 1;
            return Ok(Field::Keyed(Expr::Str(name.as_bytes().into()), self.expression(0)?));
        }
        Ok(Field::Item(self.expression(0)?))
    }
}
