//! From text to a tree; every field, type and regex is checked.

use super::super::pattern::Patterns;
use super::super::segments::Shape;
use super::fields::{Field, TextField};
use super::lexer::{Token, tokens};
use super::{Comparison, Expression, MAX_BYTES, MAX_DEPTH, Node, TextOperator, TextTest};

/// Reads an expression. `stream` is for routes of connections that are not HTTP, which have fewer fields.
///
/// # Errors
/// A message for the user.
pub(in super::super) fn parse(text: &str, stream: bool, patterns: &Patterns) -> Result<Expression, String> {
    if text.len() > MAX_BYTES {
        return Err(format!("longer than {MAX_BYTES} bytes"));
    }
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens: &tokens, end: text.len(), next: 0, depth: 0, stream, patterns };
    let root = parser.either()?;
    match parser.peek() {
        None => Ok(Expression { root }),
        Some(_) => Err(parser.unexpected("'&&' or '||'")),
    }
}

struct Parser<'a> {
    tokens: &'a [(usize, Token)],
    /// Length of the text.
    end: usize,
    next: usize,
    depth: usize,
    stream: bool,
    patterns: &'a Patterns,
}

/// The left side of a test.
struct Subject {
    field: Field,
    name: String,
    lower: bool,
    any: bool,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|(_, token)| token)
    }

    fn take(&mut self) -> Option<Token> {
        let token = self.peek().cloned();
        self.next += 1;
        token
    }

    fn accept(&mut self, symbol: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Symbol(own)) if *own == symbol);
        self.next += usize::from(found);
        found
    }

    fn expect(&mut self, symbol: &str) -> Result<(), String> {
        if self.accept(symbol) { Ok(()) } else { Err(self.unexpected(&format!("'{symbol}'"))) }
    }

    fn unexpected(&self, expected: &str) -> String {
        let at = self.tokens.get(self.next).map_or(self.end, |(at, _)| *at);
        format!("expected {expected} at {at}")
    }

    fn either(&mut self) -> Result<Node, String> {
        let mut parts = vec![self.both()?];
        while self.accept("||") {
            parts.push(self.both()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Node::Any(parts.into()) })
    }

    fn both(&mut self) -> Result<Node, String> {
        let mut parts = vec![self.term()?];
        while self.accept("&&") {
            parts.push(self.term()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Node::All(parts.into()) })
    }

    fn term(&mut self) -> Result<Node, String> {
        let negated = self.accept("!");
        if negated || matches!(self.peek(), Some(Token::Symbol("("))) {
            self.expect("(")?;
            self.depth += 1;
            if self.depth > MAX_DEPTH {
                return Err(format!("nested deeper than {MAX_DEPTH}"));
            }
            let inner = self.either()?;
            self.depth -= 1;
            self.expect(")")?;
            return Ok(if negated { Node::Not(Box::new(inner)) } else { inner });
        }
        let subject = self.subject()?;
        self.test(subject)
    }

    fn subject(&mut self) -> Result<Subject, String> {
        let expected = self.unexpected("a field");
        let Some(Token::Word(name)) = self.take() else { return Err(expected) };
        if !self.accept("(") {
            let field = Field::parse(&name)?;
            if self.stream && !field.is_of_streams() {
                return Err(format!("field '{name}' is not known of stream connections"));
            }
            return Ok(Subject { field, name, lower: false, any: false });
        }
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(format!("nested deeper than {MAX_DEPTH}"));
        }
        let mut subject = self.subject()?;
        self.depth -= 1;
        self.expect(")")?;
        match (name.as_str(), &subject.field) {
            ("lower", Field::Text(_)) => subject.lower = true,
            ("any", Field::Text(field)) if field.is_list() => subject.any = true,
            ("lower" | "any", _) => return Err(format!("'{name}' cannot be used with field '{}'", subject.name)),
            _ => return Err(format!("unknown function '{name}'")),
        }
        Ok(subject)
    }

    fn test(&mut self, subject: Subject) -> Result<Node, String> {
        let expected = self.unexpected("an operator");
        let operator = match self.take() {
            Some(Token::Symbol(symbol @ ("==" | "!=" | "~" | "^=" | "=^" | ">" | ">=" | "<" | "<="))) => symbol,
            Some(Token::Word(word)) if word == "in" => "in",
            Some(Token::Word(word)) if word == "contains" => "contains",
            Some(Token::Word(word)) if word == "not" && self.peek() == Some(&Token::Word("in".to_owned())) => {
                self.next += 1;
                "not in"
            }
            _ => return Err(expected),
        };
        let expected = self.unexpected("a value");
        let mismatch = format!("operator '{operator}' does not fit field '{}' and the value", subject.name);
        match (subject.field, self.take()) {
            (Field::Text(field), Some(Token::Text(value))) => {
                let operator = self.text_operator(operator, value, &field)?.ok_or(mismatch)?;
                Ok(Node::Text(TextTest { field, lower: subject.lower, any: subject.any, operator }))
            }
            (Field::Number(field), Some(Token::Number(value))) => {
                let comparison = comparison(operator).ok_or(mismatch)?;
                Ok(Node::Number { field, comparison, value })
            }
            (Field::Address(field), Some(Token::Address(address))) if operator == "==" => {
                Ok(Node::Address { field, address })
            }
            (Field::Address(field), Some(Token::Network(network))) if operator == "in" || operator == "not in" => {
                Ok(Node::Network { field, network, inside: operator == "in" })
            }
            (_, Some(Token::Text(_) | Token::Number(_) | Token::Address(_) | Token::Network(_))) => Err(mismatch),
            _ => Err(expected),
        }
    }

    fn text_operator(&self, operator: &str, value: String, field: &TextField) -> Result<Option<TextOperator>, String> {
        let bytes = |value: String| value.into_bytes().into_boxed_slice();
        Ok(Some(match operator {
            "==" => TextOperator::Equal(bytes(value)),
            "!=" => TextOperator::NotEqual(bytes(value)),
            "^=" => TextOperator::Start(bytes(value)),
            "=^" => TextOperator::End(bytes(value)),
            "contains" => TextOperator::Contain(bytes(value)),
            "~" => {
                let mut pattern = self.patterns.text(&value)?;
                if *field != TextField::Path {
                    pattern.shape = Shape::default();
                }
                TextOperator::Match(Box::new(pattern))
            }
            _ => return Ok(None),
        }))
    }
}

fn comparison(operator: &str) -> Option<Comparison> {
    Some(match operator {
        "==" => Comparison::Equal,
        "!=" => Comparison::NotEqual,
        ">" => Comparison::Greater,
        ">=" => Comparison::GreaterOrEqual,
        "<" => Comparison::Less,
        "<=" => Comparison::LessOrEqual,
        _ => return None,
    })
}
