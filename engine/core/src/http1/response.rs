//! Reads the head of an upstream's response.

use std::mem::MaybeUninit;

use memchr::memmem;

use super::body::{Decoder, Step};
use super::head::{ConnectionOptions, FEW_LINES, Framing, FramingHeaders, Lines, MOST_LINES, Malformed, span_in};
use crate::message::ResponseHead;

/// What a response head says about the connection and the body.
#[derive(Debug, Default)]
pub struct ResponseFraming {
    /// How long the body is, for a request that may have one in its response.
    pub framing: Framing,
    /// Value of `Content-Length`, which answers to `HEAD` carry without a body.
    pub keep_alive: bool,
    /// Whether the upstream switched to WebSocket.
    pub websocket: bool,
    connection: ConnectionOptions,
}

/// How a response begins.
const BEGINNING: &[u8] = b"HTTP/1.";

/// Whether another response follows a body framed in this way, as far as the bytes behind its head tell.
#[must_use]
pub fn is_followed(framing: Framing, bytes: &[u8]) -> bool {
    let surplus = match framing {
        Framing::None => Some(bytes),
        Framing::Length(length) => usize::try_from(length).ok().and_then(|length| bytes.get(length..)),
        // Looked through quickly before it is looked at closely, which nearly all are spared.
        Framing::Chunked if memmem::find(bytes, b"\r\n\r\nHTTP/1.").is_some() => behind_chunks(bytes),
        Framing::Chunked | Framing::UntilClose => None,
    };
    surplus.is_some_and(|surplus| surplus.starts_with(BEGINNING))
}

/// What follows a chunked body, if its end is there.
fn behind_chunks(bytes: &[u8]) -> Option<&[u8]> {
    let (mut decoder, mut rest) = (Decoder::new(Framing::Chunked), bytes);
    loop {
        let used = match decoder.step(rest).ok()? {
            Step::End(used) => return rest.get(used..),
            Step::Data { skip, len } => skip + len,
            Step::More(_) => return None,
        };
        rest = rest.get(used..)?;
    }
}

/// Parses a complete head. `to_head` says that the request was a `HEAD`. Hop-by-hop headers and `Content-Length` do
/// not enter the list, except `Content-Length` where no body follows.
pub fn parse(
    bytes: &[u8],
    to_head: bool,
    head: &mut ResponseHead,
    framing: &mut ResponseFraming,
) -> Result<(), Malformed> {
    let mut few: Lines<'_, FEW_LINES> = [const { MaybeUninit::uninit() }; FEW_LINES];
    let config = httparse::ParserConfig::default();
    let mut response = httparse::Response::new(&mut []);
    match config.parse_response_with_uninit_headers(&mut response, bytes, &mut few) {
        Ok(httparse::Status::Complete(length)) if length == bytes.len() => {
            fill(bytes, to_head, &response, head, framing)
        }
        Err(httparse::Error::TooManyHeaders) => {
            let mut many = vec![MaybeUninit::uninit(); MOST_LINES];
            let mut response = httparse::Response::new(&mut []);
            match config.parse_response_with_uninit_headers(&mut response, bytes, &mut many) {
                Ok(httparse::Status::Complete(length)) if length == bytes.len() => {
                    fill(bytes, to_head, &response, head, framing)
                }
                _ => Err(Malformed("response head")),
            }
        }
        _ => Err(Malformed("response head")),
    }
}

fn fill(
    bytes: &[u8],
    to_head: bool,
    response: &httparse::Response<'_, '_>,
    head: &mut ResponseHead,
    framing: &mut ResponseFraming,
) -> Result<(), Malformed> {
    let (Some(version), Some(status)) = (response.version, response.code) else {
        return Err(Malformed("status line"));
    };
    if !(100..=999).contains(&status) {
        return Err(Malformed("status code"));
    }
    head.status = status;
    head.is_own = false;
    head.http10 = version == 0;
    head.reason.clear();
    head.reason.extend_from_slice(response.reason.unwrap_or_default().as_bytes());
    head.headers.load(bytes);
    framing.connection.clear();
    let (mut lengths, mut upgrade) = (FramingHeaders::default(), false);
    let bodiless = to_head || status < 200 || status == 204 || status == 304;
    for line in response.headers.iter() {
        let (name, value) = (line.name, line.value);
        match name.len() {
            2 if name.eq_ignore_ascii_case("te") => continue,
            7 if name.eq_ignore_ascii_case("upgrade") => {
                upgrade = value.eq_ignore_ascii_case(b"websocket");
                continue;
            }
            10 if name.eq_ignore_ascii_case("connection") => {
                framing.connection.add(value)?;
                continue;
            }
            10 if name.eq_ignore_ascii_case("keep-alive") => continue,
            14 if name.eq_ignore_ascii_case("content-length") => {
                lengths.content_length(value)?;
                if !bodiless || status == 204 || status < 200 {
                    continue;
                }
            }
            16 if name.eq_ignore_ascii_case("proxy-connection") => continue,
            17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                lengths.transfer_encoding(value)?;
                continue;
            }
            _ => {}
        }
        head.headers.push_received(span_in(bytes, name.as_bytes()), span_in(bytes, value));
    }
    let declared = lengths.framing()?;
    if head.http10 && declared == Some(Framing::Chunked) {
        return Err(Malformed("Transfer-Encoding in HTTP/1.0"));
    }
    framing.framing = if bodiless { Framing::None } else { declared.unwrap_or(Framing::UntilClose) };
    framing.keep_alive = !framing.connection.close
        && (!head.http10 || framing.connection.keep_alive)
        && framing.framing != Framing::UntilClose
        // Whoever announces a body where there can be none may well send it.
        && (status != 204 || matches!(declared, None | Some(Framing::None)));
    framing.websocket = status == 101 && upgrade;
    framing.connection.strip(&mut head.headers);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, to_head: bool) -> Result<(ResponseHead, ResponseFraming), Malformed> {
        let (mut head, mut framing) = Default::default();
        parse(text.as_bytes(), to_head, &mut head, &mut framing).map(|()| (head, framing))
    }

    #[test]
    fn body_lengths() {
        let framing = |text, to_head| read(text, to_head).map(|(_, framing)| (framing.framing, framing.keep_alive));
        let with_length = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
        assert_eq!(framing(with_length, false), Ok((Framing::Length(5), true)));
        assert_eq!(framing(with_length, true), Ok((Framing::None, true)));
        assert_eq!(framing("HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n", false), Ok((Framing::None, true)));
        assert_eq!(framing("HTTP/1.1 204 x\r\n\r\n", false), Ok((Framing::None, true)));
        assert_eq!(framing("HTTP/1.1 204 x\r\nContent-Length: 0\r\n\r\n", false), Ok((Framing::None, true)));
        assert_eq!(framing("HTTP/1.1 204 x\r\nContent-Length: 5\r\n\r\n", false), Ok((Framing::None, false)));
        assert_eq!(framing("HTTP/1.1 200 x\r\n\r\n", false), Ok((Framing::UntilClose, false)));
        assert_eq!(framing("HTTP/1.0 200 x\r\ncontent-length: 1\r\n\r\n", false), Ok((Framing::Length(1), false)));
        assert_eq!(
            framing("HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n", false),
            Ok((Framing::Chunked, false))
        );
    }

    #[test]
    fn a_second_response_is_seen() {
        let second = "HTTP/1.1 200 OK\r\n";
        for (framing, body, follows) in [
            (Framing::None, "", true),
            (Framing::Length(3), "abc", true),
            (Framing::Length(20), "abc", false),
            (Framing::Length(100), "abc", false),
            (Framing::Chunked, "3;e\r\nabc\r\n0\r\nx: y\r\n\r\n", true),
            (Framing::Chunked, "20\r\nabc\r\n\r\n", false),
            (Framing::Chunked, "x\r\n\r\n", false),
            (Framing::UntilClose, "", false),
        ] {
            assert_eq!(is_followed(framing, format!("{body}{second}").as_bytes()), follows, "{framing:?} {body}");
            // Whatever else follows was miscounted by a careless upstream.
            assert!(!is_followed(framing, format!("{body}\r\n{second}").as_bytes()), "{framing:?} {body}");
            assert!(!is_followed(framing, body.as_bytes()), "{framing:?} {body}");
        }
    }

    #[test]
    fn head_answers_keep_their_length() {
        let (head, _) = read("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nKeep-Alive: 1\r\n\r\n", true).unwrap();
        assert_eq!(head.headers.get("content-length"), Some(&b"5"[..]));
        assert_eq!(head.headers.len(), 1);
    }

    #[test]
    fn refuses_what_is_ambiguous() {
        for lines in [
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "X : 1\r\n",
            "X: 1\r\n folded\r\n",
        ] {
            assert!(read(&format!("HTTP/1.1 200 OK\r\n{lines}\r\n"), false).is_err(), "{lines:?}");
        }
        assert!(read("ICY 200 OK\r\n\r\n", false).is_err());
        assert!(read("HTTP/1.1 099 OK\r\n\r\n", false).is_err());
    }
}
