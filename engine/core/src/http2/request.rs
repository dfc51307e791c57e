//! An HTTP/2 request written as HTTP/1.1. RFC 9113 section 8.3.

use std::future::poll_fn;
use std::pin::Pin;

use hyper::body::{Body, Incoming};
use hyper::header::HeaderValue;
use hyper::{HeaderMap, Request};
use tokio::io::{AsyncWriteExt, DuplexStream, WriteHalf};

use crate::gateway::forward::line;
use crate::http1::body::{write_chunk, write_last_chunk};

/// Writes a request into its pipe. The pipe is closed early if the client breaks off, and stays open otherwise.
pub(super) async fn send(request: Request<Incoming>, mut pipe: WriteHalf<DuplexStream>) {
    let chunked = !request.body().is_end_stream() && !request.headers().contains_key("content-length");
    let head = head(&request, chunked);
    if pipe.write_all(&head).await.is_err() {
        return;
    }
    let mut body = request.into_body();
    let mut out = Vec::new();
    let mut trailers = Vec::new();
    loop {
        match poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            None => break,
            // The gateway sees the end of the pipe within a body, and gives the exchange up.
            Some(Err(_)) => return drop(pipe.shutdown().await),
            Some(Ok(frame)) => {
                out.clear();
                match (frame.data_ref(), frame.trailers_ref()) {
                    (Some(data), _) if chunked && !data.is_empty() => write_chunk(&mut out, data),
                    (Some(data), _) => out.extend_from_slice(data),
                    (None, Some(fields)) => write_fields(&mut trailers, fields),
                    (None, None) => {}
                }
                if pipe.write_all(&out).await.is_err() {
                    return;
                }
            }
        }
    }
    if chunked {
        out.clear();
        write_last_chunk(&mut out, &trailers);
        // A gateway that has stopped reading has answered, or will not.
        let _ = pipe.write_all(&out).await;
    }
}

/// The head. A request without a usable target or authority becomes one that the parser refuses, so that the client
/// gets the gateway's own 400.
fn head(request: &Request<Incoming>, chunked: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    out.extend_from_slice(request.method().as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(request.uri().path_and_query().map_or("*", |target| target.as_str()).as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    if let Some(authority) = request.uri().authority() {
        line(&mut out, b"Host", authority.as_str().as_bytes());
    }
    for (name, value) in request.headers() {
        let same_host = name == "host"
            && request.uri().authority().is_some_and(|authority| value.as_bytes() == authority.as_str().as_bytes());
        // hyper has refused connection-specific headers; cookies may come in pieces and are joined below.
        if same_host || name == "cookie" || name == "expect" || name == "transfer-encoding" || name == "upgrade" {
            continue;
        }
        if name == "te" {
            line(&mut out, b"Connection", b"TE");
        }
        line(&mut out, name.as_str().as_bytes(), value.as_bytes());
    }
    let cookies: Vec<&[u8]> = request.headers().get_all("cookie").iter().map(HeaderValue::as_bytes).collect();
    if !cookies.is_empty() {
        line(&mut out, b"cookie", &cookies.join(&b"; "[..]));
    }
    if chunked {
        line(&mut out, b"Transfer-Encoding", b"chunked");
    }
    out.extend_from_slice(b"\r\n");
    out
}

fn write_fields(out: &mut Vec<u8>, fields: &HeaderMap) {
    for (name, value) in fields {
        line(out, name.as_str().as_bytes(), value.as_bytes());
    }
}
