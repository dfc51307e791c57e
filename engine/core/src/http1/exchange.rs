//! One request at the upstream: the tries until there is a response. All of it is driven from the client
//! connection's own task.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::asking::is_gone;
use super::connection::{After, Connection};
use super::head::Framing;
use super::pump::Coding;
use super::reading::Flaw;
use super::receive::{Beginning, NoBody};
use super::way::Way;
use crate::config::tenant::Service;
use crate::gateway::decide::Routed;
use crate::gateway::forward::{Forwarding, replace_host, upstream_host, write_request};
use crate::logs::account::Try;
use crate::message::Response;
use crate::phases::passage::Unfit;
use crate::upstream::connect::{NoAddress, open};
use crate::upstream::multiplex::{self, Opening};
use crate::upstream::pool::{self, PoolKey};
use crate::worker::Worker;

/// Said when no target is fit for use.
const NO_PEER: &str = "failure to get a peer from the ring-balancer";
/// Bodies up to this size that have arrived with their head are kept, so that a retry can send them again.
const KEPT_BODY: usize = 16 * 1024;

/// Why a try brought no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// No connection.
    Connect,
    /// No connection, because there are too many already.
    Exhausted,
    /// No target is fit for another try.
    NoPeer,
    /// No connection in time.
    ConnectTimeout,
    /// The connection ended before the first byte of a response.
    Died,
    /// The upstream did nothing with the request.
    Refused,
    /// The upstream took or sent nothing for too long.
    Timeout,
    /// What the upstream sent is no response.
    Invalid,
    /// There are two responses, on a connection that was used before: the first may be another request's.
    Ambiguous,
    /// The client is gone.
    ClientGone,
    /// The client's body breaks the framing.
    ClientMalformed,
    /// The client sends more than allowed.
    ClientTooLarge,
    /// The client stopped sending.
    ClientTimeout,
}

impl From<Flaw> for Failure {
    fn from(flaw: Flaw) -> Self {
        match flaw {
            Flaw::Died => Self::Died,
            Flaw::Invalid | Flaw::TooLarge => Self::Invalid,
            Flaw::NoMemory => Self::Exhausted,
        }
    }
}

impl Connection {
    /// Sends the request to the service and the response to the client.
    pub(crate) async fn forward(&mut self, routed: &Routed, service: &Arc<Service>, limit: u64) -> After {
        let tenant = &routed.tenant;
        self.account.is_proxied = true;
        let seeking = self.is_logged().then(Instant::now);
        let mut way = match Way::to(&self.worker, tenant, service, &self.request, &self.facts).await {
            Ok(way) => way,
            Err(NoAddress::Refused) => {
                tenant.counters.upstream_refused(self.worker.index);
                let response = Response::failure(503, "The upstream server is currently unavailable");
                return self.respond(Some(tenant), &response).await;
            }
            Err(NoAddress::Unresolved) => {
                tenant.counters.upstream_error(self.worker.index);
                return self.respond(Some(tenant), &Response::message(503, "name resolution failed")).await;
            }
            Err(NoAddress::NoPeer) => {
                tenant.counters.upstream_error(self.worker.index);
                return self.respond(Some(tenant), &Response::message(503, NO_PEER)).await;
            }
        };
        let chosen = seeking.map(|began| (began, began.elapsed()));
        // A gRPC call's status is a trailer.
        self.framing.takes_trailers |= service.protocol.is_grpc();
        let mut begun = None;
        if routed.route().request_buffering && !service.protocol.is_grpc() && self.awaits_body() {
            begun = match self.gather_body(limit).await {
                Ok(begun) => begun,
                Err(NoBody::Gone) => return self.report(routed, Failure::ClientGone).await,
                Err(NoBody::TooLarge) => return self.respond(Some(tenant), &self.too_large(tenant)).await,
                Err(NoBody::Refused(status, message)) => {
                    return self.respond(Some(tenant), &Response::failure(status, message)).await;
                }
            };
        }
        if let Err(response) = self.prepare_upload(routed, way.host(service), limit, begun) {
            return self.respond(Some(tenant), &response).await;
        }
        let asked = Instant::now();
        let proxy_millis = millis(asked - self.started);
        let (mut upstream, key) = match self.try_all(routed, service, &mut way, (asked, chosen)).await {
            Ok(success) => success,
            Err(failure) => {
                self.latency = Some((proxy_millis, millis(asked.elapsed())));
                return self.report(routed, failure).await;
            }
        };
        let mut answered = Instant::now();
        self.latency = Some((proxy_millis, millis(answered - asked)));
        if self.response.status == 101 {
            return self.tunnel(routed, service, upstream).await;
        }
        if self.facts.touches_response() {
            if let Err(failure) = self.edit_response(service, &mut upstream).await {
                return self.report(routed, failure).await;
            }
            if self.rewritten.is_some() {
                answered = Instant::now();
            }
        }
        self.relay(routed, service, upstream, &key, &way, answered).await
    }

    /// Puts the request's head, and its body if that is at hand, into the upload pump.
    fn prepare_upload(
        &mut self,
        routed: &Routed,
        host: &[u8],
        limit: u64,
        begun: Option<Beginning>,
    ) -> Result<(), Response> {
        let mut passages =
            if self.request.body().is_none_or(|body| !body.is_empty()) { self.request_passages() } else { None };
        let changes = passages.as_ref().is_some_and(|passages| passages.changes());
        let mut body = self.request.body().cloned();
        self.kept_bytes = body.as_ref().map_or(0, |body| body.len() as u64);
        let streamed = self.framing.framing;
        let here = match streamed {
            Framing::Length(length) if length <= KEPT_BODY as u64 => usize::try_from(length).ok(),
            _ => None,
        };
        let mut here = here.filter(|length| body.is_none() && begun.is_none() && self.buffer.len() >= *length);
        if passages.is_some()
            && let Some(length) = here.take()
        {
            body = Some(Bytes::copy_from_slice(self.buffer.data().get(..length).unwrap_or_default()));
            self.take_kept(length);
        }
        if let Some(whole) = body.as_mut()
            && let Some(mut passages) = passages.take()
        {
            *whole = passages.whole(whole).map_err(|Unfit| Response::failure(400, "Bad request"))?.into();
        }
        let framing = match &body {
            Some(body) if !body.is_empty() || self.request.body_changed() => Framing::Length(body.len() as u64),
            Some(_) => Framing::None,
            // How long the body will be, nobody knows.
            None if changes && matches!(streamed, Framing::Length(_)) => Framing::Chunked,
            None => streamed,
        };
        let in_memory = body.is_some() || here.is_some();
        let coding = if !in_memory && framing == Framing::Chunked { Coding::Chunked(true) } else { Coding::Identity };
        self.up.start(if in_memory { Framing::None } else { streamed }, coding, limit);
        let forwarding = Forwarding {
            host,
            peer: &self.peer,
            trusted: routed.trusted,
            preserve_host: routed.route().preserve_host,
            prefix: &self.prefix,
            request_id: &self.request_id,
            framing,
            websocket: self.framing.websocket,
            takes_trailers: self.framing.takes_trailers,
        };
        write_request(&mut self.up.out, &self.request, &forwarding)
            .map_err(|_| Response::message(500, "An unexpected error occurred"))?;
        if let Some(body) = body {
            self.up.out.extend_from_slice(&body);
        } else if let Some(Beginning { data, decoder }) = begun {
            self.up.pass(passages);
            self.up.resume(&data, decoder).map_err(|_| Response::failure(400, "Bad request"))?;
        } else if let Some(length) = here {
            self.up.out.extend_from_slice(self.buffer.data().get(..length).unwrap_or_default());
            self.take_kept(length);
        } else {
            self.up.pass(passages);
        }
        Ok(())
    }

    /// Counts a body that has arrived with its head as taken.
    fn take_kept(&mut self, length: usize) {
        self.buffer.consume(length);
        self.framing.framing = Framing::None;
        self.kept_bytes = length as u64;
    }

    /// Tries until there is a response head, no try is left, or another try might do the request twice. `asked` is now;
    /// `chosen` tells since when and how long an address was looked for, if that is noted.
    async fn try_all(
        &mut self,
        routed: &Routed,
        service: &Service,
        way: &mut Way<'_>,
        (asked, mut chosen): (Instant, Option<(Instant, Duration)>),
    ) -> Result<(pool::Connection, PoolKey), Failure> {
        let idempotent = !matches!(self.request.method(), b"POST" | b"PATCH" | b"LOCK");
        let (mut tries, mut spare, mut now) = (0, true, asked);
        let host = upstream_host(&self.request, routed.route().preserve_host);
        let tls = host.and_then(|host| Some(service.tls.as_ref()?.towards(host)));
        loop {
            let key = PoolKey {
                tenant: routed.tenant.number,
                address: way.address(service),
                tls: tls.clone().or_else(|| way.tls(service)),
            };
            let careful = !idempotent || !self.up.can_rewind();
            let mut kept_alive = false;
            let failure = match self.connection(&key, service, now, careful, spare).await {
                Err(failure) => failure,
                Ok(mut upstream) => {
                    let reused = upstream.reused;
                    kept_alive = reused;
                    if !reused {
                        now = Instant::now();
                    }
                    if self.send_continue().await.is_err() {
                        return Err(Failure::ClientGone);
                    }
                    match self.ask(&mut upstream, service, now).await {
                        Ok(()) => {
                            self.note_try(chosen, key.address, kept_alive, None);
                            self.account.upstream_status = self.response.status;
                            way.answered(&self.worker, &mut self.response, || now.elapsed());
                            return Ok((upstream, key));
                        }
                        Err(Failure::Died | Failure::Ambiguous) if reused && spare && self.repeatable(idempotent) => {
                            // The upstream closed an idle connection just when it was taken, or has spoken unasked:
                            // that is no failed try.
                            spare = false;
                            now = Instant::now();
                            self.up.rewind();
                            continue;
                        }
                        Err(_) if upstream.stream.was_refused() => Failure::Refused,
                        Err(failure) => failure,
                    }
                }
            };
            way.failed(failure);
            self.note_try(chosen, key.address, kept_alive, Some(failure));
            let again = match failure {
                Failure::Refused => self.up.can_rewind(),
                Failure::Connect | Failure::ConnectTimeout => true,
                Failure::Died | Failure::Timeout => self.repeatable(idempotent),
                _ => false,
            };
            if !again || tries >= service.retries || self.worker.stopping.get() {
                return Err(failure);
            }
            tries += 1;
            let began = Instant::now();
            if !way.turn(&self.worker, service) {
                return Err(Failure::NoPeer);
            }
            now = Instant::now();
            chosen = chosen.map(|_| (began, now - began));
            self.up.rewind();
            if !routed.route().preserve_host && self.request.upstream.host.is_none() {
                replace_host(&mut self.up.out, way.host(service));
            }
            routed.tenant.counters.upstream_retry(self.worker.index);
        }
    }

    /// Notes a try, where that is wanted.
    fn note_try(
        &mut self,
        chosen: Option<(Instant, Duration)>,
        address: SocketAddr,
        kept_alive: bool,
        failure: Option<Failure>,
    ) {
        let Some((began, choosing)) = chosen else { return };
        let failure = failure.map(|failure| match failure {
            Failure::ConnectTimeout | Failure::Timeout => 504,
            _ => 502,
        });
        self.account.tried(Try { began, choosing, address, kept_alive, failure });
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
        if service.protocol.is_grpc() {
            return self.stream_to(&worker, key, service).await;
        }
        if may_reuse {
            let take = |cx: &mut Context<'_>| worker.pool.borrow_mut().take(key, now, cx);
            while let Some(idle) = poll_fn(|cx| Poll::Ready(take(cx))).await {
                if !careful || idle.stream.is_silent() {
                    return Ok(idle);
                }
            }
        }
        self.deadline.set(Instant::now() + service.connect_timeout);
        let Some(share) = worker.share_of_connections() else { return Err(Failure::Exhausted) };
        self.until_connected(open(&worker.shared.upkeep.tls, key, share)).await?.map_err(|_| Failure::Connect)
    }

    /// A stream on an HTTP/2 connection that others may be using too.
    async fn stream_to(
        &mut self,
        worker: &Rc<Worker>,
        key: &PoolKey,
        service: &Service,
    ) -> Result<pool::Connection, Failure> {
        let now = Instant::now();
        self.deadline.set(now + service.connect_timeout);
        let mut hesitates = true;
        loop {
            let take = |cx: &mut Context<'_>| worker.multiplexed.borrow_mut().take(key, now, cx);
            if let Some(stream) = poll_fn(|cx| Poll::Ready(take(cx))).await {
                return Ok(stream);
            }
            let other = worker.multiplexed.borrow().opening(key);
            if let Some(other) = other {
                self.until_connected(other.notified()).await?;
                continue;
            }
            let unsure = worker.multiplexed.borrow().unsure(key, now).filter(|_| hesitates);
            let Some(unsure) = unsure else { break };
            self.until_connected(unsure.settled()).await?;
            hesitates = false;
        }
        let _opening = Opening::of(&worker.multiplexed, key);
        let Some(share) = worker.share_of_connections() else { return Err(Failure::Exhausted) };
        self.until_connected(multiplex::open(worker, key, share)).await?.map_err(|_| Failure::Connect)
    }

    /// Waits for a connection as long as the deadline and the client allow.
    async fn until_connected<T>(&mut self, connecting: impl Future<Output = T>) -> Result<T, Failure> {
        let mut connecting = pin!(connecting);
        let Self { stream, buffer, deadline, .. } = self;
        poll_fn(|cx| match connecting.as_mut().poll(cx) {
            Poll::Ready(result) => Poll::Ready(Ok(result)),
            Poll::Pending if is_gone(cx, stream, buffer) => Poll::Ready(Err(Failure::ClientGone)),
            Poll::Pending => deadline.poll(cx).map(|()| Err(Failure::ConnectTimeout)),
        })
        .await
    }

    /// Answers the client when there is no response to pass on.
    async fn report(&mut self, routed: &Routed, failure: Failure) -> After {
        let tenant = &routed.tenant;
        let upstreams_fault = !matches!(
            failure,
            Failure::ClientGone | Failure::ClientMalformed | Failure::ClientTooLarge | Failure::ClientTimeout
        );
        if upstreams_fault {
            tenant.counters.upstream_error(self.worker.index);
        }
        let response = match failure {
            Failure::ClientGone => {
                self.answered(tenant, 499, self.received_bytes(), 0);
                return After::Close;
            }
            Failure::Connect | Failure::Died | Failure::Refused | Failure::Invalid | Failure::Ambiguous => {
                Response::failure(502, "An invalid response was received from the upstream server")
            }
            Failure::NoPeer => Response::message(503, NO_PEER),
            Failure::Exhausted => Response::failure(503, "The upstream server is currently unavailable"),
            Failure::ConnectTimeout | Failure::Timeout => Response::failure(504, "The upstream server is timing out"),
            Failure::ClientMalformed => Response::failure(400, "Bad request"),
            Failure::ClientTooLarge => self.too_large(&routed.tenant),
            Failure::ClientTimeout => Response::failure(408, "Request timeout"),
        };
        if !upstreams_fault || failure == Failure::Exhausted {
            self.latency = None;
        }
        self.kept_bytes = self.received_bytes();
        // A body that was read to its end leaves the connection usable.
        if self.up.source_is_done() {
            self.framing.framing = Framing::None;
        }
        self.respond(Some(tenant), &response).await
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
