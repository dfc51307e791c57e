//! One timer per connection, moved lazily.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::time::Sleep;

/// A deadline that is cheap to move later.
///
/// Nearly every read and write moves the deadline, nearly always further away. The timer itself is only touched when
/// the deadline comes nearer than the timer, or when the timer fires and finds that the deadline has moved on.
#[derive(Debug)]
pub struct Deadline {
    at: Instant,
    armed: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl Deadline {
    /// A deadline `after` from now; to be made within a runtime.
    #[must_use]
    pub fn after(after: Duration) -> Self {
        let at = Instant::now() + after;
        Self { at, armed: at, sleep: Box::pin(tokio::time::sleep_until(at.into())) }
    }

    /// Moves the deadline.
    pub fn set(&mut self, at: Instant) {
        self.at = at;
        if at < self.armed {
            self.armed = at;
            self.sleep.as_mut().reset(at.into());
        }
    }

    /// Ready once the deadline has passed.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.sleep.as_mut().poll(cx));
            if Instant::now() >= self.at {
                return Poll::Ready(());
            }
            self.armed = self.at;
            self.sleep.as_mut().reset(self.at.into());
        }
    }
}
