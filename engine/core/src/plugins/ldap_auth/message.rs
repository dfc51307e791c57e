//! The few messages of LDAP that it takes to ask about a password (RFC 4511), in the basic encoding rules that it is written in.
//! What a directory sends is read with bounds: it is the tenant's, and may be hostile.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// Longest answer that is read.
const LONGEST: usize = 64 * 1024;
/// Number of the extension that begins TLS (RFC 4511 section 4.14).
const START_TLS: &[u8] = b"1.3.6.1.4.1.1466.20037";

const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const ENUMERATED: u8 = 0x0a;
const SEQUENCE: u8 = 0x30;
/// The first alternative of a choice: a name of an extension, or a password.
const FIRST: u8 = 0x80;
const BIND: u8 = 0x60;
const UNBIND: u8 = 0x42;
const EXTENDED: u8 = 0x77;

/// What an answer is to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Bind = 0x61,
    Extended = 0x78,
}

/// An element: its kind, its length, and what it holds.
fn element(kind: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![kind];
    if let Ok(short @ ..0x80) = u8::try_from(content.len()) {
        out.push(short);
    } else {
        // A content of a question is never longer than four digits tell.
        out.push(0x84);
        out.extend_from_slice(&u32::try_from(content.len()).unwrap_or(u32::MAX).to_be_bytes());
    }
    out.extend_from_slice(content);
    out
}

fn message(number: u8, operation: &[u8]) -> Vec<u8> {
    element(SEQUENCE, &[&element(INTEGER, &[number])[..], operation].concat())
}

/// Asks whether a password is that of a name (section 4.2).
pub(super) fn bind(number: u8, name: &str, password: &[u8]) -> Vec<u8> {
    let parts = [element(INTEGER, &[3]), element(OCTETS, name.as_bytes()), element(FIRST, password)];
    message(number, &element(BIND, &parts.concat()))
}

/// Asks for TLS.
pub(super) fn start_tls(number: u8) -> Vec<u8> {
    message(number, &element(EXTENDED, &element(FIRST, START_TLS)))
}

/// Says goodbye (section 4.3).
pub(super) fn unbind(number: u8) -> Vec<u8> {
    message(number, &element(UNBIND, &[]))
}

/// Reads the answer to a message of a number, and not one byte more; what comes out is its result code.
///
/// # Errors
/// The connection broke, or what came is not that answer.
pub(super) async fn answer(from: &mut (impl AsyncRead + Unpin), number: u8, kind: Answer) -> io::Result<u32> {
    let mut head = [0; 2];
    from.read_exact(&mut head).await?;
    let [SEQUENCE, first] = head else { return Err(io::ErrorKind::InvalidData.into()) };
    let mut length = usize::from(first);
    if first >= 0x80 {
        let mut digits = [0; 4];
        let count = usize::from(first & 0x7f);
        let digits = digits.get_mut(..count).filter(|digits| !digits.is_empty()).ok_or(io::ErrorKind::InvalidData)?;
        from.read_exact(digits).await?;
        length = digits.iter().fold(0, |length, digit| (length << 8) | usize::from(*digit));
    }
    if length > LONGEST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut content = vec![0; length];
    from.read_exact(&mut content).await?;
    result(&content, number, kind).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The result code in a message's content.
fn result(content: &[u8], number: u8, kind: Answer) -> Option<u32> {
    let (own, rest) = split(content, INTEGER)?;
    if own != [number] {
        return None;
    }
    let (operation, _) = split(rest, kind as u8)?;
    let (code, _) = split(operation, ENUMERATED)?;
    let is_number = !code.is_empty() && code.len() <= 4;
    is_number.then(|| code.iter().fold(0, |number, digit| (number << 8) | u32::from(*digit)))
}

/// The content of the element of a kind at the beginning, and what follows it.
fn split(bytes: &[u8], kind: u8) -> Option<(&[u8], &[u8])> {
    let [found, first, rest @ ..] = bytes else { return None };
    if *found != kind {
        return None;
    }
    if *first < 0x80 {
        return rest.split_at_checked(usize::from(*first));
    }
    let (digits, rest) =
        rest.split_at_checked(usize::from(first & 0x7f)).filter(|(digits, _)| (1..=4).contains(&digits.len()))?;
    rest.split_at_checked(digits.iter().fold(0, |length, digit| (length << 8) | usize::from(*digit)))
}

/// The name of an entry below another one. Whatever the user is called stays within the value of the attribute (RFC 4514
/// section 2.4): all but letters, digits and some signs is written in hexadecimal digits.
pub(super) fn name(attribute: &str, user: &str, base: &str) -> String {
    use std::fmt::Write;
    let mut name = format!("{attribute}=");
    for byte in user.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._@".contains(&byte) {
            name.push(char::from(byte));
        } else {
            // Writing to a string never fails.
            let _ = write!(name, "\\{byte:02x}");
        }
    }
    name + "," + base
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(bytes: &[u8]) -> Option<u32> {
        let mut from = bytes;
        answer(&mut from, 1, Answer::Bind).await.ok()
    }

    #[test]
    fn messages_are_those_of_the_specification() {
        let expected = b"\x30\x1b\x02\x01\x01\x60\x16\x02\x01\x03\x04\x09cn=a,dc=b\x80\x06secret";
        assert_eq!(bind(1, "cn=a,dc=b", b"secret"), expected);
        assert_eq!(start_tls(2), b"\x30\x1d\x02\x01\x02\x77\x18\x80\x161.3.6.1.4.1.1466.20037");
        assert_eq!(unbind(3), b"\x30\x05\x02\x01\x03\x42\x00");
        let long = element(OCTETS, &[0; 300]);
        assert_eq!((&long[..6], long.len()), (&[OCTETS, 0x84, 0, 0, 1, 44][..], 306));
    }

    #[tokio::test]
    async fn answers_are_read_to_their_end_and_no_further() {
        assert_eq!(read(b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00").await, Some(0));
        assert_eq!(read(b"\x30\x84\x00\x00\x00\x0c\x02\x01\x01\x61\x07\x0a\x01\x31\x04\x00\x04\x00").await, Some(49));
        let mut from = &b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00more"[..];
        assert_eq!(answer(&mut from, 1, Answer::Bind).await.unwrap(), 0);
        assert_eq!(from, b"more");
    }

    #[tokio::test]
    async fn whatever_else_comes_is_no_answer() {
        for wrong in [
            &b""[..],
            b"\x30",
            b"\x30\x0c\x02\x01\x01",
            b"\x31\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00",
            b"\x30\x0c\x02\x01\x02\x61\x07\x0a\x01\x00\x04\x00\x04\x00",
            b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00",
            b"\x30\x05\x02\x01\x01\x61\x00",
            b"\x30\x07\x02\x01\x01\x61\x02\x0a\x00",
            b"\x30\x05\x02\x01\x01\x61\x7f",
            b"\x30\x80\x02\x01\x01",
            b"\x30\x85\x00\x00\x00\x00\x01\x00",
            b"\x30\x84\xff\xff\xff\xff",
            b"\x30\x09\x02\x01\x01\x61\x84\xff\xff\xff\xff",
            b"\x30\x07\x02\x01\x01\x61\x02\x0a\x84",
        ] {
            assert_eq!(read(wrong).await, None, "{wrong:?}");
        }
    }

    #[test]
    fn nobody_is_called_out_of_his_place() {
        assert_eq!(name("uid", "ann.b-c_d@e", "dc=test"), "uid=ann.b-c_d@e,dc=test");
        assert_eq!(name("uid", "a,dc=x", "dc=test"), "uid=a\\2cdc\\3dx,dc=test");
        assert_eq!(
            name("uid", " #\"+;<>\\\0*é ", "dc=test"),
            "uid=\\20\\23\\22\\2b\\3b\\3c\\3e\\5c\\00\\2a\\c3\\a9\\20,dc=test"
        );
    }
}
