//! HTTP/2. The h2 crate speaks the protocol; each stream, of a client or to an upstream, then looks to the rest of the
//! engine like an HTTP/1 connection of its own, translated as it is read and written. So both protocols share one
//! implementation of limits, routing, plugins and upstreams, and the strict HTTP/1 parser in between refuses whatever
//! would change its meaning when HTTP/2 is written as HTTP/1. An exchange costs one task and no pipe.

mod incoming;
mod outgoing;
mod reading;
mod request;
mod streams;
mod writing;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::RecvStream;
use h2::server::{Builder, Connection as Server, SendResponse};
use http::Request;

use crate::budget::Attachment;
use crate::clients::Presence;
use crate::gateway::decide::Peer;
use crate::http1::connection::Connection;
use crate::message::Version;
use crate::net::buffer::Buffer;
use crate::net::deadline::Deadline;
use crate::net::io::Io;
use crate::net::stream::Stream;
use crate::worker::{Witness, Worker};
use incoming::Incoming;
pub use outgoing::{Outgoing, Place};
use streams::{Active, Streams};

/// What a client sends first on a connection that it knows to be HTTP/2 (RFC 9113 section 3.4), up to the empty line.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\n";
/// Streams that a client may have open at once.
const MOST_STREAMS: u32 = 128;
/// Bytes that a peer may send ahead on one stream, and on all of a connection.
pub(crate) const STREAM_WINDOW: u32 = 256 * 1024;
pub(crate) const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Bytes of a stream's message that wait for the socket.
pub(crate) const SEND_BUFFER: usize = 64 * 1024;
/// Streams that a client may reset before they are accepted, and make the gateway reset by breaking rules.
const MOST_RESETS: usize = 64;
/// More abandoned than completed streams after which a connection is wound up, and after which it ends at once.
const MUCH_WASTE: u64 = 256;
const TOO_MUCH_WASTE: u64 = 512;
/// How long a client may take to acknowledge that the connection winds up.
const FAREWELL: Duration = Duration::from_secs(1);

/// Serves a connection until it ends. `received` is what was read from it already; through `presence` the worker learns
/// when it may be closed.
pub async fn serve(worker: Rc<Worker>, stream: Stream, received: Buffer, mut peer: Peer, presence: Rc<Presence>) {
    peer.attachment = Rc::new(Attachment::of_several());
    let timeout = worker.shared.timeouts.idle;
    let mut deadline = Deadline::after(timeout);
    let greeting = greet(&worker, Io::new(stream, received), &presence, &mut deadline);
    let Some(mut connection) = greeting.await else { return };
    let streams = Rc::new(Streams::default());
    deadline.set(Instant::now() + timeout);
    let (mut winding_up, mut busy) = (false, false);
    poll_fn(|cx| {
        loop {
            streams.watch(cx);
            while let Poll::Ready(accepted) = connection.poll_accept(cx) {
                let Some(Ok((request, respond))) = accepted else { return Poll::Ready(()) };
                exchange(&worker, &peer, request, respond, Active::new(&streams));
            }
            if streams.waste() > TOO_MUCH_WASTE {
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
            let is_unwanted = presence.is_leaving() || peer.attachment.is_refused() || streams.waste() > MUCH_WASTE;
            if !late && !is_unwanted {
                return Poll::Pending;
            }
            // Streams that are open may end, and those that are on their way are still served.
            winding_up = true;
            connection.graceful_shutdown();
            deadline.set(Instant::now() + FAREWELL);
        }
    })
    .await;
}

/// Reads the client's preface and answers it.
async fn greet(worker: &Worker, io: Io, presence: &Presence, deadline: &mut Deadline) -> Option<Server<Io, Bytes>> {
    let handshake = Builder::new()
        .max_concurrent_streams(MOST_STREAMS)
        .max_header_list_size(u32::try_from(worker.shared.bounds.head_bytes).unwrap_or(u32::MAX))
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(MOST_RESETS)
        .max_local_error_reset_streams(Some(MOST_RESETS))
        .enable_connect_protocol()
        .handshake(io);
    let mut handshake = pin!(handshake);
    poll_fn(|cx| {
        presence.rest(cx);
        match handshake.as_mut().poll(cx) {
            Poll::Ready(connection) => Poll::Ready(connection.ok()),
            Poll::Pending if presence.is_leaving() => Poll::Ready(None),
            Poll::Pending => deadline.poll(cx).map(|()| None),
        }
    })
    .await
}

/// Serves one stream in a task of its own.
fn exchange(
    worker: &Rc<Worker>,
    peer: &Peer,
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
    active: Active,
) {
    let challenge = || {
        let mut id = String::new();
        worker.request_id(&mut id);
        // Hexadecimal digits are base64 digits too; 22 of them with the right last one are 16 bytes.
        id.truncate(21);
        id + "g=="
    };
    let incoming = Incoming::new(request, respond, active, challenge);
    let stream = Stream::Translated(Box::new(incoming));
    let mut connection = Connection::new(worker.clone(), stream, peer.clone(), Rc::default());
    connection.front = Version::Http2;
    let witness = Witness::new(worker);
    drop(tokio::task::spawn_local(async move {
        let _witness = witness;
        connection.serve().await;
    }));
}
