//! `a=1&b=2`: what a query or a form body says, read without making a table of it.

use std::borrow::Cow;

/// Name and value of each argument, in order, decoded; a name alone has no value. Arguments without a name are left out.
pub fn pairs(text: &[u8]) -> impl Iterator<Item = (Cow<'_, [u8]>, Option<Cow<'_, [u8]>>)> {
    pieces(text).map(split).filter(|(name, _)| !name.is_empty())
}

/// The values of a name, decoded; empty for a name alone.
pub fn values<'t>(text: &'t [u8], name: &'t [u8]) -> impl Iterator<Item = Cow<'t, [u8]>> {
    pieces(text).filter(move |piece| is_named(piece, name)).map(|piece| split(piece).1.unwrap_or_default())
}

/// The arguments of other names, as they were written. `None` if there is none of this name.
#[must_use]
pub fn without(text: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    pieces(text).find(|piece| is_named(piece, name))?;
    let others = pieces(text).filter(|piece| !is_named(piece, name));
    Some(others.collect::<Vec<_>>().join(&b'&'))
}

fn pieces(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'&')
}

/// Whether an argument has this name; one without a name has none.
fn is_named(piece: &[u8], name: &[u8]) -> bool {
    // Decoding makes nothing longer.
    !name.is_empty() && piece.len() >= name.len() && {
        let end = memchr::memchr(b'=', piece).unwrap_or(piece.len());
        *unescape(&piece[..end]) == *name
    }
}

fn split(piece: &[u8]) -> (Cow<'_, [u8]>, Option<Cow<'_, [u8]>>) {
    match memchr::memchr(b'=', piece) {
        Some(at) => (unescape(&piece[..at]), Some(unescape(&piece[at + 1..]))),
        None => (unescape(piece), None),
    }
}

/// Decodes `%XX` and `+`; broken escapes stand for themselves.
#[must_use]
pub fn unescape(text: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr2(b'%', b'+', text).is_none() {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        match (byte, tail) {
            (b'+', _) => out.push(b' '),
            (b'%', [high, low, tail @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    out.push((high << 4) | low);
                    rest = tail;
                }
                _ => out.push(b'%'),
            },
            _ => out.push(*byte),
        }
    }
    Cow::Owned(out)
}

fn hex(digit: u8) -> Option<u8> {
    (digit as char).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_and_takes_out() {
        let query = b"a=1&k%65y=s+e%20c&&b&key=2&=x&key";
        let found: Vec<_> = values(query, b"key").map(Cow::into_owned).collect();
        assert_eq!(found, [&b"s e c"[..], b"2", b""]);
        assert_eq!(without(query, b"key").as_deref(), Some(&b"a=1&&b&=x"[..]));
        assert_eq!(without(query, b"c"), None);
        assert_eq!(without(b"key=1", b"key").as_deref(), Some(&b""[..]));
        assert_eq!(pairs(query).count(), 5);
    }
}
