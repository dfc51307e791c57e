//! What expressions may call, and the names they find it under.

use std::borrow::Cow;

use super::ast::Expr;
use super::coercion::{text_to_number, text_to_number_in_base, to_integer, to_number, to_text};
use super::eval::Evaluator;
use super::strings;
use super::value::Value;
use super::{Fault, Scope};

/// Which global names an expression knows besides the look-up tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sandbox {
    /// Only `type`. String functions can still be called as methods: `headers.host:upper()`.
    Strict,
    /// Also `string`, `math`, `table.concat`, `tostring` and `tonumber`: for plugins whose documentation promises them.
    Standard,
}

/// A global library table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Module {
    String,
    Math,
    Table,
}

/// A library function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    Type,
    ToString,
    ToNumber,
    Concat,
    Text(TextFunction),
    Math(MathFunction),
}

/// Functions of `string`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextFunction {
    Byte,
    Char,
    Find,
    Format,
    Gsub,
    Len,
    Lower,
    Match,
    Rep,
    Reverse,
    Sub,
    Upper,
}

/// Functions of `math`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MathFunction {
    Abs,
    Ceil,
    Floor,
    Fmod,
    Max,
    Min,
    Pow,
    Sqrt,
}

/// What a global name means in a sandbox; None for names that mean nothing (nil).
pub(super) fn global(name: &str, sandbox: Sandbox) -> Option<Expr> {
    Some(match (name, sandbox) {
        ("headers", _) => Expr::Scope(Scope::Headers),
        ("query_params", _) => Expr::Scope(Scope::QueryParams),
        ("uri_captures", _) => Expr::Scope(Scope::UriCaptures),
        ("shared", _) => Expr::Scope(Scope::Shared),
        ("type", _) => Expr::Function(Function::Type),
        ("tostring", Sandbox::Standard) => Expr::Function(Function::ToString),
        ("tonumber", Sandbox::Standard) => Expr::Function(Function::ToNumber),
        ("string", Sandbox::Standard) => Expr::Module(Module::String),
        ("math", Sandbox::Standard) => Expr::Module(Module::Math),
        ("table", Sandbox::Standard) => Expr::Module(Module::Table),
        _ => return None,
    })
}

/// A function of `string`, which is also a method of every string.
pub(super) fn string_function(name: &[u8]) -> Option<Function> {
    Some(Function::Text(match name {
        b"byte" => TextFunction::Byte,
        b"char" => TextFunction::Char,
        b"find" => TextFunction::Find,
        b"format" => TextFunction::Format,
        b"gsub" => TextFunction::Gsub,
        b"len" => TextFunction::Len,
        b"lower" => TextFunction::Lower,
        b"match" => TextFunction::Match,
        b"rep" => TextFunction::Rep,
        b"reverse" => TextFunction::Reverse,
        b"sub" => TextFunction::Sub,
        b"upper" => TextFunction::Upper,
        _ => return None,
    }))
}

impl Module {
    /// `module[name]`, nil when it has no such member.
    pub(super) fn member(self, name: &[u8]) -> Value<'static> {
        let function = match self {
            Self::String => string_function(name),
            Self::Table => (name == b"concat").then_some(Function::Concat),
            Self::Math => match name {
                b"pi" => return Value::Number(std::f64::consts::PI),
                b"huge" => return Value::Number(f64::INFINITY),
                b"abs" => Some(Function::Math(MathFunction::Abs)),
                b"ceil" => Some(Function::Math(MathFunction::Ceil)),
                b"floor" => Some(Function::Math(MathFunction::Floor)),
                b"fmod" => Some(Function::Math(MathFunction::Fmod)),
                b"max" => Some(Function::Math(MathFunction::Max)),
                b"min" => Some(Function::Math(MathFunction::Min)),
                b"pow" => Some(Function::Math(MathFunction::Pow)),
                b"sqrt" => Some(Function::Math(MathFunction::Sqrt)),
                _ => None,
            },
        };
        function.map_or(Value::Nil, Value::Function)
    }
}

impl Function {
    pub(super) fn call<'e>(
        self,
        evaluator: &mut Evaluator<'e, '_>,
        arguments: Vec<Value<'e>>,
    ) -> Result<Vec<Value<'e>>, Fault> {
        let mut arguments = Arguments::new(self.name(), arguments);
        Ok(vec![match self {
            Self::Type => Value::text(arguments.any(1)?.type_name().as_bytes()),
            Self::ToString => {
                let text = arguments.any(1)?.display();
                evaluator.budget.bytes(text.len())?;
                Value::Str(text)
            }
            Self::ToNumber => to_number_function(evaluator, &mut arguments)?,
            Self::Concat => concat(evaluator, &mut arguments)?,
            Self::Math(function) => Value::Number(function.apply(&mut arguments)?),
            Self::Text(function) => return strings::call(function, evaluator, &mut arguments),
        }])
    }

    fn name(self) -> &'static str {
        match self {
            Self::Type => "type",
            Self::ToString => "tostring",
            Self::ToNumber => "tonumber",
            Self::Concat => "concat",
            Self::Text(function) => match function {
                TextFunction::Byte => "byte",
                TextFunction::Char => "char",
                TextFunction::Find => "find",
                TextFunction::Format => "format",
                TextFunction::Gsub => "gsub",
                TextFunction::Len => "len",
                TextFunction::Lower => "lower",
                TextFunction::Match => "match",
                TextFunction::Rep => "rep",
                TextFunction::Reverse => "reverse",
                TextFunction::Sub => "sub",
                TextFunction::Upper => "upper",
            },
            Self::Math(function) => match function {
                MathFunction::Abs => "abs",
                MathFunction::Ceil => "ceil",
                MathFunction::Floor => "floor",
                MathFunction::Fmod => "fmod",
                MathFunction::Max => "max",
                MathFunction::Min => "min",
                MathFunction::Pow => "pow",
                MathFunction::Sqrt => "sqrt",
            },
        }
    }
}

fn to_number_function<'e>(
    evaluator: &mut Evaluator<'e, '_>,
    arguments: &mut Arguments<'e>,
) -> Result<Value<'e>, Fault> {
    let base = arguments.optional_integer(2)?.unwrap_or(10);
    let base = u32::try_from(base).ok().filter(|base| (2..=36).contains(base));
    let base = base.ok_or_else(|| arguments.bad(2, "base out of range"))?;
    let number = match arguments.any(1)? {
        Value::Number(number) if base == 10 => Some(number),
        value => match to_text(value) {
            Some(text) => {
                evaluator.budget.scan(text.len())?;
                if base == 10 { text_to_number(&text) } else { text_to_number_in_base(&text, base) }
            }
            None => None,
        },
    };
    Ok(number.map_or(Value::Nil, Value::Number))
}

/// `table.concat(list, separator, first, last)`.
fn concat<'e>(evaluator: &mut Evaluator<'e, '_>, arguments: &mut Arguments<'e>) -> Result<Value<'e>, Fault> {
    let separator = arguments.optional_text(2)?.unwrap_or_default();
    let first = arguments.optional_integer(3)?.unwrap_or(1);
    let Value::Table(table) = arguments.any(1)? else { return Err(arguments.wrong(1, "table")) };
    let length = i64::try_from(table.items.len()).unwrap_or(i64::MAX);
    let last = arguments.optional_integer(4)?.unwrap_or(length);
    let mut joined = Vec::new();
    for place in first..=last {
        let item = usize::try_from(place).ok().and_then(|place| table.items.get(place.checked_sub(1)?)).cloned();
        let Some(text) = item.and_then(to_text) else {
            return Err(Fault::runtime(format!("invalid value at index {place} in table for 'concat'")));
        };
        let gap: &[u8] = if place == first { b"" } else { &separator };
        evaluator.budget.step()?;
        evaluator.budget.bytes(gap.len() + text.len())?;
        joined.extend_from_slice(gap);
        joined.extend_from_slice(&text);
    }
    Ok(Value::owned(joined))
}

impl MathFunction {
    fn apply(self, arguments: &mut Arguments<'_>) -> Result<f64, Fault> {
        let first = arguments.number(1)?;
        Ok(match self {
            Self::Abs => first.abs(),
            Self::Ceil => first.ceil(),
            Self::Floor => first.floor(),
            Self::Sqrt => first.sqrt(),
            Self::Fmod => first % arguments.number(2)?,
            Self::Pow => first.powf(arguments.number(2)?),
            Self::Max | Self::Min => {
                let mut best = first;
                for place in 2..=arguments.len() {
                    let number = arguments.number(place)?;
                    let better = if self == Self::Max { number > best } else { number < best };
                    best = if better { number } else { best };
                }
                best
            }
        })
    }
}

/// The arguments of one call, checked as they are asked for; places count from 1, as in messages.
pub(super) struct Arguments<'e> {
    function: &'static str,
    values: Vec<Value<'e>>,
}

impl<'e> Arguments<'e> {
    fn new(function: &'static str, values: Vec<Value<'e>>) -> Self {
        Self { function, values }
    }

    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    fn peek(&self, place: usize) -> Option<&Value<'e>> {
        self.values.get(place - 1)
    }

    /// Takes an argument that must be there, whatever it is.
    pub(super) fn any(&mut self, place: usize) -> Result<Value<'e>, Fault> {
        match self.values.get_mut(place - 1) {
            Some(value) => Ok(std::mem::replace(value, Value::Nil)),
            None => Err(self.bad(place, "value expected")),
        }
    }

    /// Takes a string argument; numbers are converted.
    pub(super) fn text(&mut self, place: usize) -> Result<Cow<'e, [u8]>, Fault> {
        match self.peek(place) {
            Some(Value::Str(_) | Value::Number(_)) => {
                let value = self.any(place)?;
                to_text(value).ok_or_else(|| self.wrong(place, "string"))
            }
            _ => Err(self.wrong(place, "string")),
        }
    }

    pub(super) fn number(&mut self, place: usize) -> Result<f64, Fault> {
        self.peek(place).and_then(to_number).ok_or_else(|| self.wrong(place, "number"))
    }

    pub(super) fn integer(&mut self, place: usize) -> Result<i64, Fault> {
        self.number(place).map(to_integer)
    }

    pub(super) fn optional_integer(&mut self, place: usize) -> Result<Option<i64>, Fault> {
        if self.is_absent(place) { Ok(None) } else { self.integer(place).map(Some) }
    }

    pub(super) fn optional_text(&mut self, place: usize) -> Result<Option<Cow<'e, [u8]>>, Fault> {
        if self.is_absent(place) { Ok(None) } else { self.text(place).map(Some) }
    }

    pub(super) fn is_true(&self, place: usize) -> bool {
        self.peek(place).is_some_and(Value::is_true)
    }

    fn is_absent(&self, place: usize) -> bool {
        matches!(self.peek(place), None | Some(Value::Nil))
    }

    /// The error for an argument of the wrong type.
    pub(super) fn wrong(&self, place: usize, expected: &str) -> Fault {
        let got = self.peek(place).map_or("no value", Value::type_name);
        self.bad(place, &format!("{expected} expected, got {got}"))
    }

    pub(super) fn bad(&self, place: usize, why: &str) -> Fault {
        Fault::runtime(format!("bad argument #{place} to '{}' ({why})", self.function))
    }
}
