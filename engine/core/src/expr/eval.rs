//! Evaluation of compiled expressions.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::rc::Rc;

use super::ast::{Binary, Expr, Field, Unary};
use super::coercion::{to_number, to_text};
use super::library::{self, Function};
use super::value::{Table, Value, position};
use super::{Budget, Fault, Key, Scope, Variables};

/// Evaluates within one request. The recursion is as deep as the parser lets an expression nest.
pub(super) struct Evaluator<'e, 'b> {
    variables: &'e dyn Variables,
    pub(super) budget: &'b mut Budget,
}

impl<'e, 'b> Evaluator<'e, 'b> {
    pub(super) fn new(variables: &'e dyn Variables, budget: &'b mut Budget) -> Self {
        Self { variables, budget }
    }

    pub(super) fn value(&mut self, expr: &'e Expr) -> Result<Value<'e>, Fault> {
        self.budget.step()?;
        Ok(match expr {
            Expr::Nil | Expr::Unknown(_) => Value::Nil,
            Expr::Bool(value) => Value::Bool(*value),
            Expr::Number(value) => Value::Number(*value),
            Expr::Str(text) => Value::text(text),
            Expr::Scope(scope) => Value::Scope(*scope),
            Expr::Module(module) => Value::Module(*module),
            Expr::Function(function) => Value::Function(*function),
            Expr::Group(inner) => self.value(inner)?,
            Expr::And(left, right) => {
                let left = self.value(left)?;
                if left.is_true() { self.value(right)? } else { left }
            }
            Expr::Or(left, right) => {
                let left = self.value(left)?;
                if left.is_true() { left } else { self.value(right)? }
            }
            Expr::Index(holder, key) => {
                let found = self.value(holder)?;
                let key = self.value(key)?;
                self.index(&found, &key)?.ok_or_else(|| cannot("index", holder, &found))?
            }
            Expr::Call(..) | Expr::Method(..) => self.call(expr)?.into_iter().next().unwrap_or(Value::Nil),
            Expr::Unary(operator, operand) => self.unary(*operator, operand)?,
            Expr::Binary(operator, left, right) => self.binary(*operator, left, right)?,
            Expr::Concat(operands) => self.concat(operands)?,
            Expr::Table(fields) => self.table(fields)?,
        })
    }

    /// `holder[key]`; None when the holder cannot be indexed.
    pub(super) fn index(&mut self, holder: &Value<'e>, key: &Value<'e>) -> Result<Option<Value<'e>>, Fault> {
        Ok(Some(match holder {
            Value::Scope(scope) => self.look_up(*scope, key),
            Value::Table(table) => {
                self.budget.scan(table.keyed.len() * 16)?;
                table.get(key)
            }
            Value::Module(module) => match key {
                Value::Str(name) => module.member(name),
                _ => Value::Nil,
            },
            // Strings are indexed by the string library, which is what makes `text:upper()` work.
            Value::Str(_) => match key {
                Value::Str(name) => library::string_function(name).map_or(Value::Nil, Value::Function),
                _ => Value::Nil,
            },
            Value::Nil | Value::Bool(_) | Value::Number(_) | Value::Function(_) => return Ok(None),
        }))
    }

    fn look_up(&self, scope: Scope, key: &Value<'e>) -> Value<'e> {
        match key {
            Value::Str(name) => self.variables.get(scope, Key::Name(name)),
            Value::Number(number) if *number == 0.0 => self.variables.get(scope, Key::Index(0)),
            Value::Number(number) => {
                position(*number).map_or(Value::Nil, |index| self.variables.get(scope, Key::Index(index + 1)))
            }
            _ => Value::Nil,
        }
    }

    /// All results of a call expression.
    fn call(&mut self, expr: &'e Expr) -> Result<Vec<Value<'e>>, Fault> {
        match expr {
            Expr::Call(callee, arguments) => {
                let function = self.value(callee)?;
                let arguments = self.list(arguments, Vec::new())?;
                self.apply(callee, &function, arguments)
            }
            Expr::Method(holder, name, arguments) => {
                let object = self.value(holder)?;
                let function = self
                    .index(&object, &Value::text(name.as_bytes()))?
                    .ok_or_else(|| cannot("index", holder, &object))?;
                let arguments = self.list(arguments, vec![object])?;
                self.apply(expr, &function, arguments)
            }
            other => Ok(vec![self.value(other)?]),
        }
    }

    fn apply(
        &mut self,
        callee: &'e Expr,
        function: &Value<'e>,
        arguments: Vec<Value<'e>>,
    ) -> Result<Vec<Value<'e>>, Fault> {
        match function {
            Value::Function(function) => self.invoke(*function, arguments),
            other => Err(cannot("call", callee, other)),
        }
    }

    pub(super) fn invoke(&mut self, function: Function, arguments: Vec<Value<'e>>) -> Result<Vec<Value<'e>>, Fault> {
        self.budget.step()?;
        function.call(self, arguments)
    }

    /// The values of a list of expressions, appended to `values`; a call at the end gives all its results.
    fn list(&mut self, exprs: &'e [Expr], mut values: Vec<Value<'e>>) -> Result<Vec<Value<'e>>, Fault> {
        if let Some((last, others)) = exprs.split_last() {
            for expr in others {
                values.push(self.value(expr)?);
            }
            values.extend(self.call(last)?);
        }
        Ok(values)
    }

    fn table(&mut self, fields: &'e [Field]) -> Result<Value<'e>, Fault> {
        let mut table = Table::default();
        for (index, field) in fields.iter().enumerate() {
            match field {
                Field::Item(expr) if index + 1 == fields.len() => table.items.extend(self.call(expr)?),
                Field::Item(expr) => table.items.push(self.value(expr)?),
                Field::Keyed(key, value) => {
                    let key = self.value(key)?;
                    if matches!(key, Value::Nil) {
                        return Err(Fault::runtime("table index is nil"));
                    }
                    table.keyed.push((key, self.value(value)?));
                }
            }
        }
        // A list ends at its last value: `#{1, nil}` is 1.
        while matches!(table.items.last(), Some(Value::Nil)) {
            table.items.pop();
        }
        Ok(Value::Table(Rc::new(table)))
    }

    fn unary(&mut self, operator: Unary, operand: &'e Expr) -> Result<Value<'e>, Fault> {
        let value = self.value(operand)?;
        match operator {
            Unary::Not => Ok(Value::Bool(!value.is_true())),
            Unary::Negate => Ok(Value::Number(-self.number(operand, &value)?)),
            Unary::Length => match &value {
                Value::Str(text) => Ok(count(text.len())),
                Value::Table(table) => Ok(count(table.items.len())),
                Value::Scope(_) | Value::Module(_) => Ok(count(0)),
                _ => Err(cannot("get length of", operand, &value)),
            },
        }
    }

    fn number(&mut self, operand: &Expr, value: &Value<'e>) -> Result<f64, Fault> {
        if let Value::Str(text) = value {
            self.budget.scan(text.len())?;
        }
        to_number(value).ok_or_else(|| cannot("perform arithmetic on", operand, value))
    }

    fn binary(&mut self, operator: Binary, left: &'e Expr, right: &'e Expr) -> Result<Value<'e>, Fault> {
        let (a, b) = (self.value(left)?, self.value(right)?);
        Ok(match operator {
            Binary::Equal => Value::Bool(self.equal(&a, &b)?),
            Binary::NotEqual => Value::Bool(!self.equal(&a, &b)?),
            Binary::Less => Value::Bool(self.compare(&a, &b)?.is_some_and(Ordering::is_lt)),
            Binary::LessEqual => Value::Bool(self.compare(&a, &b)?.is_some_and(Ordering::is_le)),
            Binary::Greater => Value::Bool(self.compare(&a, &b)?.is_some_and(Ordering::is_gt)),
            Binary::GreaterEqual => Value::Bool(self.compare(&a, &b)?.is_some_and(Ordering::is_ge)),
            _ => {
                let (a, b) = (self.number(left, &a)?, self.number(right, &b)?);
                Value::Number(match operator {
                    Binary::Add => a + b,
                    Binary::Subtract => a - b,
                    Binary::Multiply => a * b,
                    Binary::Divide => a / b,
                    Binary::Modulo => a - (a / b).floor() * b,
                    _ => a.powf(b),
                })
            }
        })
    }

    fn equal(&mut self, a: &Value<'e>, b: &Value<'e>) -> Result<bool, Fault> {
        if let (Value::Str(a), Value::Str(b)) = (a, b) {
            self.budget.scan(a.len().min(b.len()))?;
        }
        Ok(a.equals(b))
    }

    fn compare(&mut self, a: &Value<'e>, b: &Value<'e>) -> Result<Option<Ordering>, Fault> {
        match (a, b) {
            (Value::Number(a), Value::Number(b)) => Ok(a.partial_cmp(b)),
            (Value::Str(a), Value::Str(b)) => {
                self.budget.scan(a.len().min(b.len()))?;
                Ok(Some(a.cmp(b)))
            }
            _ if a.type_name() == b.type_name() => {
                Err(Fault::runtime(format!("attempt to compare two {} values", a.type_name())))
            }
            _ => Err(Fault::runtime(format!("attempt to compare {} with {}", a.type_name(), b.type_name()))),
        }
    }

    fn concat(&mut self, operands: &'e [Expr]) -> Result<Value<'e>, Fault> {
        let mut parts: Vec<Cow<'e, [u8]>> = Vec::with_capacity(operands.len());
        for operand in operands {
            let value = self.value(operand)?;
            if !matches!(value, Value::Str(_) | Value::Number(_)) {
                return Err(cannot("concatenate", operand, &value));
            }
            parts.extend(to_text(value));
        }
        let length = parts.iter().map(|part| part.len()).sum();
        self.budget.bytes(length)?;
        let mut joined = Vec::with_capacity(length);
        for part in parts {
            joined.extend_from_slice(&part);
        }
        Ok(Value::owned(joined))
    }
}

/// Lua's "attempt to …" error, naming the operand where it has a name.
fn cannot(deed: &str, operand: &Expr, value: &Value<'_>) -> Fault {
    let name = operand.described();
    let kind = value.type_name();
    if name.is_empty() {
        Fault::runtime(format!("attempt to {deed} a {kind} value"))
    } else {
        Fault::runtime(format!("attempt to {deed} {name}(a {kind} value)"))
    }
}

/// A length as a number; lengths are far below 2^53.
#[expect(clippy::cast_precision_loss, reason = "strings and lists are bounded far below 2^53")]
pub(super) fn count(length: usize) -> Value<'static> {
    Value::Number(length as f64)
}
