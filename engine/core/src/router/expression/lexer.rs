//! The words of an expression.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A field, a transformation, `in`, `not` or `contains`.
    Word(String),
    /// One of [`SYMBOLS`].
    Symbol(&'static str),
    Text(String),
    Number(i64),
    Address(IpAddr),
    Network(IpNet),
}

/// Longer ones come before their beginnings.
const SYMBOLS: [&str; 15] = ["==", "!=", "=^", "^=", ">=", "<=", "&&", "||", "~", ">", "<", "!", "(", ")", "="];

/// The tokens, each with its place in bytes.
pub(super) fn tokens(text: &str) -> Result<Vec<(usize, Token)>, String> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(char) = text[at..].chars().next() {
        let rest = &text[at..];
        if matches!(char, ' ' | '\t' | '\r' | '\n') {
            at += 1;
            continue;
        }
        let (token, length) = if char == '"' {
            quoted(rest).ok_or_else(|| format!("unfinished or ill-escaped string at {at}"))?
        } else if rest.starts_with("r#\"") {
            let end = rest.find("\"#").filter(|&end| end >= 3);
            let end = end.ok_or_else(|| format!("unfinished raw string at {at}"))?;
            (Token::Text(rest[3..end].to_owned()), end + 2)
        } else if char.is_ascii_alphanumeric() || char == '-' || char == ':' {
            let length = rest.bytes().skip(1).take_while(|&byte| is_of_word(byte)).count() + 1;
            let word = &rest[..length];
            (word_token(word).ok_or_else(|| format!("cannot read '{word}' at {at}"))?, length)
        } else {
            let symbol = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol) && **symbol != "=");
            let symbol = symbol.ok_or_else(|| format!("unexpected '{char}' at {at}"))?;
            (Token::Symbol(symbol), symbol.len())
        };
        found.push((at, token));
        at += length;
    }
    Ok(found)
}

fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_.:/".contains(&byte)
}

/// A text in double quotes, and how long it is with them.
fn quoted(text: &str) -> Option<(Token, usize)> {
    let mut value = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, char)) = chars.next() {
        value.push(match char {
            '"' => return Some((Token::Text(value), at + 1)),
            '\\' => match chars.next()?.1 {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                own @ ('\\' | '"') => own,
                _ => return None,
            },
            char => char,
        });
    }
    None
}

fn word_token(word: &str) -> Option<Token> {
    if let Some((address, bits)) = word.split_once('/') {
        let address: IpAddr = address_of(address)?;
        let plain = (1..=3).contains(&bits.len()) && bits.bytes().all(|byte| byte.is_ascii_digit());
        let network = IpNet::new(address, bits.parse().ok().filter(|_| plain)?).ok()?;
        // Bits of the host would be ignored, which nobody means who writes them.
        return (network.network() == address).then_some(Token::Network(network));
    }
    let digits = word.strip_prefix('-').unwrap_or(word);
    if !word.contains(':') && digits.starts_with(|first: char| first.is_ascii_digit()) && !word.contains('.') {
        return number(word);
    }
    if word.contains(':') || digits.starts_with(|first: char| first.is_ascii_digit()) {
        return address_of(word).map(Token::Address);
    }
    let well_formed = word.split('.').all(|part| !part.is_empty()) && word.starts_with(|first: char| first != '-');
    well_formed.then(|| Token::Word(word.to_owned()))
}

fn address_of(text: &str) -> Option<IpAddr> {
    if text.contains(':') {
        text.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
    } else {
        text.parse::<Ipv4Addr>().ok().map(IpAddr::V4)
    }
}

/// Decimal, hexadecimal after `0x`, octal after `0`.
fn number(text: &str) -> Option<Token> {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |digits| ("-", digits));
    let (radix, digits) = match digits.strip_prefix("0x") {
        Some(digits) => (16, digits),
        None if digits.len() > 1 && digits.starts_with('0') => (8, &digits[1..]),
        None => (10, digits),
    };
    i64::from_str_radix(&format!("{sign}{digits}"), radix).ok().map(Token::Number)
}
