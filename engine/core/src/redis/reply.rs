//! What a server says (RESP2, <https://redis.io/docs/latest/develop/reference/protocol-spec/>), as far as it is ever asked
//! for here: statuses, errors, numbers and lists of numbers.

/// Longest reply. A server that says more is none that was asked for numbers.
pub(super) const LARGEST: usize = 96 * 1024;
/// Numbers in a list.
pub(super) const MOST_NUMBERS: usize = 4096;

/// A reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    /// It was done.
    Done,
    /// A number, or several.
    Numbers(Vec<i64>),
    /// The script is not known.
    NoScript,
    /// Any other error. What it says may hold what was sent, so nobody keeps it.
    Refused,
}

/// What came is no such reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Garbled;

/// Reads a reply from the start of what came; `None` if there is more to come.
pub(super) fn read(received: &[u8]) -> Result<Option<(Reply, usize)>, Garbled> {
    let Some((kind, text, mut end)) = line(received)? else { return Ok(None) };
    let reply = match kind {
        b'+' => Reply::Done,
        b'-' if text.starts_with(b"NOSCRIPT") => Reply::NoScript,
        b'-' => Reply::Refused,
        b':' => Reply::Numbers(vec![number(text)?]),
        b'*' => {
            let count = usize::try_from(number(text)?).ok().filter(|count| *count <= MOST_NUMBERS).ok_or(Garbled)?;
            let mut numbers = Vec::with_capacity(count);
            for _ in 0..count {
                let Some((b':', text, length)) = line(received.get(end..).unwrap_or_default())? else {
                    // A line of another kind is garbled, one that is not there yet is not.
                    return match received.get(end) {
                        None | Some(b':') => Ok(None),
                        Some(_) => Err(Garbled),
                    };
                };
                numbers.push(number(text)?);
                end += length;
            }
            Reply::Numbers(numbers)
        }
        _ => return Err(Garbled),
    };
    Ok(Some((reply, end)))
}

/// A line: its kind, its text, and its length with the line break.
type Line<'r> = (u8, &'r [u8], usize);

/// The first line.
fn line(received: &[u8]) -> Result<Option<Line<'_>>, Garbled> {
    let Some(end) = memchr::memchr(b'\n', received) else {
        return if received.len() < LARGEST { Ok(None) } else { Err(Garbled) };
    };
    match received.get(..end).and_then(|line| line.strip_suffix(b"\r")) {
        Some([kind, text @ ..]) => Ok(Some((*kind, text, end + 1))),
        _ => Err(Garbled),
    }
}

fn number(text: &[u8]) -> Result<i64, Garbled> {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(Garbled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_read_as_they_arrive() {
        let cases: [(&[u8], Reply); 7] = [
            (b"+OK\r\n", Reply::Done),
            (b":-7\r\n", Reply::Numbers(vec![-7])),
            (b"*0\r\n", Reply::Numbers(vec![])),
            (b"*2\r\n:1\r\n:9007199254740992\r\n", Reply::Numbers(vec![1, 9_007_199_254_740_992])),
            (b"-NOSCRIPT No matching script.\r\n", Reply::NoScript),
            (b"-WRONGPASS invalid\r\n", Reply::Refused),
            (b"-MOVED 3999 127.0.0.1:6381\r\n", Reply::Refused),
        ];
        for (bytes, expected) in cases {
            for length in 0..bytes.len() {
                assert_eq!(read(&bytes[..length]), Ok(None), "{bytes:?} {length}");
            }
            let more = [bytes, b"+more"].concat();
            assert_eq!(read(&more), Ok(Some((expected, bytes.len()))));
        }
    }

    #[test]
    fn what_nobody_asked_for_is_garbled() {
        let long = vec![b'+'; LARGEST];
        let cases: [&[u8]; 14] = [
            b"HTTP/1.1 400 Bad Request\r\n",
            b"\r\n",
            b"\n",
            b"+OK\n",
            b"$3\r\nabc\r\n",
            b"$-1\r\n",
            b"*-1\r\n",
            b"*4097\r\n",
            b"*99999999999999999999\r\n",
            b"*1\r\n*1\r\n",
            b"*1\r\n$",
            b":\r\n",
            b":12x\r\n",
            &long,
        ];
        for bytes in cases {
            assert_eq!(read(bytes), Err(Garbled), "{:?}", String::from_utf8_lossy(bytes));
        }
    }
}
