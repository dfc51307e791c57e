//! Base64 (RFC 4648 sections 4 and 5). Decoding is strict: no blanks, nothing after the padding, no stray bits.

/// Encodes bytes, with padding.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for piece in bytes.chunks(3) {
        let byte = |index: usize| u32::from(piece.get(index).copied().unwrap_or_default());
        let bits = (byte(0) << 16) | (byte(1) << 8) | byte(2);
        for (place, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            out.push(if place > piece.len() { '=' } else { char::from(DIGITS[(bits >> shift) as usize & 63]) });
        }
    }
    out
}

/// Decodes text with or without padding; `None` if it is no base64.
#[must_use]
pub fn decode(text: &[u8]) -> Option<Vec<u8>> {
    decode_by(text, value)
}

/// The same in the alphabet for URLs and file names.
#[must_use]
pub fn decode_url(text: &[u8]) -> Option<Vec<u8>> {
    decode_by(text, |digit| match digit {
        b'-' => Some(62),
        b'_' => Some(63),
        b'+' | b'/' => None,
        other => value(other),
    })
}

fn decode_by(text: &[u8], value: impl Fn(u8) -> Option<u8>) -> Option<Vec<u8>> {
    let digits = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
    if digits.len() % 4 == 1 || (digits.len() < text.len() && !text.len().is_multiple_of(4)) {
        return None;
    }
    let mut out = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    let (mut bits, mut count) = (0_u32, 0);
    for digit in digits {
        bits = (bits << 6) | u32::from(value(*digit)?);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push(u8::try_from((bits >> count) & 0xff).ok()?);
            bits &= (1 << count) - 1;
        }
    }
    (bits == 0).then_some(out)
}

fn value(digit: u8) -> Option<u8> {
    match digit {
        b'A'..=b'Z' => Some(digit - b'A'),
        b'a'..=b'z' => Some(digit - b'a' + 26),
        b'0'..=b'9' => Some(digit - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alphabets_are_not_mixed() {
        assert_eq!((decode(b"+/8="), decode_url(b"-_8")), (Some(vec![0xfb, 0xff]), Some(vec![0xfb, 0xff])));
        assert_eq!((decode(b"-_8="), decode_url(b"+/8")), (None, None));
    }

    #[test]
    fn encodes_what_it_decodes() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")] {
            assert_eq!(encode(bytes.as_bytes()), text);
        }
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(decode(encode(&all).as_bytes()), Some(all));
    }

    #[test]
    fn decodes_what_is_base64_only() {
        // RFC 4648 section 10.
        for (text, expected) in
            [("", ""), ("Zg==", "f"), ("Zg", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYmFy", "foobar")]
        {
            assert_eq!(decode(text.as_bytes()).as_deref(), Some(expected.as_bytes()), "{text}");
        }
        for wrong in ["Z", "Zg=", "Zh==", "Zm 9", "Zm9v\n", "=", "====", "Zg==Zg=="] {
            assert_eq!(decode(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
