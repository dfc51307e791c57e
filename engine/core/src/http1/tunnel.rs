//! The tunnel after a protocol upgrade.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Instant;

use super::connection::{After, Connection};
use super::head::Framing;
use super::pump::{Coding, Pump};
use crate::config::tenant::Service;
use crate::gateway::decide::Routed;
use crate::net::buffer::Buffer;
use crate::net::stream::Stream;
use crate::upstream::pool;

impl Connection {
    /// Joins client and upstream until both are done, or nothing moves for the service's read timeout.
    pub(super) async fn tunnel(&mut self, routed: &Routed, service: &Service, mut upstream: pool::Connection) -> After {
        self.down.start(Framing::UntilClose, Coding::Identity, u64::MAX);
        self.write_response_head(routed, true, Coding::Identity);
        self.up.start(Framing::UntilClose, Coding::Identity, u64::MAX);
        let timeout = service.read_timeout;
        self.deadline.set(Instant::now() + timeout);
        let (mut sent, mut received) = (Half::Open, Half::Open);
        poll_fn(|cx| {
            sent.poll(cx, &mut self.up, &mut self.stream, &mut self.buffer, &mut upstream.stream);
            received.poll(cx, &mut self.down, &mut upstream.stream, &mut upstream.buffer, &mut self.stream);
            if sent == Half::Broken || received == Half::Broken || (sent == Half::Shut && received == Half::Shut) {
                return Poll::Ready(());
            }
            if std::mem::take(&mut self.up.progress) | std::mem::take(&mut self.down.progress) {
                self.deadline.set(Instant::now() + timeout);
            }
            self.deadline.poll(cx)
        })
        .await;
        self.answered(&routed.tenant, 101, self.up.body_bytes(), self.down.body_bytes());
        After::Close
    }
}

/// One direction of a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Half {
    Open,
    Ended,
    Shut,
    Broken,
}

impl Half {
    fn poll(&mut self, cx: &mut Context<'_>, pump: &mut Pump, from: &mut Stream, buffer: &mut Buffer, to: &mut Stream) {
        if *self == Self::Open {
            match pump.poll(cx, from, buffer, to) {
                Poll::Ready(Ok(())) => *self = Self::Ended,
                Poll::Ready(Err(_)) => *self = Self::Broken,
                Poll::Pending => {}
            }
        }
        if *self == Self::Ended && to.poll_shutdown(cx).is_ready() {
            *self = Self::Shut;
        }
    }
}
