//! What a plugin may do while its request waits.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::config::tenant::Tenant;
use crate::counts::Share;
use crate::http1::question::{Asking, Question};
use crate::http1::reading::Flaw;
use crate::logs::files::FileName;
use crate::message::{Headers, ResponseHead};
use crate::net::address::{canonical, may_connect};
use crate::net::buffer::Buffer;
use crate::net::io::Io;
use crate::net::stream::Stream;
use crate::plugins::Windows;
use crate::upstream::connect::{NoAddress, dial, open, permitted, secure};
use crate::upstream::destination::{Destination, Host};
use crate::upstream::kept::{KeptKey, Purpose};
use crate::upstream::pool::{self, PoolKey};
use crate::upstream::resolve::Spot;
use crate::worker::Worker;

/// Longest wait for a thread that computes aside.
const TURN_PATIENCE: Duration = Duration::from_secs(5);
/// Most calls and connections that one tenant's plugins have under way at once.
const MOST_CALLS: u64 = 256;
/// Longest wait for a connection, and for an answer, whatever a plugin asks for.
const PATIENCE: Duration = Duration::from_secs(60);
/// Largest answer, whatever a plugin asks for.
const LARGEST_ANSWER: u64 = 16 * 1024 * 1024;
/// Addresses of a name that are tried.
const MOST_TRIES: usize = 3;

/// The world outside of a plugin's turn, offered to [`Plugin::access_later`](super::Plugin::access_later).
#[derive(Clone, Copy)]
pub struct Outside<'a> {
    worker: &'a Rc<Worker>,
    tenant: &'a Tenant,
}

/// A request to another server.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The server.
    pub to: &'a Destination,
    /// `GET`, `POST`, …
    pub method: &'a str,
    /// Path and query.
    pub target: &'a str,
    /// Further headers. `Host` and framing are written by the engine.
    pub headers: &'a Headers,
    /// The body; empty for none.
    pub body: &'a [u8],
    /// How long a connection may take, look-up and TLS included.
    pub connect: Duration,
    /// How long everything from there to the end of the answer may take.
    pub answer: Duration,
    /// Whether the connection is kept for calls to come.
    pub keep_alive: bool,
    /// Largest body of an answer in bytes.
    pub largest: u64,
}

/// What a server has answered. Redirects are answers like any other: nobody follows them, since where they lead to is the
/// server's choice and not the tenant's.
#[derive(Debug)]
pub struct Answer {
    /// Status and headers.
    pub head: ResponseHead,
    /// The whole body.
    pub body: Vec<u8>,
    /// Its part of the memory for bodies.
    _share: Share,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoAnswer {
    /// The tenant's plugins ask too much at once, or the process has too many connections.
    Busy,
    /// The name does not resolve.
    Unresolved,
    /// The tenant may not connect to the address.
    Refused,
    /// No connection, or no TLS that can be trusted.
    Unreachable,
    /// Not in time.
    Timeout,
    /// The connection ended early, or what came is no response.
    Broken,
    /// The answer is larger than wanted.
    TooLarge,
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Busy => "too many calls at once",
            Self::Unresolved => "name resolution failed",
            Self::Refused => "the address is not allowed",
            Self::Unreachable => "no connection",
            Self::Timeout => "timeout",
            Self::Broken => "no valid response",
            Self::TooLarge => "the response is too large",
        })
    }
}

impl From<Flaw> for NoAnswer {
    fn from(flaw: Flaw) -> Self {
        match flaw {
            Flaw::Died | Flaw::Invalid => Self::Broken,
            Flaw::TooLarge => Self::TooLarge,
            Flaw::NoMemory => Self::Busy,
        }
    }
}

impl<'a> Outside<'a> {
    pub(crate) fn new(worker: &'a Rc<Worker>, tenant: &'a Tenant) -> Self {
        Self { worker, tenant }
    }

    /// Does work that takes long to compute on another thread, while this thread serves other requests. It waits for its
    /// turn, the tenant's first and then that of all. `None` if too much waits already, or it has waited too long; the plugin
    /// then has to refuse.
    pub async fn aside<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let _call = self.call().ok()?;
        let turns = async {
            let own = self.tenant.counters.budget.aside().next().await?;
            Some((own, self.worker.shared.counts.aside().next().await?))
        };
        let turn = timeout(TURN_PATIENCE, turns).await.ok()??;
        let task = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        task.await.ok()
    }

    /// Asks another server. The connection is one of the tenant's own, idle or new; a request other than `POST` and `PATCH`
    /// is sent again if an idle one turns out to have ended.
    ///
    /// # Errors
    /// [`NoAnswer`]; any status is an answer.
    pub async fn ask(&self, call: &Call<'_>) -> Result<Answer, NoAnswer> {
        let _call = self.call()?;
        let question = Question {
            method: call.method,
            target: call.target,
            host: &call.to.authority,
            agent: &self.worker.shared.server,
            headers: call.headers,
            body: call.body,
            keep_alive: call.keep_alive,
        };
        let request = question.write();
        let is_idempotent = !matches!(call.method, "POST" | "PATCH");
        let mut may_reuse = true;
        loop {
            let opened = timeout(call.connect.min(PATIENCE), self.connection(call.to, may_reuse, !is_idempotent));
            let (mut connection, key) = opened.await.map_err(|_| NoAnswer::Timeout)??;
            let reused = connection.reused;
            let asked = timeout(call.answer.min(PATIENCE), self.exchange(&mut connection, &request, call.largest));
            match asked.await.map_err(|_| NoAnswer::Timeout)? {
                Ok((answer, is_reusable)) => {
                    if is_reusable && call.keep_alive && !self.worker.stopping.get() {
                        self.worker.pool.borrow_mut().put(&key, connection, Instant::now());
                    }
                    return Ok(answer);
                }
                // The server closed an idle connection just when it was taken.
                Err((Flaw::Died, untouched)) if reused && (is_idempotent || untouched) => may_reuse = false,
                Err((flaw, _)) => return Err(flaw.into()),
            }
        }
    }

    /// Connects to another server, for protocols other than HTTP. Over TLS if the destination says so, without a protocol
    /// being offered. What is read and written is for the plugin to bound, in time and in size.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub async fn connect(&self, to: &Destination, patience: Duration) -> Result<Socket, NoAnswer> {
        let call = self.call()?;
        let share = self.worker.share_of_connections().ok_or(NoAnswer::Busy)?;
        let configs = &self.worker.shared.upkeep.tls;
        let connecting = self.at_each(to, |key| async move { dial(configs, &key, &[]).await });
        let (stream, place) = timeout(patience.min(PATIENCE), connecting).await.map_err(|_| NoAnswer::Timeout)??;
        Ok(Socket { io: Io::new(stream, Buffer::default()), share, place, _call: call })
    }

    /// A connection to that server that was kept for this purpose and is still quiet. Its address is one that the tenant
    /// may connect to now.
    ///
    /// # Errors
    /// [`NoAnswer`], if there could not be another one either.
    pub async fn kept(&self, to: &Destination, purpose: &Purpose) -> Result<Option<Socket>, NoAnswer> {
        let call = self.call()?;
        for spot in self.addresses(to).await?.iter().take(MOST_TRIES) {
            let key = KeptKey { place: self.key(to, *spot), purpose: *purpose };
            let take = |cx: &mut Context<'_>| self.worker.kept.borrow_mut().take(&key, Instant::now(), cx);
            if let Some((io, share)) = poll_fn(|cx| Poll::Ready(take(cx))).await {
                return Ok(Some(Socket { io, share, place: key.place, _call: call }));
            }
        }
        Ok(None)
    }

    /// Keeps a connection for this purpose, if there are not enough. Nothing may be left to be read on it.
    pub fn keep(&self, socket: Socket, purpose: &Purpose) {
        if !self.worker.stopping.get() {
            let Socket { io, share, place, .. } = socket;
            let key = KeptKey { place, purpose: *purpose };
            self.worker.kept.borrow_mut().put(key, (io, share), Instant::now());
        }
    }

    /// The same connection, with TLS from now on as the destination says. Nothing may have been read beyond what asked for it.
    ///
    /// # Errors
    /// [`NoAnswer`]: no TLS that can be trusted. The caller bounds the time.
    pub async fn secure(&self, socket: Socket, to: &Destination) -> Result<Socket, NoAnswer> {
        let identity = to.tls.as_ref().ok_or(NoAnswer::Unreachable)?;
        let Socket { io, share, place, _call: call } = socket;
        let Some(Stream::Plain(tcp)) = io.into_stream() else { return Err(NoAnswer::Broken) };
        let configs = &self.worker.shared.upkeep.tls;
        let stream =
            secure(configs, self.tenant.number, identity, tcp, &[]).await.map_err(|_| NoAnswer::Unreachable)?;
        let place = PoolKey { tls: Some(identity.clone()), ..place };
        Ok(Socket { io: Io::new(stream, Buffer::default()), share, place, _call: call })
    }

    /// A socket whose datagrams go to another server. No datagram is ever answered here.
    ///
    /// # Errors
    /// [`NoAnswer`]. Whether anybody takes what is sent, nobody knows.
    pub async fn datagrams(&self, to: &Destination) -> Result<UdpSocket, NoAnswer> {
        let _call = self.call()?;
        for spot in self.addresses(to).await?.iter().take(MOST_TRIES) {
            let address = self.key(to, *spot).address;
            let own: SocketAddr =
                if address.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
            if let Ok(socket) = UdpSocket::bind(own).await
                && socket.connect(address).await.is_ok()
            {
                return Ok(socket);
            }
        }
        Err(NoAnswer::Unreachable)
    }

    /// Adds bytes to a file of the tenant's own.
    ///
    /// # Errors
    /// There is no place for files, or none for this one.
    pub async fn append(&self, file: &FileName, bytes: Vec<u8>) -> io::Result<()> {
        self.worker.shared.files.append(&self.tenant.control_plane_id, file, bytes).await
    }

    /// What rate limits of the tenant have counted in this process.
    pub(crate) fn windows(&self) -> &Windows {
        &self.tenant.windows
    }

    /// Notes that a limit of the request could not be asked for.
    pub(crate) fn not_counted(&self) {
        self.tenant.counters.not_counted(self.worker.index);
    }

    /// The right to one more call.
    fn call(&self) -> Result<Share, NoAnswer> {
        // No tenant takes more than a part of the connections that all of them share.
        let most = (self.worker.shared.bounds.upstream_connections / 4).clamp(1, MOST_CALLS);
        self.tenant.counters.budget.call(most).ok_or(NoAnswer::Busy)
    }

    /// The addresses of a server that the tenant may connect to.
    async fn addresses(&self, to: &Destination) -> Result<Rc<[Spot]>, NoAnswer> {
        let found = match &to.host {
            Host::Literal(address) if may_connect(*address, &self.tenant.limits.allow_upstream) => {
                Ok(Rc::from([Spot { address: *address, service: None }]))
            }
            Host::Literal(_) => Err(NoAddress::Refused),
            Host::Name(name) => permitted(self.worker, self.tenant, name, PATIENCE).await,
        };
        found.map_err(|reason| match reason {
            NoAddress::Refused => {
                self.tenant.counters.upstream_refused(self.worker.index);
                NoAnswer::Refused
            }
            NoAddress::Unresolved | NoAddress::NoPeer => NoAnswer::Unresolved,
        })
    }

    /// Connects to the first address of a server that can be connected to. The address that was checked is the one that is
    /// connected to, whatever the name says by then.
    async fn at_each<T, F: Future<Output = io::Result<T>>>(
        &self,
        to: &Destination,
        connect: impl Fn(PoolKey) -> F,
    ) -> Result<(T, PoolKey), NoAnswer> {
        for spot in self.addresses(to).await?.iter().take(MOST_TRIES) {
            let key = self.key(to, *spot);
            match connect(key.clone()).await {
                Ok(connection) => return Ok((connection, key)),
                Err(error) if error.kind() == io::ErrorKind::QuotaExceeded => return Err(NoAnswer::Busy),
                Err(_) => {}
            }
        }
        Err(NoAnswer::Unreachable)
    }

    fn key(&self, to: &Destination, spot: Spot) -> PoolKey {
        PoolKey {
            tenant: self.tenant.number,
            address: SocketAddr::new(canonical(spot.address), spot.service.map_or(to.port, |(port, _)| port)),
            tls: to.tls.clone(),
        }
    }

    /// A connection for one exchange. `careful` has the system asked whether an idle one is still open.
    async fn connection(
        &self,
        to: &Destination,
        may_reuse: bool,
        careful: bool,
    ) -> Result<(pool::Connection, PoolKey), NoAnswer> {
        if may_reuse {
            for spot in self.addresses(to).await?.iter().take(MOST_TRIES) {
                let key = self.key(to, *spot);
                let take = |cx: &mut Context<'_>| self.worker.pool.borrow_mut().take(&key, Instant::now(), cx);
                while let Some(idle) = poll_fn(|cx| Poll::Ready(take(cx))).await {
                    if !careful || idle.stream.is_silent() {
                        return Ok((idle, key));
                    }
                }
            }
        }
        let configs = &self.worker.shared.upkeep.tls;
        self.at_each(to, |key| async move {
            let share = self.worker.share_of_connections().ok_or(io::ErrorKind::QuotaExceeded)?;
            open(configs, &key, share).await
        })
        .await
    }

    /// One exchange; says whether the connection can carry another one or, if it failed, whether nothing was sent.
    async fn exchange(
        &self,
        connection: &mut pool::Connection,
        request: &[u8],
        largest: u64,
    ) -> Result<(Answer, bool), (Flaw, bool)> {
        let shared = &self.worker.shared;
        let mut share = shared.counts.buffered();
        let mut asking = Asking::new(connection, request);
        let head = match asking.head().await {
            Ok(head) => head,
            Err(flaw) => return Err((flaw, !asking.has_written())),
        };
        let body = asking.body(largest.min(LARGEST_ANSWER), &mut share, shared.bounds.buffered_bytes).await;
        let body = body.map_err(|flaw| (flaw, false))?;
        Ok((Answer { head, body, _share: share }, asking.is_reusable()))
    }
}

/// A connection of a plugin's own. It counts among its tenant's calls until it is dropped.
#[derive(Debug)]
pub struct Socket {
    io: Io,
    share: Share,
    place: PoolKey,
    _call: Share,
}

impl Socket {
    /// Whether the other side has neither ended nor said anything. Of what it has said, nothing may be read after this.
    pub async fn is_quiet(&mut self) -> bool {
        poll_fn(|cx| Poll::Ready(self.io.is_quiet(cx))).await
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, target: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, target)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
