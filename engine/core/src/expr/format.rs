//! Numbers as text: C's `%g`, and `string.format`.

use super::library::Arguments;
use super::{Budget, Fault};

/// Widths and precisions that `string.format` takes, as in Lua: two digits.
const MAX_FIGURE: usize = 99;

/// C's `%.{precision}g`; `alternate` keeps trailing zeros, as the flag `#` does.
pub(super) fn general(number: f64, precision: usize, alternate: bool) -> String {
    if !number.is_finite() {
        return not_finite(number);
    }
    let precision = precision.max(1);
    // Rounding to the wanted digits decides the exponent, so it is read from the rounded form.
    let rounded = format!("{number:.*e}", precision - 1);
    let Some((mantissa, exponent)) = rounded.split_once('e') else { return rounded };
    let exponent = exponent.parse::<i32>().unwrap_or(0);
    let digits = i32::try_from(precision).unwrap_or(i32::MAX);
    if exponent < -4 || exponent >= digits {
        let mantissa = if alternate { mantissa } else { without_zeros(mantissa) };
        return format!("{mantissa}e{}", exponent_text(exponent));
    }
    let decimals = usize::try_from(digits - 1 - exponent).unwrap_or(0);
    let plain = format!("{number:.decimals$}");
    if alternate { plain } else { without_zeros(&plain).to_owned() }
}

/// C's `%.{precision}e`.
fn exponential(number: f64, precision: usize) -> String {
    if !number.is_finite() {
        return not_finite(number);
    }
    let text = format!("{number:.precision$e}");
    match text.split_once('e') {
        Some((mantissa, exponent)) => format!("{mantissa}e{}", exponent_text(exponent.parse().unwrap_or(0))),
        None => text,
    }
}

fn exponent_text(exponent: i32) -> String {
    format!("{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.unsigned_abs())
}

fn not_finite(number: f64) -> String {
    let text = if number.is_nan() { "nan" } else { "inf" };
    if number == f64::NEG_INFINITY { format!("-{text}") } else { text.to_owned() }
}

fn without_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

/// One conversion between `%` and its letter.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "the flags of C's printf are independent of each other")]
struct Directive {
    left: bool,
    plus: bool,
    space: bool,
    alternate: bool,
    zero: bool,
    width: usize,
    precision: Option<usize>,
}

/// `string.format(format, …)`.
pub(super) fn format(budget: &mut Budget, arguments: &mut Arguments<'_>) -> Result<Vec<u8>, Fault> {
    let template = arguments.text(1)?;
    let mut out = Vec::new();
    let mut rest = &template[..];
    let mut place = 1;
    while let Some((byte, tail)) = rest.split_first() {
        budget.bytes(1)?;
        rest = tail;
        if *byte != b'%' {
            out.push(*byte);
        } else if let Some(tail) = rest.strip_prefix(b"%") {
            out.push(b'%');
            rest = tail;
        } else {
            let (directive, letter, tail) = directive(rest)?;
            rest = tail;
            place += 1;
            let text = directive.convert(letter, place, arguments)?;
            budget.bytes(text.len())?;
            out.extend_from_slice(&text);
        }
    }
    Ok(out)
}

fn directive(mut text: &[u8]) -> Result<(Directive, u8, &[u8]), Fault> {
    let mut found = Directive::default();
    while let Some((byte, rest)) = text.split_first() {
        match byte {
            b'-' => found.left = true,
            b'+' => found.plus = true,
            b' ' => found.space = true,
            b'#' => found.alternate = true,
            b'0' => found.zero = true,
            _ => break,
        }
        text = rest;
    }
    (found.width, text) = figure(text)?;
    if let [b'.', rest @ ..] = text {
        let (precision, rest) = figure(rest)?;
        found.precision = Some(precision);
        text = rest;
    }
    match text.split_first() {
        Some((letter, rest)) => Ok((found, *letter, rest)),
        None => Err(Fault::runtime("invalid option '%' to 'format'")),
    }
}

fn figure(mut text: &[u8]) -> Result<(usize, &[u8]), Fault> {
    let mut value = 0;
    while let Some((digit @ b'0'..=b'9', rest)) = text.split_first() {
        value = value * 10 + usize::from(digit - b'0');
        if value > MAX_FIGURE {
            return Err(Fault::runtime("invalid format (width or precision too long)"));
        }
        text = rest;
    }
    Ok((value, text))
}

impl Directive {
    fn convert(&self, letter: u8, place: usize, arguments: &mut Arguments<'_>) -> Result<Vec<u8>, Fault> {
        let precision = self.precision.unwrap_or(6);
        Ok(match letter {
            b'd' | b'i' => {
                let number = arguments.integer(place)?;
                self.number(&self.digits(number.unsigned_abs().to_string()), number < 0, self.precision.is_none())
            }
            b'u' | b'x' | b'X' | b'o' => {
                let number = arguments.integer(place)?;
                let (text, mark) = match letter {
                    b'u' => (number.cast_unsigned().to_string(), ""),
                    b'x' => (format!("{number:x}"), "0x"),
                    b'X' => (format!("{number:X}"), "0X"),
                    _ => (format!("{number:o}"), "0"),
                };
                let mark = if self.alternate && number != 0 { mark } else { "" };
                self.number(&format!("{mark}{}", self.digits(text)), false, self.precision.is_none())
            }
            b'e' | b'E' | b'f' | b'F' | b'g' | b'G' => {
                let number = arguments.number(place)?;
                let magnitude = number.abs();
                let text = match letter.to_ascii_lowercase() {
                    b'e' => exponential(magnitude, precision),
                    b'f' if magnitude.is_finite() => format!("{magnitude:.precision$}"),
                    b'f' => not_finite(magnitude),
                    _ => general(magnitude, precision, self.alternate),
                };
                let text = if letter.is_ascii_uppercase() { text.to_ascii_uppercase() } else { text };
                self.number(&text, number.is_sign_negative() && !number.is_nan(), number.is_finite())
            }
            b'c' => {
                let code = arguments.integer(place)?;
                self.pad(vec![u8::try_from(code & 0xff).unwrap_or(0)])
            }
            b's' => {
                let text = arguments.any(place)?.display();
                self.pad(text[..self.precision.unwrap_or(text.len()).min(text.len())].to_vec())
            }
            b'q' => quoted(&arguments.text(place)?),
            _ => {
                let letter = (letter as char).escape_default();
                return Err(Fault::runtime(format!("invalid option '%{letter}' to 'format'")));
            }
        })
    }

    /// Digits of an integer, filled up to the precision.
    fn digits(&self, text: String) -> String {
        match self.precision {
            Some(precision) if text.len() < precision => format!("{text:0>precision$}"),
            _ => text,
        }
    }

    /// Sign and padding; zeros go between the sign and the digits, if the conversion takes zeros at all.
    fn number(&self, magnitude: &str, negative: bool, zeros: bool) -> Vec<u8> {
        let sign = match (negative, self.plus, self.space) {
            (true, ..) => "-",
            (_, true, _) => "+",
            (_, _, true) => " ",
            _ => "",
        };
        if self.zero && zeros && !self.left {
            let width = self.width.saturating_sub(sign.len());
            return format!("{sign}{magnitude:0>width$}").into_bytes();
        }
        self.pad(format!("{sign}{magnitude}").into_bytes())
    }

    fn pad(&self, mut text: Vec<u8>) -> Vec<u8> {
        let missing = self.width.saturating_sub(text.len());
        if self.left {
            text.resize(text.len() + missing, b' ');
        } else {
            text.splice(0..0, std::iter::repeat_n(b' ', missing));
        }
        text
    }
}

/// A string as a literal that Lua reads back.
fn quoted(text: &[u8]) -> Vec<u8> {
    let mut out = vec![b'"'];
    for byte in text {
        match byte {
            b'"' | b'\\' | b'\n' => out.extend_from_slice(&[b'\\', *byte]),
            b'\r' => out.extend_from_slice(b"\\r"),
            0 => out.extend_from_slice(b"\\000"),
            _ => out.push(*byte),
        }
    }
    out.push(b'"');
    out
}
