//! The tunnel after a protocol upgrade.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Instant;

use super::connection::{After, Connection};
use super::head::Framing;
use super::pump::{Coding, Pump, Waiting};
use crate::config::tenant::{Service, Tenant};
use crate::gateway::decide::Routed;
use crate::net::buffer::Buffer;
use crate::net::deadline::Deadline;
use crate::net::stream::Stream;
use crate::upstream::pool;

/// One of two connections that are joined.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) stream: Stream,
    pub(crate) buffer: Buffer,
}

impl Connection {
    /// Joins client and upstream until both are done, or nothing moves for too long.
    pub(super) async fn tunnel(&mut self, routed: &Routed, service: &Service, upstream: pool::Connection) -> After {
        self.down.start(Framing::UntilClose, Coding::Identity, u64::MAX);
        self.write_response_head(routed, true, Coding::Identity);
        self.up.start(Framing::UntilClose, Coding::Identity, u64::MAX);
        let pool::Connection { stream, buffer, share: _share, .. } = upstream;
        let mut upstream = End { stream, buffer };
        let client = (&mut self.stream, &mut self.buffer);
        let pumps = (&mut self.up, &mut self.down);
        join(client, &mut upstream, pumps, &mut self.deadline, (&routed.tenant, service)).await;
        self.answered(&routed.tenant, 101, self.up.body_bytes(), self.down.body_bytes());
        After::Close
    }
}

/// Moves bytes both ways until both sides have ended, nothing moves for the service's timeouts, or the tenant is removed. A side that has ended
/// is told so to the other one, which may go on. Returns whether all that was sent has arrived.
pub(crate) async fn join(
    (client, received): (&mut Stream, &mut Buffer),
    upstream: &mut End,
    (up, down): (&mut Pump, &mut Pump),
    deadline: &mut Deadline,
    (tenant, service): (&Tenant, &Service),
) -> bool {
    let mut gone = pin!(tenant.counters.departure.wait());
    deadline.set(Instant::now() + service.read_timeout);
    let (mut sending, mut receiving) = (Half::Open, Half::Open);
    poll_fn(|cx| {
        sending.poll(cx, up, client, received, &mut upstream.stream);
        receiving.poll(cx, down, &mut upstream.stream, &mut upstream.buffer, client);
        if sending == Half::Broken || receiving == Half::Broken {
            return Poll::Ready(false);
        }
        if sending == Half::Shut && receiving == Half::Shut {
            return Poll::Ready(true);
        }
        if std::mem::take(&mut up.progress) | std::mem::take(&mut down.progress) {
            let stuck = sending == Half::Open && up.waiting == Waiting::Destination;
            deadline.set(Instant::now() + if stuck { service.write_timeout } else { service.read_timeout });
        }
        if gone.as_mut().poll(cx).is_ready() {
            return Poll::Ready(false);
        }
        deadline.poll(cx).map(|()| false)
    })
    .await
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
