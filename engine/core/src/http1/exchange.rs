//! One request at the upstream: tries, sending, the response, and the tunnel after an upgrade. All of it is driven
//! from the client connection's own task.

use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::connection::{After, Connection, write_connection, write_status};
use super::head::{Framing, find_end_lenient};
use super::pump::{Coding, Pump, PumpError, Waiting};
use super::response;
use crate::config::tenant::{Address, Service};
use crate::gateway::decide::Routed;
use crate::gateway::forward::{Exchange, Forwarding, line, number_line, response_headers, write_request};
use crate::message::{Response, Version};
use crate::net::address::canonical;
use crate::net::buffer::Buffer;
use crate::net::stream::Stream;
use crate::upstream::connect::{NoAddress, addresses, open};
use crate::upstream::pool::{self, PoolKey};

/// Bodies up to this size that have arrived with their head are kept, so that a retry can send them again.
const KEPT_BODY: usize = 16 * 1024;
/// Largest response head.
const LARGEST_HEAD: usize = 64 * 1024;

/// Why a try brought no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    /// No connection.
    Connect,
    /// No connection in time.
    ConnectTimeout,
    /// The connection ended before the first byte of a response.
    Died,
    /// The upstream took or sent nothing for too long.
    Timeout,
    /// What the upstream sent is no response.
    Invalid,
    /// The client is gone.
    ClientGone,
    /// The client's body breaks the framing.
    ClientMalformed,
    /// The client sends more than allowed.
    ClientTooLarge,
    /// The client stopped sending.
    ClientTimeout,
}

/// The addresses to try.
enum Targets {
    One(IpAddr),
    Many(Rc<[IpAddr]>),
}

impl Targets {
    fn nth(&self, index: usize) -> IpAddr {
        match self {
            Self::One(address) => *address,
            Self::Many(list) => list[index % list.len()],
        }
    }
}

impl Connection {
    /// Sends the request to the service and the response to the client.
    pub(crate) async fn forward(&mut self, routed: &Routed, service: &Arc<Service>, limit: u64) -> After {
        let tenant = &routed.tenant;
        let targets = match &service.address {
            Address::Literal(address, true) => Ok(Targets::One(*address)),
            Address::Literal(_, false) => Err(NoAddress::Refused),
            Address::Name(_) => addresses(&self.worker, tenant, service).await.map(Targets::Many),
        };
        let targets = match targets {
            Ok(targets) => targets,
            Err(NoAddress::Refused) => {
                tenant.counters.upstream_refused(self.worker.index);
                let response = Response::failure(503, "The upstream server is currently unavailable");
                return self.respond(Some(tenant), &response).await;
            }
            Err(NoAddress::Unresolved) => {
                tenant.counters.upstream_error(self.worker.index);
                return self.respond(Some(tenant), &Response::message(503, "name resolution failed")).await;
            }
        };
        if !self.prepare_upload(routed, service, limit) {
            return self.respond(Some(tenant), &Response::message(500, "An unexpected error occurred")).await;
        }
        let asked = Instant::now();
        let proxy_millis = millis(asked - self.started);
        let (upstream, key) = match self.try_all(routed, service, &targets, asked).await {
            Ok(success) => success,
            Err(failure) => {
                self.latency = Some((proxy_millis, millis(asked.elapsed())));
                return self.report(routed, failure).await;
            }
        };
        self.latency = Some((proxy_millis, millis(asked.elapsed())));
        if self.response.status == 101 {
            return self.tunnel(routed, service, upstream).await;
        }
        self.relay(routed, service, upstream, &key).await
    }

    /// Puts the request's head, and its body if that is at hand, into the upload pump.
    fn prepare_upload(&mut self, routed: &Routed, service: &Service, limit: u64) -> bool {
        let body = self.request.body().cloned();
        self.kept_bytes = body.as_ref().map_or(0, |body| body.len() as u64);
        let streamed = self.framing.framing;
        let here = match streamed {
            Framing::Length(length) if length <= KEPT_BODY as u64 => usize::try_from(length).ok(),
            _ => None,
        };
        let here = here.filter(|length| body.is_none() && self.buffer.len() >= *length);
        let framing = match &body {
            Some(body) if !body.is_empty() || self.request.body_changed() => Framing::Length(body.len() as u64),
            Some(_) => Framing::None,
            None => streamed,
        };
        let in_memory = body.is_some() || here.is_some();
        let coding = if !in_memory && framing == Framing::Chunked { Coding::Chunked(true) } else { Coding::Identity };
        self.up.start(if in_memory { Framing::None } else { framing }, coding, limit);
        let forwarding = Forwarding {
            service,
            peer: &self.peer,
            trusted: routed.trusted,
            preserve_host: routed.route().preserve_host,
            prefix: &self.prefix,
            request_id: &self.request_id,
            framing,
            websocket: self.framing.websocket,
            takes_trailers: self.framing.takes_trailers,
        };
        if write_request(&mut self.up.out, &self.request, &forwarding).is_err() {
            return false;
        }
        if let Some(body) = body {
            self.up.out.extend_from_slice(&body);
        } else if let Some(length) = here {
            self.up.out.extend_from_slice(self.buffer.data().get(..length).unwrap_or_default());
            self.buffer.consume(length);
            self.framing.framing = Framing::None;
            self.kept_bytes = length as u64;
        }
        true
    }

    /// Tries until there is a response head, no try is left, or another try might do the request twice.
    async fn try_all(
        &mut self,
        routed: &Routed,
        service: &Service,
        targets: &Targets,
        asked: Instant,
    ) -> Result<(pool::Connection, PoolKey), Failure> {
        let idempotent = !matches!(self.request.method(), b"POST" | b"PATCH" | b"LOCK");
        let (mut tries, mut spare, mut now) = (0, true, asked);
        loop {
            let address = canonical(targets.nth(tries as usize));
            let address = SocketAddr::new(address, service.port);
            let key = PoolKey { tenant: routed.tenant.number, address, tls: service.tls.clone() };
            let careful = !idempotent || !self.up.can_rewind();
            let failure = match self.connection(&key, service, now, careful, spare).await {
                Err(failure) => failure,
                Ok(mut upstream) => {
                    let reused = upstream.reused;
                    if !reused {
                        now = Instant::now();
                    }
                    if self.send_continue().await.is_err() {
                        return Err(Failure::ClientGone);
                    }
                    match self.ask(&mut upstream, service, now).await {
                        Ok(()) => return Ok((upstream, key)),
                        Err(Failure::Died) if reused && spare && self.repeatable(idempotent) => {
                            // The upstream closed an idle connection just when it was taken: that is no failed try.
                            spare = false;
                            now = Instant::now();
                            self.up.rewind();
                            continue;
                        }
                        Err(failure) => failure,
                    }
                }
            };
            let again = match failure {
                Failure::Connect | Failure::ConnectTimeout => true,
                Failure::Died | Failure::Timeout => self.repeatable(idempotent),
                _ => false,
            };
            if !again || tries >= service.retries || self.worker.stopping.get() {
                return Err(failure);
            }
            tries += 1;
            now = Instant::now();
            self.up.rewind();
            routed.tenant.counters.upstream_retry(self.worker.index);
        }
    }

    /// Whether the request can be sent again: all of it is still there, and doing it twice does no harm.
    fn repeatable(&self, idempotent: bool) -> bool {
        !self.up.has_written() || (idempotent && self.up.can_rewind())
    }

    /// A connection, idle or new. `careful` has the system asked whether an idle one is still open, because the
    /// request could not be repeated.
    async fn connection(
        &mut self,
        key: &PoolKey,
        service: &Service,
        now: Instant,
        careful: bool,
        may_reuse: bool,
    ) -> Result<pool::Connection, Failure> {
        let worker = self.worker.clone();
        if may_reuse {
            let take = |cx: &mut Context<'_>| worker.pool.borrow_mut().take(key, now, cx);
            while let Some(idle) = poll_fn(|cx| Poll::Ready(take(cx))).await {
                if !careful || is_open(&idle.stream) {
                    return Ok(idle);
                }
            }
        }
        self.deadline.set(Instant::now() + service.connect_timeout);
        let mut opening = pin!(open(&worker, key));
        let deadline = &mut self.deadline;
        poll_fn(|cx| match opening.as_mut().poll(cx) {
            Poll::Ready(result) => Poll::Ready(result.map_err(|_| Failure::Connect)),
            Poll::Pending => deadline.poll(cx).map(|()| Err(Failure::ConnectTimeout)),
        })
        .await
    }

    /// Sends the request and reads the response's head, passing interim responses on.
    async fn ask(&mut self, upstream: &mut pool::Connection, service: &Service, now: Instant) -> Result<(), Failure> {
        self.deadline.set(now + service.write_timeout.min(service.read_timeout));
        let mut upload_failed = false;
        loop {
            let length = self.read_response_head(upstream, service, &mut upload_failed).await?;
            let bytes = upstream.buffer.data().get(..length).unwrap_or_default();
            let to_head = self.request.method() == b"HEAD";
            response::parse(bytes, to_head, &mut self.response, &mut self.response_framing)
                .map_err(|_| Failure::Invalid)?;
            upstream.buffer.consume(length);
            match self.response.status {
                101 if self.framing.websocket && self.response_framing.websocket => return Ok(()),
                101 => return Err(Failure::Invalid),
                102..200 if self.request.head.version == Version::Http11 => {
                    let mut out = Vec::new();
                    write_status(&mut out, self.response.status, &self.response.reason);
                    self.response.headers.iter().for_each(|(name, value)| line(&mut out, name, value));
                    out.extend_from_slice(b"\r\n");
                    self.write_all(&out).await.map_err(|_| Failure::ClientGone)?;
                    self.deadline.set(Instant::now() + service.read_timeout);
                }
                100..200 => {}
                _ => {
                    if upload_failed {
                        self.framing.keep_alive = false;
                    }
                    return Ok(());
                }
            }
        }
    }

    async fn read_response_head(
        &mut self,
        upstream: &mut pool::Connection,
        service: &Service,
        upload_failed: &mut bool,
    ) -> Result<usize, Failure> {
        let (mut scanned, mut polls) = (0, 0_u32);
        let body_timeout = self.worker.shared.timeouts.body;
        poll_fn(move |cx| {
            let mut progress = false;
            if !self.up.is_finished() && !*upload_failed {
                match self.up.poll(cx, &mut self.stream, &mut self.buffer, &mut upstream.stream) {
                    Poll::Ready(Ok(())) | Poll::Pending => {}
                    // An upstream that takes no more may still have answered.
                    Poll::Ready(Err(PumpError::Destination(_))) => *upload_failed = true,
                    Poll::Ready(Err(PumpError::Source(_))) => return Poll::Ready(Err(Failure::ClientGone)),
                    Poll::Ready(Err(PumpError::Malformed)) => return Poll::Ready(Err(Failure::ClientMalformed)),
                    Poll::Ready(Err(PumpError::TooLarge)) => return Poll::Ready(Err(Failure::ClientTooLarge)),
                }
                progress |= std::mem::take(&mut self.up.progress);
            }
            if self.up.is_finished() && is_gone(cx, &mut self.stream, &mut self.buffer) {
                return Poll::Ready(Err(Failure::ClientGone));
            }
            loop {
                if let Some(end) = find_end_lenient(upstream.buffer.data(), &mut scanned) {
                    return Poll::Ready(Ok(end));
                }
                if upstream.buffer.len() == upstream.buffer.size() {
                    if upstream.buffer.size() >= LARGEST_HEAD {
                        return Poll::Ready(Err(Failure::Invalid));
                    }
                    upstream.buffer.grow(LARGEST_HEAD);
                }
                match upstream.stream.poll_read(cx, &mut upstream.buffer) {
                    Poll::Ready(Ok(count)) if count > 0 => progress = true,
                    Poll::Ready(_) if upstream.buffer.is_empty() => return Poll::Ready(Err(Failure::Died)),
                    Poll::Ready(_) => return Poll::Ready(Err(Failure::Invalid)),
                    Poll::Pending => break,
                }
            }
            let waits_for_client = !self.up.is_finished() && !*upload_failed && self.up.waiting == Waiting::Source;
            // The first poll just wrote what the deadline was set for.
            if progress && polls > 0 {
                let timeout = match (self.up.is_finished(), waits_for_client) {
                    (false, true) => body_timeout,
                    (false, false) => service.write_timeout,
                    (true, _) => service.read_timeout,
                };
                self.deadline.set(Instant::now() + timeout);
            }
            polls += 1;
            let late = if waits_for_client { Failure::ClientTimeout } else { Failure::Timeout };
            self.deadline.poll(cx).map(|()| Err(late))
        })
        .await
    }

    /// Answers the client when there is no response to pass on.
    async fn report(&mut self, routed: &Routed, failure: Failure) -> After {
        let tenant = &routed.tenant;
        if !matches!(failure, Failure::ClientGone | Failure::ClientMalformed | Failure::ClientTooLarge) {
            tenant.counters.upstream_error(self.worker.index);
        }
        let response = match failure {
            Failure::ClientGone => {
                tenant.counters.answered(self.worker.index, 499, self.received_bytes(), 0);
                return After::Close;
            }
            Failure::Connect | Failure::Died | Failure::Invalid => {
                Response::failure(502, "An invalid response was received from the upstream server")
            }
            Failure::ConnectTimeout | Failure::Timeout => Response::failure(504, "The upstream server is timing out"),
            Failure::ClientMalformed => Response::failure(400, "Bad request"),
            Failure::ClientTooLarge => Response::failure(413, "Payload too large"),
            Failure::ClientTimeout => Response::failure(408, "Request timeout"),
        };
        if !matches!(
            failure,
            Failure::Connect | Failure::Died | Failure::Invalid | Failure::ConnectTimeout | Failure::Timeout
        ) {
            self.latency = None;
        }
        // A body that was read to its end leaves the connection usable.
        if self.up.source_is_done() {
            self.framing.framing = Framing::None;
        }
        self.respond(Some(tenant), &response).await
    }

    /// Sends the response's head and body, and the rest of the request's body if the upstream answered early.
    async fn relay(
        &mut self,
        routed: &Routed,
        service: &Service,
        mut upstream: pool::Connection,
        key: &PoolKey,
    ) -> After {
        let http10 = self.request.head.version == Version::Http10;
        let framing = self.response_framing.framing;
        let unbounded = matches!(framing, Framing::Chunked | Framing::UntilClose);
        let coding = if unbounded && !http10 { Coding::Chunked(self.framing.takes_trailers) } else { Coding::Identity };
        let keep_alive = self.framing.keep_alive && !self.worker.stopping.get() && !(unbounded && http10);
        self.down.start(framing, coding, u64::MAX);
        self.write_response_head(routed, keep_alive, coding);

        let now = Instant::now();
        let write_timeout = self.worker.shared.timeouts.write;
        self.deadline.set(now + service.read_timeout);
        let mut upload_over = self.up.is_finished();
        let result = poll_fn(|cx| {
            let mut progress = false;
            if !upload_over {
                let polled = self.up.poll(cx, &mut self.stream, &mut self.buffer, &mut upstream.stream);
                upload_over = polled.is_ready();
                progress |= std::mem::take(&mut self.up.progress);
            }
            match self.down.poll(cx, &mut upstream.stream, &mut upstream.buffer, &mut self.stream) {
                Poll::Ready(Ok(())) => return Poll::Ready(Ok(())),
                Poll::Ready(Err(_)) => return Poll::Ready(Err(())),
                Poll::Pending => {}
            }
            if progress | std::mem::take(&mut self.down.progress) {
                let timeout = match self.down.waiting {
                    Waiting::Source => service.read_timeout,
                    Waiting::Destination => write_timeout,
                };
                self.deadline.set(Instant::now() + timeout);
            }
            self.deadline.poll(cx).map(|()| Err(()))
        })
        .await;

        let counters = &routed.tenant.counters;
        let uploaded = self.up.is_finished();
        counters.answered(self.worker.index, self.response.status, self.received_bytes(), self.down.body_bytes());
        if result.is_err() {
            // The client cannot be told any more but by a body that visibly ends too early.
            counters.upstream_error(self.worker.index);
            return After::Close;
        }
        if uploaded && self.response_framing.keep_alive && upstream.buffer.is_empty() && !self.worker.stopping.get() {
            self.worker.pool.borrow_mut().put(key, upstream, now);
        }
        match (uploaded, keep_alive) {
            (true, true) if self.framing.framing == Framing::None || self.up.source_is_done() => After::KeepAlive,
            (true, _) => After::Close,
            (false, _) => After::Linger,
        }
    }

    /// Body bytes that came from the client.
    fn received_bytes(&self) -> u64 {
        self.kept_bytes + self.up.body_bytes()
    }

    fn write_response_head(&mut self, routed: &Routed, keep_alive: bool, coding: Coding) {
        let out = &mut self.down.out;
        write_status(out, self.response.status, &self.response.reason);
        let (proxy_millis, upstream_millis) = self.latency.unwrap_or_default();
        let exchange = Exchange {
            added: routed.tenant.response_headers,
            server: &self.worker.shared.server,
            proxy_millis,
            upstream_millis,
            request_id: &self.request_id,
        };
        response_headers(&self.response, &exchange, self.framing.takes_trailers, |name, value| line(out, name, value));
        let status = self.response.status;
        match self.response_framing.framing {
            Framing::Length(length) => number_line(out, "Content-Length", length),
            Framing::None if self.request.method() == b"HEAD" || matches!(status, 100..200 | 204 | 304) => {}
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
    }

    /// Joins client and upstream until both are done, or nothing moves for the service's read timeout.
    async fn tunnel(&mut self, routed: &Routed, service: &Service, mut upstream: pool::Connection) -> After {
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
        routed.tenant.counters.answered(self.worker.index, 101, self.up.body_bytes(), self.down.body_bytes());
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

/// Whether the client has closed its side while it waits for an answer. What it sends meanwhile is kept.
fn is_gone(cx: &mut Context<'_>, stream: &mut Stream, buffer: &mut Buffer) -> bool {
    while buffer.len() < buffer.size() {
        match stream.poll_read(cx, buffer) {
            Poll::Ready(Ok(count)) if count > 0 => {}
            Poll::Ready(_) => return true,
            Poll::Pending => return false,
        }
    }
    false
}

/// Asks the system whether the peer has closed a connection or sent anything, at the price of a system call.
fn is_open(stream: &Stream) -> bool {
    let mut byte = [std::mem::MaybeUninit::uninit()];
    let Some(tcp) = stream.tcp() else { return false };
    let result = socket2::SockRef::from(tcp).peek(&mut byte);
    matches!(result, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
