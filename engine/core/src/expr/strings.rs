//! The functions of `string`.

use std::borrow::Cow;
use std::ops::Range;

use super::eval::{Evaluator, count};
use super::format;
use super::library::{Arguments, TextFunction};
use super::pattern::{Capture, Match, Matcher};
use super::value::Value;
use super::{Budget, Fault};

type Results<'e> = Result<Vec<Value<'e>>, Fault>;

pub(super) fn call<'e>(
    function: TextFunction,
    evaluator: &mut Evaluator<'e, '_>,
    arguments: &mut Arguments<'e>,
) -> Results<'e> {
    let budget = &mut *evaluator.budget;
    Ok(vec![match function {
        TextFunction::Byte => return byte(budget, arguments),
        TextFunction::Find => return find(budget, arguments, true),
        TextFunction::Match => return find(budget, arguments, false),
        TextFunction::Gsub => return gsub(evaluator, arguments),
        TextFunction::Char => char(budget, arguments)?,
        TextFunction::Format => Value::owned(format::format(budget, arguments)?),
        TextFunction::Len => count(arguments.text(1)?.len()),
        TextFunction::Lower => mapped(budget, arguments, u8::to_ascii_lowercase)?,
        TextFunction::Upper => mapped(budget, arguments, u8::to_ascii_uppercase)?,
        TextFunction::Rep => rep(budget, arguments)?,
        TextFunction::Reverse => {
            let text = arguments.text(1)?;
            budget.bytes(text.len())?;
            Value::owned(text.iter().rev().copied().collect::<Vec<u8>>())
        }
        TextFunction::Sub => {
            let text = arguments.text(1)?;
            let first = arguments.integer(2)?;
            let last = arguments.optional_integer(3)?.unwrap_or(-1);
            Value::Str(piece(budget, &text, span(text.len(), first, last))?)
        }
    }])
}

/// The bytes that Lua's inclusive positions mean; negative ones count from the end.
fn span(length: usize, first: i64, last: i64) -> Range<usize> {
    let length_signed = i64::try_from(length).unwrap_or(i64::MAX);
    let absolute = |place: i64| if place < 0 { length_signed.saturating_add(place).saturating_add(1) } else { place };
    let first = absolute(first).max(1);
    let last = absolute(last).min(length_signed);
    if first > last {
        return 0..0;
    }
    let start = usize::try_from(first - 1).unwrap_or(length);
    start..usize::try_from(last).unwrap_or(length)
}

/// A piece of a string: borrowed where the string is, copied where it was made by the expression.
fn piece<'e>(budget: &mut Budget, text: &Cow<'e, [u8]>, range: Range<usize>) -> Result<Cow<'e, [u8]>, Fault> {
    match text {
        Cow::Borrowed(text) => Ok(Cow::Borrowed(&text[range])),
        Cow::Owned(text) => {
            budget.bytes(range.len())?;
            Ok(Cow::Owned(text[range].to_vec()))
        }
    }
}

fn mapped<'e>(budget: &mut Budget, arguments: &mut Arguments<'e>, map: fn(&u8) -> u8) -> Result<Value<'e>, Fault> {
    let text = arguments.text(1)?;
    budget.bytes(text.len())?;
    Ok(Value::owned(text.iter().map(map).collect::<Vec<u8>>()))
}

fn byte<'e>(budget: &mut Budget, arguments: &mut Arguments<'e>) -> Results<'e> {
    let text = arguments.text(1)?;
    let first = arguments.optional_integer(2)?.unwrap_or(1);
    let last = arguments.optional_integer(3)?.unwrap_or(first);
    let bytes = &text[span(text.len(), first, last)];
    budget.bytes(bytes.len().saturating_mul(size_of::<Value<'_>>()))?;
    Ok(bytes.iter().map(|byte| Value::Number(f64::from(*byte))).collect())
}

fn char<'e>(budget: &mut Budget, arguments: &mut Arguments<'e>) -> Result<Value<'e>, Fault> {
    budget.bytes(arguments.len())?;
    let mut text = Vec::with_capacity(arguments.len());
    for place in 1..=arguments.len() {
        let code = arguments.integer(place)?;
        text.push(u8::try_from(code).map_err(|_| arguments.bad(place, "invalid value"))?);
    }
    Ok(Value::owned(text))
}

/// `rep(text, count, separator)`.
fn rep<'e>(budget: &mut Budget, arguments: &mut Arguments<'e>) -> Result<Value<'e>, Fault> {
    let text = arguments.text(1)?;
    let times = usize::try_from(arguments.integer(2)?).unwrap_or(0);
    let separator = arguments.optional_text(3)?.unwrap_or_default();
    let unit = text.len().checked_add(separator.len()).ok_or(Fault::Bytes)?;
    if times == 0 || unit == 0 {
        return Ok(Value::text(b""));
    }
    let length = unit.checked_mul(times).ok_or(Fault::Bytes)? - separator.len();
    budget.bytes(length)?;
    budget.scan(times)?;
    let mut joined = Vec::with_capacity(length);
    for copy in 0..times {
        if copy > 0 {
            joined.extend_from_slice(&separator);
        }
        joined.extend_from_slice(&text);
    }
    Ok(Value::owned(joined))
}

/// `find` (positions, then captures) and `match` (captures, or the whole match without any).
fn find<'e>(budget: &mut Budget, arguments: &mut Arguments<'e>, positions: bool) -> Results<'e> {
    let text = arguments.text(1)?;
    let pattern = arguments.text(2)?;
    let from = arguments.optional_integer(3)?.unwrap_or(1);
    let from = match usize::try_from(from) {
        Ok(place) => place.saturating_sub(1),
        Err(_) => text.len().saturating_sub(usize::try_from(from.unsigned_abs()).unwrap_or(usize::MAX)),
    };
    // Lua 5.1 searches from the end when told to start behind it.
    let from = from.min(text.len());
    if positions && (arguments.is_true(4) || !pattern.iter().any(|byte| b"^$*+?.([%-".contains(byte))) {
        budget.scan(text.len() + pattern.len())?;
        return Ok(match memchr::memmem::find(&text[from..], &pattern) {
            Some(at) => vec![count(from + at + 1), count(from + at + pattern.len())],
            None => vec![Value::Nil],
        });
    }
    let Some(found) = Matcher::new(&text, &pattern, budget).search(from)? else { return Ok(vec![Value::Nil]) };
    let mut results = Vec::new();
    if positions {
        results.extend([count(found.range.start + 1), count(found.range.end)]);
    }
    if !positions && found.captures.is_empty() {
        results.push(Value::Str(piece(budget, &text, found.range.clone())?));
    }
    for capture in &found.captures {
        results.push(captured(budget, &text, capture)?);
    }
    Ok(results)
}

fn captured<'e>(budget: &mut Budget, text: &Cow<'e, [u8]>, capture: &Capture) -> Result<Value<'e>, Fault> {
    match capture {
        Capture::Text(range) => piece(budget, text, range.clone()).map(Value::Str),
        Capture::Position(at) => Ok(count(at + 1)),
    }
}

/// `gsub(text, pattern, replacement, limit)`: the new text and the number of matches.
fn gsub<'e>(evaluator: &mut Evaluator<'e, '_>, arguments: &mut Arguments<'e>) -> Results<'e> {
    let text = arguments.text(1)?;
    let pattern = arguments.text(2)?;
    let limit = arguments.optional_integer(4)?.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(0));
    let replacement = match arguments.any(3)? {
        Value::Number(number) => Value::owned(super::coercion::number_to_text(number)),
        value @ (Value::Str(_) | Value::Table(_) | Value::Scope(_) | Value::Function(_)) => value,
        other => return Err(arguments.bad(3, &format!("string/function/table expected, got {}", other.type_name()))),
    };
    let anchored = pattern.first() == Some(&b'^');
    let (mut out, mut at, mut replaced) = (Vec::new(), 0, 0_usize);
    while replaced < limit {
        let found = Matcher::new(&text, &pattern, evaluator.budget).match_at(at)?;
        if let Some(found) = &found {
            replaced += 1;
            let new = substitute(evaluator, &text, &replacement, found)?;
            evaluator.budget.bytes(new.len())?;
            out.extend_from_slice(&new);
        }
        match found {
            Some(found) if found.range.end > at => at = found.range.end,
            _ if at < text.len() => {
                evaluator.budget.bytes(1)?;
                out.push(text[at]);
                at += 1;
            }
            _ => {
                at += 1;
                break;
            }
        }
        if anchored {
            break;
        }
    }
    let rest = text.get(at..).unwrap_or_default();
    evaluator.budget.bytes(rest.len())?;
    out.extend_from_slice(rest);
    Ok(vec![Value::owned(out), count(replaced)])
}

/// The text for one match; false and nil keep the match as it is.
fn substitute<'e>(
    evaluator: &mut Evaluator<'e, '_>,
    text: &Cow<'e, [u8]>,
    replacement: &Value<'e>,
    found: &Match,
) -> Result<Cow<'e, [u8]>, Fault> {
    if let Value::Str(replacement) = replacement {
        return expand(evaluator.budget, text, replacement, found).map(Cow::Owned);
    }
    let whole = [Capture::Text(found.range.clone())];
    let captures = if found.captures.is_empty() { &whole[..] } else { &found.captures };
    let values =
        captures.iter().map(|capture| captured(evaluator.budget, text, capture)).collect::<Result<Vec<_>, _>>()?;
    let value = match replacement {
        Value::Function(function) => evaluator.invoke(*function, values)?.into_iter().next().unwrap_or(Value::Nil),
        table => match values.first() {
            Some(key) => evaluator.index(table, key)?.unwrap_or(Value::Nil),
            None => Value::Nil,
        },
    };
    match value {
        Value::Nil | Value::Bool(false) => piece(evaluator.budget, text, found.range.clone()),
        Value::Str(_) | Value::Number(_) => Ok(value.display()),
        other => Err(Fault::runtime(format!("invalid replacement value (a {})", other.type_name()))),
    }
}

/// A replacement string with `%0` to `%9` filled in.
fn expand(budget: &mut Budget, text: &[u8], replacement: &[u8], found: &Match) -> Result<Vec<u8>, Fault> {
    let mut out = Vec::new();
    let mut bytes = replacement.iter();
    budget.scan(replacement.len())?;
    while let Some(byte) = bytes.next() {
        if *byte != b'%' {
            out.push(*byte);
            continue;
        }
        match bytes.next() {
            Some(digit @ b'0'..=b'9') => {
                let index = usize::from(digit - b'0');
                let whole = Capture::Text(found.range.clone());
                let capture = match (index, found.captures.len()) {
                    (0, _) | (1, 0) => &whole,
                    _ => found
                        .captures
                        .get(index - 1)
                        .ok_or_else(|| Fault::runtime(format!("invalid capture index %{index}")))?,
                };
                match capture {
                    Capture::Text(range) => {
                        budget.bytes(range.len())?;
                        out.extend_from_slice(&text[range.clone()]);
                    }
                    Capture::Position(at) => out.extend_from_slice((at + 1).to_string().as_bytes()),
                }
            }
            Some(other) => out.push(*other),
            None => return Err(Fault::runtime("invalid use of '%' in replacement string")),
        }
    }
    Ok(out)
}
