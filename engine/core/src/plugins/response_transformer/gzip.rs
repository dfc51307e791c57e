//! Bodies that an upstream has compressed (RFC 1952).

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

use crate::message::Headers;
use crate::phases::passage::Unfit;

/// Bytes that a body may have once it is not compressed any more: compressing them again takes a thread's time.
const MOST_BYTES: u64 = 4 * 1024 * 1024;

/// How a body is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Plain,
    Gzip,
    /// In a way that is not known here.
    Other,
}

impl Coding {
    pub(super) fn of(headers: &Headers) -> Self {
        let is = |coding: &[u8], name: &str| coding.eq_ignore_ascii_case(name.as_bytes());
        let mut codings = headers.get_all("content-encoding").filter(|coding| !is(coding, "identity"));
        match (codings.next(), codings.next()) {
            (None, _) => Self::Plain,
            (Some(only), None) if is(only, "gzip") || is(only, "x-gzip") => Self::Gzip,
            _ => Self::Other,
        }
    }
}

/// The body as it was. Refused if it is no such body, or larger than is worked on.
pub(super) fn inflate(body: &[u8]) -> Result<Vec<u8>, Unfit> {
    let mut plain = Vec::new();
    let read = MultiGzDecoder::new(body).take(MOST_BYTES + 1).read_to_end(&mut plain);
    if read.is_ok() && plain.len() as u64 <= MOST_BYTES { Ok(plain) } else { Err(Unfit) }
}

pub(super) fn deflate(plain: &[u8]) -> Result<Vec<u8>, Unfit> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(plain).and_then(|()| encoder.finish()).map_err(|_| Unfit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bomb_is_not_unpacked() {
        let packed = deflate(&vec![b' '; 4 * 1024 * 1024]).unwrap();
        assert_eq!(inflate(&packed).map(|plain| plain.len()), Ok(4 * 1024 * 1024));
        let bomb = deflate(&vec![b' '; 4 * 1024 * 1024 + 1]).unwrap();
        assert_eq!(inflate(&bomb), Err(Unfit));
        let members = deflate(&vec![b' '; 1 << 20]).unwrap().repeat(5);
        assert_eq!(inflate(&members), Err(Unfit));
        assert_eq!((inflate(b"{}"), inflate(&packed[..packed.len() - 1])), (Err(Unfit), Err(Unfit)));
    }
}
