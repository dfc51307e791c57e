//! The end of a client connection.

use std::future::poll_fn;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::connection::Connection;

/// How long a connection is still read after the last answer, so that the client sees that answer and not a reset.
const LINGER: Duration = Duration::from_secs(1);
/// How much is read then.
const LINGER_BYTES: usize = 1024 * 1024;

impl Connection {
    /// Ends the connection so that the client can still read the answer: what it goes on sending is thrown away.
    pub(super) async fn linger(mut self) {
        let mut left = LINGER_BYTES;
        self.deadline.set(Instant::now() + LINGER);
        let Self { stream, buffer, deadline, .. } = &mut self;
        let mut shut = false;
        poll_fn(|cx| {
            if !shut {
                shut = stream.poll_shutdown(cx).is_ready();
            }
            loop {
                buffer.consume(buffer.len());
                match stream.poll_read(cx, buffer) {
                    Poll::Ready(Ok(count)) if count > 0 && count < left => left -= count,
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending => return deadline.poll(cx),
                }
            }
        })
        .await;
    }
}
