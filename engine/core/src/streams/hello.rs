//! The first message of a TLS handshake, read without answering it.

use std::io;

use rustls::server::{Accepted, Acceptor};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// Largest first message with its framing; those of today's clients have two kilobytes, and a bit.
const MOST: usize = 16 * 1024;

/// What a client has said first.
pub(super) struct Hello {
    /// The message as it was understood.
    pub(super) accepted: Accepted,
    /// All that was received, as it was received.
    pub(super) bytes: Vec<u8>,
    /// Whether `accepted` has taken in all bytes.
    pub(super) nothing_after: bool,
}

/// Reads until the message is complete, in however many pieces and records it comes. Looks at every byte once. The caller
/// bounds the time.
pub(super) async fn read(tcp: &mut TcpStream) -> io::Result<Hello> {
    let mut acceptor = Acceptor::default();
    let mut bytes = Vec::with_capacity(2048);
    loop {
        let seen = bytes.len();
        if tcp.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut fresh = bytes.get(seen..).unwrap_or_default();
        while !fresh.is_empty() {
            acceptor.read_tls(&mut fresh)?;
            // What is no handshake gets no answer: the service might have given another one.
            if let Some(accepted) = acceptor.accept().map_err(|(error, _)| io::Error::other(error))? {
                let nothing_after = fresh.is_empty();
                return Ok(Hello { accepted, bytes, nothing_after });
            }
        }
        if bytes.len() > MOST {
            return Err(io::Error::other("the first message is too large"));
        }
    }
}
