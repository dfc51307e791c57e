//! What a balancer says of a client before the client's own bytes: the PROXY protocol, versions 1 and 2.
//! Source: "The PROXY protocol", by the authors of `HAProxy`.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tokio::io::{AsyncRead, AsyncReadExt};

/// How version 2 begins.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// The shortest header, of version 1 without an address.
const SHORTEST: usize = 15;
/// The longest header of version 1.
const LONGEST: usize = 107;
/// The longest rest of a header of version 2 that is taken: addresses, and what else the balancer knows.
const LONGEST_REST: usize = 4096;

/// Reads the header, and not a byte of what follows. Returns the client's address, or none where the balancer tells none,
/// as for its own checks. The caller bounds the time.
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<IpAddr>> {
    let mut head = [0; LONGEST];
    stream.read_exact(&mut head[..SHORTEST]).await?;
    if head.starts_with(SIGNATURE) {
        return binary(stream, [head[12], head[13], head[14]]).await;
    }
    let mut length = SHORTEST;
    while head[length - 1] != b'\n' && length < LONGEST {
        head[length] = stream.read_u8().await?;
        length += 1;
    }
    text(&head[..length])
}

/// Version 1: a line.
fn text(line: &[u8]) -> io::Result<Option<IpAddr>> {
    let line = line.strip_suffix(b"\r\n").and_then(|line| std::str::from_utf8(line).ok());
    match line.and_then(|line| line.strip_prefix("PROXY ")) {
        Some(rest) if rest.split(' ').next() == Some("UNKNOWN") => Ok(None),
        Some(rest) => source(rest).map(Some).ok_or_else(|| io::ErrorKind::InvalidData.into()),
        None => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// The first address of family, addresses and ports.
fn source(text: &str) -> Option<IpAddr> {
    let mut words = text.split(' ');
    let family = words.next()?;
    let (source, destination): (IpAddr, IpAddr) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let (_, _): (u16, u16) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let fits = match family {
        "TCP4" => source.is_ipv4() && destination.is_ipv4(),
        "TCP6" => source.is_ipv6() && destination.is_ipv6(),
        _ => false,
    };
    (fits && words.next().is_none()).then_some(source)
}

/// Version 2, of which version and command, family and the first byte of the length have come.
async fn binary(
    stream: &mut (impl AsyncRead + Unpin),
    [command, family, length]: [u8; 3],
) -> io::Result<Option<IpAddr>> {
    let length = usize::from(u16::from_be_bytes([length, stream.read_u8().await?]));
    if length > LONGEST_REST || !matches!(command, 0x20 | 0x21) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest).await?;
    if command == 0x20 {
        // The balancer's own connection.
        return Ok(None);
    }
    let short = || io::Error::from(io::ErrorKind::InvalidData);
    Ok(match family >> 4 {
        1 => Some(Ipv4Addr::from(*rest.first_chunk::<4>().filter(|_| length >= 12).ok_or_else(short)?).into()),
        2 => Some(Ipv6Addr::from(*rest.first_chunk::<16>().filter(|_| length >= 36).ok_or_else(short)?).into()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a header tells, and what is left after it; `None` if it is refused.
    fn told(bytes: &[u8]) -> Option<(Option<String>, Vec<u8>)> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut stream = bytes;
            let address = read(&mut stream).await.ok()?;
            Some((address.map(|address| address.to_string()), stream.to_vec()))
        })
    }

    fn version_2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, rest].concat()
    }

    #[test]
    fn lines_tell_the_source() {
        for (line, address) in [
            ("PROXY TCP4 192.0.2.1 192.0.2.2 1234 80\r\n", Some("192.0.2.1")),
            ("PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n", Some("2001:db8::1")),
            ("PROXY UNKNOWN\r\n", None),
            ("PROXY UNKNOWN 2001:db8::1 whatever\r\n", None),
        ] {
            let wanted = Some((address.map(ToOwned::to_owned), b"GET /".to_vec()));
            assert_eq!(told(format!("{line}GET /").as_bytes()), wanted, "{line}");
        }
        for line in [
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1234\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1234 80 x\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1234 80\n",
            "PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
            "PROXY UDP4 192.0.2.1 192.0.2.2 1234 80\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1234 99999\r\n",
            "PROXY",
        ] {
            assert_eq!(told(line.as_bytes()), None, "{line}");
        }
        assert_eq!(told(format!("PROXY UNKNOWN {}\r\n", "x".repeat(100)).as_bytes()), None, "too long");
    }

    #[test]
    fn binary_headers_tell_the_source() {
        let four = [192, 0, 2, 1, 192, 0, 2, 2, 0, 1, 0, 80];
        let extended = [&four[..], &[4, 0, 1, 0]].concat();
        let mut six = [0; 36];
        (six[0], six[1], six[15]) = (0x20, 0x01, 1);
        for (bytes, address) in [
            (version_2(0x21, 0x11, &four), Some("192.0.2.1")),
            (version_2(0x21, 0x11, &extended), Some("192.0.2.1")),
            (version_2(0x21, 0x21, &six), Some("2001::1")),
            (version_2(0x20, 0x11, &four), None),
            (version_2(0x20, 0, &[]), None),
            (version_2(0x21, 0x31, &[0; 216]), None),
        ] {
            let wanted = Some((address.map(ToOwned::to_owned), b"x".to_vec()));
            assert_eq!(told(&[&bytes[..], b"x"].concat()), wanted, "{bytes:?}");
        }
        for bytes in [
            version_2(0x11, 0x11, &four),
            version_2(0x22, 0x11, &four),
            version_2(0x21, 0x11, &four[..11]),
            version_2(0x21, 0x21, &six[..35]),
            version_2(0x21, 0x11, &[0; LONGEST_REST + 1]),
        ] {
            assert_eq!(told(&bytes), None);
        }
    }
}
