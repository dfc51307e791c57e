//! HTTP/2 towards clients. hyper speaks the protocol; each stream then goes through the HTTP/1 connection code over
//! a pipe in memory, so that both protocols share one implementation of limits, routing, plugins and upstreams. The
//! strict HTTP/1 parser in between also refuses whatever would change its meaning when HTTP/2 is written as HTTP/1.

mod io;
mod request;
mod response;

use std::cell::Cell;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Instant;

use hyper::Request;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;

use crate::gateway::decide::Peer;
use crate::http1::connection::Connection;
use crate::message::Version;
use crate::net::buffer::Buffer;
use crate::net::deadline::Deadline;
use crate::net::stream::Stream;
use crate::worker::Worker;

/// What a client sends first on a connection that it knows to be HTTP/2 (RFC 9113 section 3.4), up to the empty line.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\n";
/// Streams that a client may have open at once.
const MOST_STREAMS: u32 = 128;
/// Bytes that wait in the pipe of a stream, per direction.
const PIPE_BYTES: usize = 64 * 1024;

/// Futures of one thread.
#[derive(Clone, Copy)]
struct Local;

impl<F: Future + 'static> Executor<F> for Local {
    fn execute(&self, future: F) {
        drop(tokio::task::spawn_local(async move { drop(future.await) }));
    }
}

/// Counts a stream as long as it lives.
struct Active {
    streams: Rc<Cell<usize>>,
    idle: Rc<Cell<bool>>,
}

impl Active {
    fn new(streams: &Rc<Cell<usize>>, idle: &Rc<Cell<bool>>) -> Self {
        streams.set(streams.get() + 1);
        idle.set(false);
        Self { streams: streams.clone(), idle: idle.clone() }
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.streams.set(self.streams.get() - 1);
        self.idle.set(self.streams.get() == 0);
    }
}

/// Serves a connection until it ends. `received` is what was read from it already; `idle` tells the worker when it
/// may be closed.
pub async fn serve(worker: Rc<Worker>, stream: Stream, received: Buffer, peer: Peer, idle: Rc<Cell<bool>>) {
    let streams = Rc::new(Cell::new(0));
    let head_bytes = u32::try_from(worker.shared.max_head_bytes).unwrap_or(u32::MAX);
    let timeout = worker.shared.timeouts.idle;
    let (counted, flag) = (streams.clone(), idle.clone());
    let service = service_fn(move |request: Request<Incoming>| {
        let active = Active::new(&counted, &flag);
        let (worker, peer) = (worker.clone(), peer.clone());
        async move { Ok::<_, Infallible>(exchange(worker, peer, request, active).await) }
    });
    let connection = Builder::new(Local)
        .max_concurrent_streams(MOST_STREAMS)
        .max_header_list_size(head_bytes)
        .serve_connection(io::Io::new(stream, received), service);
    let mut connection = pin!(connection);
    idle.set(true);
    let mut deadline = Deadline::after(timeout);
    poll_fn(|cx| {
        if connection.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if streams.get() > 0 {
            deadline.set(Instant::now() + timeout);
        }
        while deadline.poll(cx).is_ready() {
            if streams.get() == 0 {
                return Poll::Ready(());
            }
            deadline.set(Instant::now() + timeout);
        }
        Poll::Pending
    })
    .await;
}

async fn exchange(
    worker: Rc<Worker>,
    peer: Peer,
    request: Request<Incoming>,
    active: Active,
) -> hyper::Response<response::Body> {
    let (near, far) = tokio::io::duplex(PIPE_BYTES);
    let mut connection = Connection::new(worker, Stream::Pipe(far), peer, Rc::new(Cell::new(false)));
    connection.front = Version::Http2;
    drop(tokio::task::spawn_local(connection.serve()));
    let to_head = request.method() == hyper::Method::HEAD;
    let (read, write) = tokio::io::split(near);
    let upload = tokio::task::spawn_local(request::send(request, write));
    response::receive(read, to_head, upload.abort_handle(), active).await
}
