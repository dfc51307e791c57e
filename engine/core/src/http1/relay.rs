//! Passing a response on to the client.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Instant;

use super::answer::{write_connection, write_status};
use super::asking::is_gone;
use super::connection::{After, Connection};
use super::head::Framing;
use super::pump::{Coding, PumpError, Waiting};
use super::receive::MOST_GATHERED;
use super::way::Way;
use crate::config::tenant::Service;
use crate::counts::Share;
use crate::gateway::decide::Routed;
use crate::gateway::forward::{Exchange, line, number_line, response_headers};
use crate::message::Version;
use crate::phases::passage::Passages;
use crate::upstream::pool::{self, PoolKey};

/// Who broke a response off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Client,
    Upstream,
}

/// Whether a response is read ahead of its client.
enum Ahead {
    /// Not to be, or there is no memory.
    Impossible,
    /// As soon as the client is slow.
    Possible,
    /// It is, with this share of the memory.
    Granted(#[expect(dead_code, reason = "held until the response is sent")] Share),
}

impl Ahead {
    /// Whether it is now.
    fn begin(&mut self, connection: &Connection) -> bool {
        if matches!(self, Self::Possible) {
            *self = connection.memory_ahead().map_or(Self::Impossible, Self::Granted);
        }
        matches!(self, Self::Granted(_))
    }
}

impl Connection {
    /// Sends the response's head and body, and the rest of the request's body if the upstream answered early. `now` is
    /// when the response was there.
    pub(super) async fn relay(
        &mut self,
        routed: &Routed,
        service: &Service,
        upstream: pool::Connection,
        key: &PoolKey,
        way: &Way<'_>,
        now: Instant,
    ) -> After {
        let http10 = self.request.head.version == Version::Http10;
        let framing = self.response_framing.framing;
        let passages = self.take_passages();
        // As it is now: whoever changes a body does not know its length any more.
        let unbounded = matches!(self.response_framing.framing, Framing::Chunked | Framing::UntilClose);
        let has_body = framing != Framing::None;
        // A plugin may have made another method of HEAD, or HEAD of another: the client knows of the one it sent only.
        let to_head = self.request.head.method() == b"HEAD";
        if !to_head && self.request.method() == b"HEAD" && self.response.status != 304 {
            self.response.headers.remove("content-length");
        }
        let coding = if unbounded && !http10 { Coding::Chunked(self.framing.takes_trailers) } else { Coding::Identity };
        let ends_visibly = !(unbounded && http10) || to_head;
        let keep_alive = self.framing.keep_alive && !self.worker.stopping.get() && ends_visibly;
        let body = self.rewritten.take();
        let rewritten = body.as_ref().map_or(0, |body| body.len() as u64);
        if to_head || body.is_some() {
            self.down.start(Framing::None, Coding::Identity, u64::MAX);
        } else {
            self.down.start(framing, coding, u64::MAX);
            self.down.pass(passages);
        }
        self.write_response_head(routed, keep_alive, coding);
        if let Some(body) = body {
            self.down.out.extend_from_slice(&body);
        }

        let write_timeout = self.worker.shared.timeouts.write;
        self.deadline.set(now + service.read_timeout);
        let mut upload_over = self.up.is_finished();
        // Held for as long as it is needed: a slow client that is read ahead for gives it back early.
        let mut held = Some(upstream);
        let reusable = self.response_framing.keep_alive && !(to_head && has_body) && !self.worker.stopping.get();
        let mut ahead = if routed.route().response_buffering { Ahead::Possible } else { Ahead::Impossible };
        let result = poll_fn(|cx| {
            let mut progress = false;
            if let Some(upstream) = held.as_mut().filter(|_| !upload_over) {
                let polled = self.up.poll(cx, &mut self.stream, &mut self.buffer, &mut upstream.stream);
                upload_over = polled.is_ready();
                progress |= std::mem::take(&mut self.up.progress);
            }
            let polled = match &mut held {
                Some(upstream) => self.down.poll(cx, &mut upstream.stream, &mut upstream.buffer, &mut self.stream),
                None => self.down.poll_rest(cx, &mut self.stream),
            };
            match polled {
                Poll::Ready(Ok(())) => return Poll::Ready(Ok(())),
                Poll::Ready(Err(PumpError::Destination(_))) => return Poll::Ready(Err(Fault::Client)),
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Fault::Upstream)),
                Poll::Pending => {}
            }
            if self.down.waiting == Waiting::Destination
                && let Some(upstream) = &mut held
                && ahead.begin(self)
            {
                let most = usize::try_from(MOST_GATHERED).unwrap_or(usize::MAX);
                if self.down.read_ahead(cx, &mut upstream.stream, &mut upstream.buffer, most).is_err() {
                    return Poll::Ready(Err(Fault::Upstream));
                }
                let done = upload_over && self.up.is_finished() && self.down.source_is_done();
                let is_free = |upstream: &mut pool::Connection| done && reusable && upstream.buffer.is_empty();
                if let Some(free) = held.take_if(is_free).filter(|_| way.is_kept()) {
                    self.worker.pool.borrow_mut().put(key, free, now);
                }
            }
            let waits_for_upstream = upload_over && self.down.waiting == Waiting::Source;
            if waits_for_upstream && is_gone(cx, &mut self.stream, &mut self.buffer) {
                return Poll::Ready(Err(Fault::Client));
            }
            if progress | std::mem::take(&mut self.down.progress) {
                let timeout = match self.down.waiting {
                    Waiting::Source => service.read_timeout,
                    Waiting::Destination => write_timeout,
                };
                self.deadline.set(Instant::now() + timeout);
            }
            let late = if self.down.waiting == Waiting::Source { Fault::Upstream } else { Fault::Client };
            self.deadline.poll(cx).map(|()| Err(late))
        })
        .await;

        let uploaded = self.up.is_finished();
        let sent = self.down.passed_bytes() + rewritten;
        self.answered(&routed.tenant, self.response.status, self.received_bytes(), sent);
        if let Err(fault) = result {
            // The client cannot be told any more but by a body that visibly ends too early.
            if fault == Fault::Upstream {
                routed.tenant.counters.upstream_error(self.worker.index);
            }
            return if ends_visibly { After::Close } else { After::Reset };
        }
        if let Some(upstream) =
            held.filter(|upstream| reusable && uploaded && way.is_kept() && upstream.buffer.is_empty())
        {
            self.worker.pool.borrow_mut().put(key, upstream, now);
        }
        match (uploaded, keep_alive) {
            (true, true) if self.framing.framing == Framing::None || self.up.source_is_done() => After::KeepAlive,
            (true, _) => After::Close,
            (false, _) => After::Linger,
        }
    }

    /// What plugins do with the body. How long it will be, nobody knows if they change it.
    fn take_passages(&mut self) -> Option<Box<Passages>> {
        let passages = self.passages.take();
        if passages.as_ref().is_some_and(|passages| passages.changes())
            && self.response_framing.framing != Framing::None
        {
            self.response_framing.framing = Framing::Chunked;
        }
        passages
    }

    /// Body bytes that came from the client.
    pub(super) fn received_bytes(&self) -> u64 {
        self.kept_bytes + self.up.body_bytes()
    }

    pub(super) fn write_response_head(&mut self, routed: &Routed, keep_alive: bool, coding: Coding) {
        let out = &mut self.down.out;
        write_status(out, self.response.status, &self.response.reason);
        let (proxy_millis, upstream_millis) = self.latency.unwrap_or_default();
        let exchange = Exchange {
            added: routed.tenant.response_headers,
            server: &self.worker.shared.server,
            proxy_millis,
            upstream_millis,
            request_id: &self.request_id,
            http2: routed.route().service.as_ref().is_some_and(|service| service.protocol.is_grpc()),
        };
        response_headers(out, &self.response, &exchange, self.framing.takes_trailers);
        let status = self.response.status;
        match self.response_framing.framing {
            Framing::Length(length) => number_line(out, "Content-Length", length),
            Framing::None if self.request.head.method() == b"HEAD" || matches!(status, 100..200 | 204 | 304) => {}
            Framing::None => number_line(out, "Content-Length", 0),
            Framing::Chunked | Framing::UntilClose if coding != Coding::Identity => {
                line(out, b"Transfer-Encoding", b"chunked");
            }
            Framing::Chunked | Framing::UntilClose => {}
        }
        if status == 101 {
            out.extend_from_slice(b"Connection: upgrade\r\nUpgrade: websocket\r\n");
        } else {
            write_connection(out, keep_alive, self.request.head.version);
        }
        out.extend_from_slice(b"\r\n");
        if self.is_logged() {
            self.account.sent_head.extend_from_slice(&self.down.out);
            self.account.is_upstreams = true;
        }
    }
}
