//! Bodies on the wire: finding their end, and writing the chunked coding. RFC 9112 sections 6 and 7.

use super::head::{Framing, Malformed};

/// Bytes that the extensions of one chunk, or the size digits, may have.
const LONGEST_SIZE_LINE: u16 = 512;
/// Digits of a chunk size: more than a `u64` has are padding at best.
const MOST_SIZE_DIGITS: u16 = 16;
/// Bytes of extensions in a whole body: nobody needs them, and they make a small body an expensive one.
const LONGEST_EXTENSIONS: u32 = 16 * 1024;
/// Bytes of all trailer lines.
const LONGEST_TRAILERS: usize = 8 * 1024;
/// Trailers that would change what the message or the connection is, who sent it or who may do what, if a reader merged
/// them with the headers (RFC 9110 section 6.5.1).
const FORBIDDEN_TRAILERS: [&str; 30] = [
    "age",
    "authorization",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "expect",
    "expires",
    "forwarded",
    "host",
    "keep-alive",
    "location",
    "max-forwards",
    "pragma",
    "proxy",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "vary",
    "via",
    "www-authenticate",
];
/// Beginnings of the names of headers that say who a request comes from: what the gateway writes into the head must not
/// be contradicted by the client after the body.
const FORBIDDEN_BEGINNINGS: [&str; 6] = ["if-", "x-forwarded-", "x-real-ip", "x-consumer-", "x-credential-", "x-kong-"];

/// What the decoder found at the start of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// So many bytes of framing are used up; more input is needed.
    More(usize),
    /// After `skip` bytes of framing come `len` bytes of body (at least one).
    Data {
        /// Bytes of framing before the data.
        skip: usize,
        /// Bytes of data.
        len: usize,
    },
    /// After so many bytes of framing the body is complete.
    End(usize),
}

/// Finds body bytes in a stream and where they end.
#[derive(Debug, Default)]
pub struct Decoder {
    state: State,
    line: u16,
    extensions: u32,
    trailers: Vec<u8>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Done,
    Length(u64),
    UntilClose,
    SizeStart,
    Size(u64),
    Extension(u64),
    SizeLf(u64),
    Data(u64),
    DataCr,
    DataLf,
    Trailers,
}

impl Decoder {
    /// A decoder for a body framed in this way.
    #[must_use]
    pub fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::SizeStart,
            Framing::UntilClose => State::UntilClose,
        };
        Self { state, line: 0, extensions: 0, trailers: Vec::new() }
    }

    /// Whether the whole body has been seen.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether the end of the stream is the end of the body.
    #[must_use]
    pub fn ends_with_stream(&self) -> bool {
        matches!(self.state, State::UntilClose | State::Done)
    }

    /// Whether body bytes lie in the stream as they are, so that they can be sent on without a copy.
    #[must_use]
    pub fn is_identity(&self) -> bool {
        matches!(self.state, State::Length(_) | State::UntilClose)
    }

    /// Looks at the start of the input. The caller consumes what the step names, data included.
    pub fn step(&mut self, input: &[u8]) -> Result<Step, Malformed> {
        let mut used = 0;
        loop {
            let rest = input.get(used..).unwrap_or_default();
            match self.state {
                State::Done => return Ok(Step::End(used)),
                _ if rest.is_empty() => return Ok(Step::More(used)),
                State::UntilClose => return Ok(Step::Data { skip: used, len: rest.len() }),
                State::Length(left) => {
                    let (len, left) = take(left, rest.len());
                    self.state = if left == 0 { State::Done } else { State::Length(left) };
                    return Ok(Step::Data { skip: used, len });
                }
                State::Data(left) => {
                    let (len, left) = take(left, rest.len());
                    self.state = if left == 0 { State::DataCr } else { State::Data(left) };
                    return Ok(Step::Data { skip: used, len });
                }
                State::Trailers => {
                    used += self.trailer_bytes(rest)?;
                }
                _ => {
                    self.state = self.framing_byte(rest[0])?;
                    used += 1;
                }
            }
        }
    }

    /// The trailer lines that may be sent on, each with its CRLF. Empty before the end and without trailers.
    pub fn trailers(&self) -> Result<Vec<u8>, Malformed> {
        let mut kept = Vec::new();
        if self.trailers.len() <= 2 {
            return Ok(kept);
        }
        let mut lines = [httparse::EMPTY_HEADER; 64];
        let Ok(httparse::Status::Complete((_, lines))) = httparse::parse_headers(&self.trailers, &mut lines) else {
            return Err(Malformed("trailers"));
        };
        for line in lines {
            if may_trail(line.name) {
                kept.extend_from_slice(line.name.as_bytes());
                kept.extend_from_slice(b": ");
                kept.extend_from_slice(line.value);
                kept.extend_from_slice(b"\r\n");
            }
        }
        Ok(kept)
    }

    fn framing_byte(&mut self, byte: u8) -> Result<State, Malformed> {
        let next = match (self.state, byte) {
            (State::SizeStart, _) if byte.is_ascii_hexdigit() => {
                self.line = 0;
                State::Size(hex(byte))
            }
            (State::Size(size), _) if byte.is_ascii_hexdigit() && self.line < MOST_SIZE_DIGITS => {
                State::Size(size.checked_mul(16).ok_or(Malformed("chunk size"))? + hex(byte))
            }
            (State::Size(size), b';') => {
                self.extensions += 1;
                State::Extension(size)
            }
            (State::Size(size) | State::Extension(size), b'\r') => State::SizeLf(size),
            (State::Extension(size), _) if byte == b'\t' || (byte >= 0x20 && byte != 0x7f) => {
                self.extensions += 1;
                State::Extension(size)
            }
            (State::SizeLf(0), b'\n') => State::Trailers,
            (State::SizeLf(size), b'\n') => State::Data(size),
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::SizeStart,
            _ => return Err(Malformed("chunk framing")),
        };
        self.line += 1;
        if self.line > LONGEST_SIZE_LINE || self.extensions > LONGEST_EXTENSIONS {
            return Err(Malformed("chunk extensions too long"));
        }
        Ok(next)
    }

    /// Takes trailer bytes up to and including the empty line.
    fn trailer_bytes(&mut self, input: &[u8]) -> Result<usize, Malformed> {
        for (index, byte) in input.iter().enumerate() {
            if *byte == b'\n' && self.trailers.last() != Some(&b'\r') {
                return Err(Malformed("bare LF in the trailers"));
            }
            self.trailers.push(*byte);
            if self.trailers == b"\r\n" || self.trailers.ends_with(b"\r\n\r\n") {
                // What would break the next reader's parsing is refused, whether or not it is sent on.
                self.trailers()?;
                self.state = State::Done;
                return Ok(index + 1);
            }
            if self.trailers.len() > LONGEST_TRAILERS {
                return Err(Malformed("trailers too long"));
            }
        }
        Ok(input.len())
    }
}

/// Whether a field may follow the body. Upstreams that make variables of names take `_` for `-`.
fn may_trail(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('_', "-");
    !FORBIDDEN_TRAILERS.contains(&name.as_str())
        && !FORBIDDEN_BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
}

/// Splits `left` bytes that are to come by how many are here.
fn take(left: u64, here: usize) -> (usize, u64) {
    let len = usize::try_from(left).map_or(here, |left| left.min(here));
    (len, left - len as u64)
}

fn hex(digit: u8) -> u64 {
    u64::from(match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    })
}

/// Writes one chunk.
pub fn write_chunk(out: &mut Vec<u8>, data: &[u8]) {
    let mut digits = [0; 16];
    let mut start = digits.len();
    let mut rest = data.len();
    while start == digits.len() || rest > 0 {
        start -= 1;
        digits[start] = b"0123456789abcdef"[rest & 15];
        rest >>= 4;
    }
    out.extend_from_slice(&digits[start..]);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
}

/// Writes the last chunk with trailer lines.
pub fn write_last_chunk(out: &mut Vec<u8>, trailers: &[u8]) {
    out.extend_from_slice(b"0\r\n");
    out.extend_from_slice(trailers);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds the input in pieces; returns the body, the trailers and how much of the input was used.
    fn decode(framing: Framing, input: &[u8], piece: usize) -> Result<(Vec<u8>, Vec<u8>, usize), Malformed> {
        let mut decoder = Decoder::new(framing);
        let (mut body, mut start, mut end) = (Vec::new(), 0, 0);
        loop {
            match decoder.step(&input[start..end])? {
                Step::More(used) if end == input.len() => return Ok((body, b"incomplete".to_vec(), start + used)),
                Step::More(used) => {
                    start += used;
                    end = (end + piece).min(input.len());
                }
                Step::Data { skip, len } => {
                    body.extend_from_slice(&input[start + skip..start + skip + len]);
                    start += skip + len;
                }
                Step::End(used) => return Ok((body, decoder.trailers()?, start + used)),
            }
        }
    }

    #[test]
    fn chunked_in_pieces_of_any_size() {
        let input = b"3\r\nabc\r\n0A;x=\"y\"\r\n0123456789\r\n0\r\nX-T: 1\r\nContent-Length: 9\r\n\r\nGET";
        for piece in 1..input.len() {
            let (body, trailers, used) = decode(Framing::Chunked, input, piece).unwrap();
            assert_eq!((&body[..], &trailers[..], used), (&b"abc0123456789"[..], &b"X-T: 1\r\n"[..], input.len() - 3));
        }
    }

    #[test]
    fn lengths() {
        assert_eq!(decode(Framing::Length(3), b"abcd", 2).unwrap(), (b"abc".to_vec(), vec![], 3));
        assert_eq!(decode(Framing::None, b"abcd", 2).unwrap(), (vec![], vec![], 0));
        assert_eq!(decode(Framing::UntilClose, b"ab", 1).unwrap().0, b"ab");
    }

    #[test]
    fn refuses_bad_chunks() {
        for input in [
            &b"\r\n"[..],
            b"g\r\n",
            b"-1\r\n",
            b"0x1\r\n",
            b" 1\r\n",
            b"1 \r\n",
            b"1\n",
            b"1\r\r\n",
            b"1;\n",
            b"1\r\nab\r\n",
            b"1\r\na\n",
            b"1;a\x00\r\n",
            b"fffffffffffffffff\r\n",
            b"0\r\nx\n\r\n",
            b"0\r\nx y\r\n\r\n",
            b"0\r\n: y\r\n\r\n",
        ] {
            assert!(decode(Framing::Chunked, input, 100).is_err(), "{input:?}");
        }
        let long = [b"1;".to_vec(), vec![b'a'; 600]].concat();
        assert!(decode(Framing::Chunked, &long, 1000).is_err());
        let padded = [vec![b'0'; 16], b"1\r\n".to_vec()].concat();
        assert!(decode(Framing::Chunked, &padded, 100).is_err());
        let flood = b"1;aaaaaaaaaaaaaaa\r\nx\r\n".repeat(2000);
        assert!(decode(Framing::Chunked, &flood, 1000).is_err());
        let long = [b"0\r\nx: ".to_vec(), vec![b'a'; 9000]].concat();
        assert!(decode(Framing::Chunked, &long, 10000).is_err());
    }

    #[test]
    fn trailers_cannot_say_who_asks() {
        let input = b"0\r\nX_Forwarded_For: 1\r\nX-Consumer-Id: 2\r\nCookie: 3\r\nETag: 4\r\nIf-Match: 5\r\n\r\n";
        assert_eq!(decode(Framing::Chunked, input, 100).unwrap().1, b"ETag: 4\r\n");
    }

    #[test]
    fn writes_chunks() {
        let mut out = Vec::new();
        write_chunk(&mut out, &[b'a'; 26]);
        write_last_chunk(&mut out, b"");
        assert_eq!(out, format!("1a\r\n{}\r\n0\r\n\r\n", "a".repeat(26)).into_bytes());
    }
}
