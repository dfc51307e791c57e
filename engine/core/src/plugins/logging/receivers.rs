//! Receivers that take datagrams, or lines on a connection.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::lines;
use crate::error::FieldError;
use crate::logs::queue::{Queue, QueueConfig};
use crate::logs::sender::{Delivering, Delivery, Line, Undelivered};
use crate::phases::outside::Outside;
use crate::upstream::destination::{Destination, NoDestination};
use crate::upstream::tls::TlsPolicy;

/// Longest time for which anything is waited, and for which an idle connection is kept.
const LONGEST: Duration = Duration::from_secs(60);

/// Datagrams to a host. Nobody answers them, so none that was sent is tried again.
pub(in crate::plugins) struct Datagrams {
    to: Destination,
    timeout: Duration,
    /// Bytes up to which lines travel together.
    size: usize,
}

impl Datagrams {
    /// A queue whose entries become datagrams: one per line, or of as many lines as have a place in `size` bytes.
    pub(in crate::plugins) fn queue(
        host: &str,
        port: u16,
        timeout: Duration,
        size: usize,
        config: &QueueConfig,
    ) -> Result<Queue, Vec<FieldError>> {
        let to = Destination::at(host, port, None).map_err(|NoDestination(why)| vec![FieldError::new("host", why)])?;
        let datagrams = Self { to, timeout: timeout.min(LONGEST), size };
        Ok(Queue::new(config, Box::new(datagrams)))
    }
}

impl Delivery for Datagrams {
    fn deliver<'a>(&'a self, batch: &'a [Bytes], _: &'a mut Line, outside: Outside<'a>) -> Delivering<'a> {
        Box::pin(async move {
            let sent = timeout(self.timeout, async {
                let socket = outside.datagrams(&self.to).await.ok()?;
                // One that is too large, or that nobody took, keeps the others from nothing.
                let mut lost = vec![false; batch.len()];
                for (datagram, entries) in packed(batch, self.size) {
                    if socket.send(&datagram).await.is_err() {
                        lost[entries].fill(true);
                    }
                }
                Some(lost.into_iter().filter(|lost| *lost).count())
            });
            sent.await.ok().flatten().ok_or(Undelivered)
        })
    }
}

/// The lines of entries, packed into datagrams of up to so many bytes; a longer line travels alone. With each the entries that it
/// has lines of.
fn packed(batch: &[Bytes], size: usize) -> Vec<(Vec<u8>, Range<usize>)> {
    let mut packets: Vec<(Vec<u8>, Range<usize>)> = Vec::new();
    for (index, entry) in batch.iter().enumerate() {
        for line in entry.split(|byte| *byte == b'\n') {
            match packets.last_mut() {
                Some((packet, entries)) if packet.len() + 1 + line.len() <= size => {
                    packet.push(b'\n');
                    packet.extend_from_slice(line);
                    entries.end = index + 1;
                }
                _ => packets.push((line.to_vec(), index..index + 1)),
            }
        }
    }
    packets
}

/// Lines on a connection, with TLS or without.
pub(in crate::plugins) struct Lines {
    /// Where to.
    pub(in crate::plugins) to: Destination,
    /// Longest wait for a connection, and for the lines to be written.
    pub(in crate::plugins) timeout: Duration,
    /// How long an idle connection is kept.
    pub(in crate::plugins) keepalive: Duration,
}

impl Lines {
    /// To a host; TLS is spoken by a policy if there is one.
    pub(in crate::plugins) fn to(
        (host, port): (&str, u16),
        policy: Option<&Arc<TlsPolicy>>,
        timeout: Duration,
        keepalive: Duration,
    ) -> Result<Self, Vec<FieldError>> {
        let to =
            Destination::at(host, port, policy).map_err(|NoDestination(why)| vec![FieldError::new("host", why)])?;
        Ok(Self { to, timeout: timeout.min(LONGEST), keepalive: keepalive.min(LONGEST) })
    }
}

impl Delivery for Lines {
    fn deliver<'a>(&'a self, batch: &'a [Bytes], line: &'a mut Line, outside: Outside<'a>) -> Delivering<'a> {
        Box::pin(async move {
            let mut kept = line.socket.take();
            if let Some(socket) = &mut kept
                && !socket.is_quiet().await
            {
                kept = None;
            }
            let mut socket = match kept {
                Some(socket) => socket,
                None => outside.connect(&self.to, self.timeout).await.map_err(|_| Undelivered)?,
            };
            let text = lines(batch);
            let written = timeout(self.timeout, async {
                socket.write_all(&text).await?;
                socket.flush().await
            });
            written.await.map_err(|_| Undelivered)?.map_err(|_| Undelivered)?;
            if self.keepalive.is_zero() {
                let _ = timeout(self.timeout, socket.shutdown()).await;
            } else {
                line.socket = Some(socket);
            }
            Ok(0)
        })
    }

    fn keeps_line(&self) -> Duration {
        self.keepalive
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_share_datagrams_as_far_as_they_fit() {
        let batch = [Bytes::from("aa\nbbb"), Bytes::from("c"), Bytes::from("dddddddd\ne")];
        let texts = |size| {
            let packed = packed(&batch, size).into_iter();
            packed.map(|(text, entries)| (String::from_utf8(text).unwrap(), entries)).collect::<Vec<_>>()
        };
        let expected = [("aa", 0..1), ("bbb", 0..1), ("c", 1..2), ("dddddddd", 2..3), ("e", 2..3)];
        assert_eq!(texts(0), expected.map(|(text, entries)| (text.to_owned(), entries)));
        let expected = [("aa\nbbb", 0..1), ("c", 1..2), ("dddddddd", 2..3), ("e", 2..3)];
        assert_eq!(texts(6), expected.map(|(text, entries)| (text.to_owned(), entries)));
        assert_eq!(texts(64), [("aa\nbbb\nc\ndddddddd\ne".to_owned(), 0..3)]);
    }
}
