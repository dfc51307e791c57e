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
    /// Ends the connection so that the client can still read the last answer: a socket that is closed with unread bytes
    /// resets its peer. What still comes is thrown away; `linger` waits for it, because the client may be sending.
    pub(super) async fn close(mut self, linger: bool) {
        let mut left = LINGER_BYTES;
        self.deadline.set(Instant::now() + LINGER);
        let mut lingers = linger || !self.buffer.is_empty() || !self.stream.is_silent();
        let Self { stream, buffer, deadline, .. } = &mut self;
        let mut shut = false;
        poll_fn(|cx| {
            if !shut {
                shut = stream.poll_shutdown(cx).is_ready();
            }
            loop {
                buffer.consume(buffer.len());
                match stream.poll_read(cx, buffer) {
                    Poll::Ready(Ok(count)) if count > 0 && count < left => {
                        left -= count;
                        lingers = true;
                    }
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending if shut && !lingers => return Poll::Ready(()),
                    Poll::Pending => return deadline.poll(cx),
                }
            }
        })
        .await;
    }

    /// Ends the connection so that the client sees that something is missing.
    pub(super) fn reset(&self) {
        if let Some(tcp) = self.stream.tcp() {
            // If this fails the connection ends all the same, only less plainly.
            let _ = tcp.set_zero_linger();
        }
    }
}
