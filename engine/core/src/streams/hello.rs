//! The first message of a TLS handshake, read without answering it.

use std::io;

use rustls::server::{Accepted, Acceptor};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// Largest first message with its framing; those of today's clients have two kilobytes, and a bit.
const MOST: usize = 16 * 1024;

/// What a client has said first.
pub struct Hello {
    /// The message as it was understood.
    pub accepted: Accepted,
    /// All that was received, as it was received.
    pub bytes: Vec<u8>,
    /// Whether `accepted` has taken in all bytes.
    pub nothing_after: bool,
}

/// Takes the first message in, in however many pieces and records it comes. Looks at every byte once.
pub struct Reader {
    acceptor: Acceptor,
    /// All that was received.
    pub bytes: Vec<u8>,
    looked_at: usize,
}

impl Default for Reader {
    fn default() -> Self {
        Self { acceptor: Acceptor::default(), bytes: Vec::with_capacity(2048), looked_at: 0 }
    }
}

impl Reader {
    /// Looks at what has been added to `bytes`: the message, once it is complete.
    ///
    /// # Errors
    /// What came is no first message of a handshake, or it is too large.
    pub fn look(&mut self) -> io::Result<Option<Hello>> {
        let mut fresh = self.bytes.get(self.looked_at..).unwrap_or_default();
        while !fresh.is_empty() {
            self.acceptor.read_tls(&mut fresh)?;
            // What is no handshake gets no answer: the service might have given another one.
            if let Some(accepted) = self.acceptor.accept().map_err(|(error, _)| io::Error::other(error))? {
                let nothing_after = fresh.is_empty();
                return Ok(Some(Hello { accepted, bytes: std::mem::take(&mut self.bytes), nothing_after }));
            }
        }
        self.looked_at = self.bytes.len();
        if self.bytes.len() > MOST {
            return Err(io::Error::other("the first message is too large"));
        }
        Ok(None)
    }
}

/// Reads until the message is complete. The caller bounds the time.
pub(super) async fn read(tcp: &mut TcpStream) -> io::Result<Hello> {
    let mut reader = Reader::default();
    loop {
        if tcp.read_buf(&mut reader.bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(hello) = reader.look()? {
            return Ok(hello);
        }
    }
}
