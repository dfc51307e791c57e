//! Lua's conversions between numbers and strings.

use std::borrow::Cow;

use super::format::general;
use super::value::Value;

/// Digits that Lua prints of a number: `%.14g`.
const PRINTED_DIGITS: usize = 14;

/// A number as a token or as the text of a string without blanks and sign: decimal or hexadecimal.
pub(super) fn parse_number(text: &[u8]) -> Option<f64> {
    if let [b'0', b'x' | b'X', digits @ ..] = text {
        return parse_hexadecimal(digits);
    }
    // What Rust reads beyond this alphabet ("inf", "nan", a sign) is no Lua number.
    let numeric = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-');
    if !text.first().is_some_and(|byte| byte.is_ascii_digit() || *byte == b'.') || !text.iter().all(numeric) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn parse_hexadecimal(text: &[u8]) -> Option<f64> {
    let (mantissa, exponent) = match text.iter().position(|byte| matches!(byte, b'p' | b'P')) {
        Some(at) => (&text[..at], std::str::from_utf8(&text[at + 1..]).ok()?.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (mut value, mut scale, mut digits, mut fraction) = (0.0_f64, 0_i32, 0_u32, false);
    for byte in mantissa {
        if *byte == b'.' && !fraction {
            fraction = true;
            continue;
        }
        value = value * 16.0 + f64::from((*byte as char).to_digit(16)?);
        digits += 1;
        scale -= if fraction { 4 } else { 0 };
    }
    (digits > 0).then(|| value * 2.0_f64.powi(scale.saturating_add(exponent)))
}

/// The number that a string stands for in arithmetic: blanks around it and a sign are fine.
pub(super) fn text_to_number(text: &[u8]) -> Option<f64> {
    let text = trim(text);
    match text {
        [b'-', rest @ ..] => parse_number(rest).map(|number| -number),
        [b'+', rest @ ..] => parse_number(rest),
        _ => parse_number(text),
    }
}

/// The integer that a string stands for in a base between 2 and 36, as `tonumber(text, base)` reads it.
pub(super) fn text_to_number_in_base(text: &[u8], base: u32) -> Option<f64> {
    let (negative, digits) = match trim(text) {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        all => (false, all),
    };
    let digits = match digits {
        [b'0', b'x' | b'X', rest @ ..] if base == 16 => rest,
        _ => digits,
    };
    if digits.is_empty() {
        return None;
    }
    let value = digits.iter().try_fold(0.0_f64, |value, digit| {
        Some(value * f64::from(base) + f64::from((*digit as char).to_digit(base)?))
    })?;
    Some(if negative { -value } else { value })
}

fn trim(text: &[u8]) -> &[u8] {
    let blank = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0x0b;
    let start = text.iter().position(|byte| !blank(byte)).unwrap_or(text.len());
    let end = text.iter().rposition(|byte| !blank(byte)).map_or(start, |last| last + 1);
    &text[start..end]
}

/// The operand of arithmetic: numbers, and strings that look like one.
pub(super) fn to_number(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Number(number) => Some(*number),
        Value::Str(text) => text_to_number(text),
        _ => None,
    }
}

/// The operand of `..` and the argument of string functions: strings and numbers.
pub(super) fn to_text(value: Value<'_>) -> Option<Cow<'_, [u8]>> {
    match value {
        Value::Str(text) => Some(text),
        Value::Number(number) => Some(Cow::Owned(number_to_text(number).into_bytes())),
        _ => None,
    }
}

/// A number as Lua prints it: integral values have no fraction.
pub(super) fn number_to_text(number: f64) -> String {
    general(number, PRINTED_DIGITS, false)
}

/// An integer argument: fractions are cut off; out of range values stop at the limits, not-a-number is 0.
#[expect(clippy::cast_possible_truncation, reason = "saturating is what is wanted")]
pub(super) fn to_integer(number: f64) -> i64 {
    number as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_numbers_as_lua_does() {
        for (text, number) in [
            ("10", 10.0),
            (" 10\t", 10.0),
            ("-2.5e1", -25.0),
            ("+3", 3.0),
            ("5.", 5.0),
            (".5", 0.5),
            ("0x10", 16.0),
            ("-0xA", -10.0),
            ("0x.8p1", 1.0),
        ] {
            assert_eq!(text_to_number(text.as_bytes()), Some(number), "{text}");
        }
        for text in ["", " ", "-", "1 2", "1e", "inf", "nan", "infinity", "0x", "0xg", "--1", "1_0", ".", "e5"] {
            assert_eq!(text_to_number(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn reads_other_bases() {
        assert_eq!(text_to_number_in_base(b"ff", 16), Some(255.0));
        assert_eq!(text_to_number_in_base(b"0xff", 16), Some(255.0));
        assert_eq!(text_to_number_in_base(b"-101", 2), Some(-5.0));
        assert_eq!(text_to_number_in_base(b"zz", 36), Some(1295.0));
        assert_eq!(text_to_number_in_base(b"12", 2), None);
    }

    #[test]
    fn prints_numbers_as_lua_does() {
        for (number, text) in [
            (1.0, "1"),
            (-0.5, "-0.5"),
            (1000.0, "1000"),
            (1e14, "1e+14"),
            (123_456_789_012.0, "123456789012"),
            (0.1, "0.1"),
            (1.0 / 3.0, "0.33333333333333"),
            (1e100, "1e+100"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
            (1e-5, "1e-05"),
            (0.0001, "0.0001"),
        ] {
            assert_eq!(number_to_text(number), text);
        }
    }
}
