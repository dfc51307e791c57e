//! HTTP/2 towards clients. hyper speaks the protocol; each stream then goes through the HTTP/1 connection code over
//! a pipe in memory, so that both protocols share one implementation of limits, routing, plugins and upstreams. The
//! strict HTTP/1 parser in between also refuses whatever would change its meaning when HTTP/2 is written as HTTP/1.

mod io;
mod request;
mod response;
mod stream;

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;

use crate::clients::Presence;
use crate::gateway::decide::Peer;
use crate::http1::connection::Connection;
use crate::message::Version;
use crate::net::buffer::Buffer;
use crate::net::deadline::Deadline;
use crate::net::stream::Stream;
use crate::worker::{Witness, Worker};
use stream::{Active, Local, Streams};

/// What a client sends first on a connection that it knows to be HTTP/2 (RFC 9113 section 3.4), up to the empty line.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\n";
/// Streams that a client may have open at once.
const MOST_STREAMS: u32 = 128;
/// Bytes that a client may send ahead on one stream, and on all of a connection.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Bytes of a stream's response that wait for the socket.
const SEND_BUFFER: usize = 64 * 1024;
/// Bytes that wait in the pipe of a stream, per direction.
const PIPE_BYTES: usize = 64 * 1024;
/// Streams that a client may reset before they are accepted, and make the gateway reset by breaking rules.
const MOST_RESETS: usize = 64;
/// More abandoned than completed streams after which a connection is wound up, and after which it ends at once.
const MUCH_WASTE: u64 = 256;
const TOO_MUCH_WASTE: u64 = 512;
/// How long a client may take to acknowledge that the connection winds up.
const FAREWELL: Duration = Duration::from_secs(1);

/// Serves a connection until it ends. `received` is what was read from it already; through `presence` the worker learns
/// when it may be closed.
pub async fn serve(worker: Rc<Worker>, stream: Stream, received: Buffer, peer: Peer, presence: Rc<Presence>) {
    let streams = Rc::new(Streams::default());
    let head_bytes = u32::try_from(worker.shared.bounds.head_bytes).unwrap_or(u32::MAX);
    let timeout = worker.shared.timeouts.idle;
    let executor =
        Local { worker: worker.clone(), next: Rc::new(RefCell::new(None)), patience: worker.shared.timeouts.write };
    let (counted, next) = (streams.clone(), executor.next.clone());
    let service = service_fn(move |request: Request<Incoming>| {
        let active = Active::new(&counted);
        next.borrow_mut().replace(active.clone());
        let (worker, peer) = (worker.clone(), peer.clone());
        async move { Ok::<_, Infallible>(exchange(worker, peer, request, active).await) }
    });
    let connection = Builder::new(executor)
        .max_concurrent_streams(MOST_STREAMS)
        .max_header_list_size(head_bytes)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(MOST_RESETS)
        .max_local_error_reset_streams(MOST_RESETS)
        .serve_connection(io::Io::new(stream, received), service);
    let mut connection = pin!(connection);
    let mut deadline = Deadline::after(timeout);
    let (mut winding_up, mut busy) = (false, false);
    poll_fn(|cx| {
        loop {
            streams.watch(cx);
            if connection.as_mut().poll(cx).is_ready() || streams.waste() > TOO_MUCH_WASTE {
                return Poll::Ready(());
            }
            let idle = streams.open() == 0;
            if idle {
                presence.rest(cx);
                if std::mem::take(&mut busy) {
                    deadline.set(Instant::now() + if winding_up { FAREWELL } else { timeout });
                }
            } else {
                busy = true;
                presence.busy();
            }
            let late = idle && deadline.poll(cx).is_ready();
            if winding_up {
                return if late { Poll::Ready(()) } else { Poll::Pending };
            }
            if !late && !presence.is_leaving() && streams.waste() <= MUCH_WASTE {
                return Poll::Pending;
            }
            // Streams that are open may end, and those that are on their way are still served.
            winding_up = true;
            connection.as_mut().graceful_shutdown();
            deadline.set(Instant::now() + FAREWELL);
        }
    })
    .await;
}

async fn exchange(
    worker: Rc<Worker>,
    peer: Peer,
    request: Request<Incoming>,
    active: Rc<Active>,
) -> hyper::Response<response::Body> {
    let (near, far) = tokio::io::duplex(PIPE_BYTES);
    let witness = Witness::new(&worker);
    let mut connection = Connection::new(worker, Stream::Pipe(far), peer, Rc::default());
    connection.front = Version::Http2;
    drop(tokio::task::spawn_local(async move {
        let _witness = witness;
        connection.serve().await;
    }));
    let to_head = request.method() == hyper::Method::HEAD;
    let (read, write) = tokio::io::split(near);
    let upload = tokio::task::spawn_local(request::send(request, write));
    response::receive(read, to_head, upload.abort_handle(), active).await
}
