//! What may be a header's name or value.

use std::fmt;

use crate::gateway::forward::WEIGHED;

/// A name or value that must not be sent: the message would no longer parse as it was meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidHeader {
    /// The name is empty or has a byte that is no token character (RFC 9110 section 5.6.2).
    Name,
    /// The value has a line break, a NUL or another control character (RFC 9110 section 5.5).
    Value,
}

impl fmt::Display for InvalidHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "invalid header name",
            Self::Value => "invalid header value",
        })
    }
}

impl std::error::Error for InvalidHeader {}

/// A header name that is known to be one when the program is compiled, so that nothing has to look at it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    pub(super) name: &'static str,
    /// Its lines are written whatever else there is.
    pub(super) plain: bool,
}

impl Known {
    /// A name; to be called for constants.
    ///
    /// # Panics
    /// For what is no name, while the program is compiled.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        let (bytes, mut index) = (name.as_bytes(), 0);
        while index < bytes.len() {
            assert!(TOKEN[bytes[index] as usize], "no header name");
            index += 1;
        }
        assert!(index > 0, "an empty header name");
        let (mut plain, mut index) = (true, 0);
        while index < WEIGHED.len() {
            plain &= !are_alike(bytes, WEIGHED[index].as_bytes());
            index += 1;
        }
        Self { name, plain }
    }

    /// The name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.name
    }
}

/// Whether two names are the same, while the program is compiled.
const fn are_alike(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let (mut alike, mut index) = (true, 0);
    while index < one.len() {
        alike &= one[index].eq_ignore_ascii_case(&other[index]);
        index += 1;
    }
    alike
}

/// The token characters.
static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < 0x80 {
        table[byte as usize] = byte.is_ascii_alphanumeric();
        byte += 1;
    }
    let mut others: &[u8] = b"!#$%&'*+-.^_`|~";
    while let [byte, rest @ ..] = others {
        table[*byte as usize] = true;
        others = rest;
    }
    table
};

// Both checks look at every byte whatever they find: names and values are short and nearly always fine, and loops
// without a way out are what compilers make wide instructions of.

pub(super) fn check_name(name: &str) -> Result<(), InvalidHeader> {
    let fine = name.bytes().fold(!name.is_empty(), |fine, byte| fine & TOKEN[usize::from(byte)]);
    if fine { Ok(()) } else { Err(InvalidHeader::Name) }
}

#[allow(clippy::needless_bitwise_bool, reason = "a branch per byte is what this does without")]
pub(super) fn check_value(value: &[u8]) -> Result<(), InvalidHeader> {
    let fine = value.iter().fold(true, |fine, byte| fine & ((*byte == b'\t') | ((*byte >= 0x20) & (*byte != 0x7f))));
    if fine { Ok(()) } else { Err(InvalidHeader::Value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_fit_for_a_name_or_value_or_not() {
        for byte in 0..=u8::MAX {
            let token = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            let name = String::from(char::from(byte));
            assert_eq!(check_name(&name).is_ok(), token, "{byte}");
            let fine = byte == b'\t' || (byte >= 0x20 && byte != 0x7f);
            assert_eq!(check_value(&[b'a', byte, b'b']).is_ok(), fine, "{byte}");
        }
    }
}
