//! Text to tokens.

use super::SyntaxError;
use super::coercion::parse_number;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Name(Box<str>),
    Str(Box<[u8]>),
    Number(f64),
    /// An operator, punctuation mark or keyword, by its spelling.
    Symbol(&'static str),
    End,
}

impl Token {
    /// How messages quote the token.
    pub(super) fn spelling(&self) -> String {
        match self {
            Self::Name(name) => name.to_string(),
            Self::Str(text) => String::from_utf8_lossy(text).into_owned(),
            Self::Number(number) => number.to_string(),
            Self::Symbol(symbol) => (*symbol).to_owned(),
            Self::End => "<eof>".to_owned(),
        }
    }
}

/// Longest first: the lexer takes the first that fits.
const SYMBOLS: &[&str] = &[
    "...", "..", "==", "~=", "<=", ">=", "+", "-", "*", "/", "%", "^", "#", "<", ">", "=", "(", ")", "{", "}", "[",
    "]", ";", ":", ",", ".",
];

/// Lua's reserved words. Those that begin statements are known too, so that they make a clear error.
const KEYWORDS: &[&str] = &[
    "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if", "in", "local", "nil",
    "not", "or", "repeat", "return", "then", "true", "until", "while",
];

/// All tokens of `source`, the last being [`Token::End`].
pub(super) fn tokens(source: &[u8]) -> Result<Vec<Token>, SyntaxError> {
    let mut lexer = Lexer { source, at: 0 };
    let mut out = Vec::new();
    loop {
        let token = lexer.next()?;
        let done = token == Token::End;
        out.push(token);
        if done {
            return Ok(out);
        }
    }
}

fn error(message: impl Into<String>) -> SyntaxError {
    SyntaxError(message.into().into())
}

struct Lexer<'s> {
    source: &'s [u8],
    at: usize,
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> Option<u8> {
        self.source.get(self.at + ahead).copied()
    }

    fn rest(&self) -> &[u8] {
        self.source.get(self.at..).unwrap_or_default()
    }

    fn next(&mut self) -> Result<Token, SyntaxError> {
        self.skip_blanks()?;
        let Some(byte) = self.peek(0) else { return Ok(Token::End) };
        match byte {
            b'"' | b'\'' => self.quoted(byte),
            b'[' if matches!(self.peek(1), Some(b'[' | b'=')) => match self.long_bracket()? {
                Some(text) => Ok(Token::Str(text)),
                None => Ok(self.symbol("[")),
            },
            b'0'..=b'9' => self.number(),
            b'.' if self.peek(1).is_some_and(|next| next.is_ascii_digit()) => self.number(),
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => Ok(self.name()),
            _ => match SYMBOLS.iter().find(|symbol| self.rest().starts_with(symbol.as_bytes())) {
                Some(symbol) => Ok(self.symbol(symbol)),
                None => Err(error(format!("unexpected symbol near '{}'", (byte as char).escape_default()))),
            },
        }
    }

    fn symbol(&mut self, symbol: &'static str) -> Token {
        self.at += symbol.len();
        Token::Symbol(symbol)
    }

    fn skip_blanks(&mut self) -> Result<(), SyntaxError> {
        loop {
            while self.peek(0).is_some_and(|byte| byte.is_ascii_whitespace() || byte == 0x0b) {
                self.at += 1;
            }
            if !self.rest().starts_with(b"--") {
                return Ok(());
            }
            self.at += 2;
            if self.peek(0) == Some(b'[') && self.long_bracket()?.is_some() {
                continue;
            }
            while self.peek(0).is_some_and(|byte| byte != b'\n') {
                self.at += 1;
            }
        }
    }

    fn name(&mut self) -> Token {
        let start = self.at;
        while self.peek(0).is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            self.at += 1;
        }
        let name = String::from_utf8_lossy(&self.source[start..self.at]);
        match KEYWORDS.iter().find(|keyword| **keyword == name) {
            Some(keyword) => Token::Symbol(keyword),
            None => Token::Name(name.into()),
        }
    }

    fn number(&mut self) -> Result<Token, SyntaxError> {
        let start = self.at;
        let hexadecimal = self.peek(0) == Some(b'0') && matches!(self.peek(1), Some(b'x' | b'X'));
        while let Some(byte) = self.peek(0) {
            let exponent = if hexadecimal { matches!(byte, b'p' | b'P') } else { matches!(byte, b'e' | b'E') };
            if exponent && matches!(self.peek(1), Some(b'+' | b'-')) {
                self.at += 2;
            } else if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_') {
                self.at += 1;
            } else {
                break;
            }
        }
        let text = &self.source[start..self.at];
        parse_number(text)
            .map(Token::Number)
            .ok_or_else(|| error(format!("malformed number near '{}'", String::from_utf8_lossy(text))))
    }

    /// A long bracket at the current place, or None when `[` opens something else (and nothing is consumed).
    fn long_bracket(&mut self) -> Result<Option<Box<[u8]>>, SyntaxError> {
        let level = self.rest().iter().skip(1).take_while(|byte| **byte == b'=').count();
        if self.peek(level + 1) != Some(b'[') {
            return Ok(None);
        }
        let mut start = self.at + level + 2;
        // A line break right after the opening bracket is not part of the text.
        match (self.source.get(start), self.source.get(start + 1)) {
            (Some(b'\r'), Some(b'\n')) | (Some(b'\n'), Some(b'\r')) => start += 2,
            (Some(b'\r' | b'\n'), _) => start += 1,
            _ => {}
        }
        let mut closing = vec![b'='; level + 2];
        closing[0] = b']';
        closing[level + 1] = b']';
        let body = self.source.get(start..).unwrap_or_default();
        let Some(length) = body.windows(closing.len()).position(|window| window == closing) else {
            return Err(error("unfinished long string"));
        };
        self.at = start + length + closing.len();
        Ok(Some(body[..length].into()))
    }

    fn quoted(&mut self, quote: u8) -> Result<Token, SyntaxError> {
        self.at += 1;
        let mut text = Vec::new();
        loop {
            let Some(byte) = self.peek(0) else { return Err(error("unfinished string")) };
            self.at += 1;
            match byte {
                b'\\' => self.escape(&mut text)?,
                b'\n' | b'\r' => return Err(error("unfinished string")),
                _ if byte == quote => return Ok(Token::Str(text.into())),
                _ => text.push(byte),
            }
        }
    }

    fn escape(&mut self, text: &mut Vec<u8>) -> Result<(), SyntaxError> {
        let invalid = || error("invalid escape sequence");
        let byte = self.peek(0).ok_or_else(|| error("unfinished string"))?;
        self.at += 1;
        text.push(match byte {
            b'a' => 0x07,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' | b'\n' => b'\n',
            b'r' | b'\r' => b'\r',
            b't' => b'\t',
            b'v' => 0x0b,
            b'\\' | b'"' | b'\'' => byte,
            b'x' => {
                let digits = self.rest().get(..2).ok_or_else(invalid)?;
                let value = hex(digits).and_then(|value| u8::try_from(value).ok()).ok_or_else(invalid)?;
                self.at += 2;
                value
            }
            b'0'..=b'9' => {
                let mut value = u32::from(byte - b'0');
                for _ in 0..2 {
                    let Some(digit @ b'0'..=b'9') = self.peek(0) else { break };
                    value = value * 10 + u32::from(digit - b'0');
                    self.at += 1;
                }
                u8::try_from(value).map_err(|_| invalid())?
            }
            b'z' => {
                while self.peek(0).is_some_and(|byte| byte.is_ascii_whitespace()) {
                    self.at += 1;
                }
                return Ok(());
            }
            b'u' => {
                let length = self.rest().iter().position(|byte| *byte == b'}').ok_or_else(invalid)?;
                let digits = self.rest().get(1..length).filter(|_| self.peek(0) == Some(b'{'));
                let code = digits.and_then(hex).and_then(char::from_u32).ok_or_else(invalid)?;
                self.at += length + 1;
                text.extend_from_slice(code.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return Err(invalid()),
        });
        Ok(())
    }
}

fn hex(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    digits.iter().try_fold(0_u32, |value, digit| Some((value << 4) | (*digit as char).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(source: &str) -> Vec<u8> {
        match tokens(source.as_bytes()).unwrap().remove(0) {
            Token::Str(text) => text.into(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn strings_know_all_escapes() {
        assert_eq!(strings(r#""a\n\t\\\"\'\65\x42\u{20ac}\z   c""#), "a\n\t\\\"'AB\u{20ac}c".as_bytes());
        assert_eq!(strings("'it''s'"), b"it");
        assert_eq!(strings("\"\\999\"".replace("999", "255").as_str()), [255]);
    }

    #[test]
    fn long_brackets_take_everything() {
        assert_eq!(strings("[[a]b\\n]]"), b"a]b\\n");
        assert_eq!(strings("[==[\na]]b]=]]==]"), b"a]]b]=]");
    }

    #[test]
    fn broken_text_is_refused() {
        for source in
            ["'a", "'a\nb'", "[[a", "[=[a]]", r"'\q'", r"'\300'", r"'\xg0'", r"'\u{110000}'", "1x", "0x", "@", "é"]
        {
            assert!(tokens(source.as_bytes()).is_err(), "{source}");
        }
    }

    #[test]
    fn comments_and_symbols() {
        let found = tokens(b"a --[[ x ]] ..b -- end\n~= 0x10 1e2 .5 3..4").unwrap_err();
        assert!(found.to_string().contains("malformed number"));
        let found = tokens(b"a --[[ x ]] ..b -- end\n~= 0x10 1e2 .5").unwrap();
        assert_eq!(found.len(), 8);
        assert_eq!(found[5], Token::Number(100.0));
    }
}
