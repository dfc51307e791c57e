use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use serde_json::json;

use crate::calls::speak;
use crate::support::{Client, Gateway, Upstream, route, service, snapshot};

async fn read(response: Response<h2::RecvStream>) -> (Vec<u8>, Option<HeaderMap>) {
    let (mut stream, mut body) = (response.into_body(), Vec::new());
    while let Some(piece) = stream.data().await {
        let piece = piece.unwrap();
        stream.flow_control().release_capacity(piece.len()).unwrap();
        body.extend_from_slice(&piece);
    }
    (body, stream.trailers().await.unwrap())
}

/// Sends a body as the peer has room for it.
async fn upload(stream: &mut h2::SendStream<Bytes>, mut body: Bytes, end: bool) {
    while !body.is_empty() {
        stream.reserve_capacity(body.len());
        let room = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await.unwrap().unwrap();
        let piece = body.split_to(room.min(body.len()));
        let last = end && body.is_empty();
        stream.send_data(piece, last).unwrap();
    }
}

#[test]
fn requests_share_routing_and_headers() {
    let upstream = Upstream::echo();
    let gateway = Gateway::with(&snapshot(1, &[service(upstream.address)], &[route("/api")]));
    speak(gateway.address, |mut client| async move {
        let request = Request::get("http://ex.test:80/api/x?y=1").header("cookie", "a=1").header("cookie", "b=2");
        let (response, _) = client.send_request(request.body(()).unwrap(), true).unwrap();
        let response = response.await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["via"], "1.1 sluice");
        assert!(response.headers().contains_key("x-kong-request-id"));
        let text = String::from_utf8(read(response).await.0).unwrap();
        assert!(text.starts_with("GET /x?y=1 HTTP/1.1\r\n"), "{text}");
        for line in ["cookie: a=1; b=2\r\n", "Via: 2 sluice\r\n", "X-Forwarded-Host: ex.test\r\n"] {
            assert!(text.contains(line), "{line} in {text}");
        }
        let (response, _) = client.send_request(Request::get("http://a/none").body(()).unwrap(), true).unwrap();
        let response = response.await.unwrap();
        assert_eq!(response.status(), 404);
        assert!(!response.headers().contains_key("connection"));
        assert!(String::from_utf8(read(response).await.0).unwrap().contains("no Route matched with those values"));
    });
}

#[test]
fn many_streams_with_large_bodies() {
    let upstream = Upstream::echo();
    let gateway = Gateway::to(upstream.address);
    speak(gateway.address, |client| async move {
        let tasks: Vec<_> = (0..20_u8)
            .map(|number| {
                let mut client = client.clone();
                tokio::spawn(async move {
                    let body = Bytes::from(vec![number; 300_000]);
                    let sized = number % 2 == 0;
                    let mut request = Request::post("http://a/");
                    if sized {
                        request = request.header("content-length", body.len());
                    }
                    let (response, mut stream) = client.send_request(request.body(()).unwrap(), false).unwrap();
                    let (response, ()) = tokio::join!(response, upload(&mut stream, body.clone(), true));
                    let (received, _) = read(response.unwrap()).await;
                    assert!(received.ends_with(&body), "{number}");
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}

#[test]
fn trailers_both_ways() {
    let upstream = Upstream::new(|mut client: Client, _| {
        client.head();
        let (_, trailers) = client.chunks();
        client.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n");
        client.send(format!("X-Seen: {}\r\n\r\n", trailers.join("+")));
    });
    let gateway = Gateway::to(upstream.address);
    speak(gateway.address, |mut client| async move {
        let request = Request::post("http://a/").header("te", "trailers").body(()).unwrap();
        let (response, mut stream) = client.send_request(request, false).unwrap();
        upload(&mut stream, Bytes::from_static(b"abc"), false).await;
        stream.send_trailers(HeaderMap::from_iter([("x-sum".parse().unwrap(), "1".parse().unwrap())])).unwrap();
        let (body, trailers) = read(response.await.unwrap()).await;
        assert_eq!((&body[..], &trailers.unwrap()["x-seen"]), (&b"ok"[..], &"x-sum: 1".parse().unwrap()));
    });
}

#[test]
fn errors_and_limits() {
    let upstream = Upstream::new(|mut client: Client, _| {
        client.head();
        client.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
    });
    let mut configuration = snapshot(1, &[service(upstream.address)], &[route("/")]);
    configuration["limits"]["max_body_bytes"] = json!(10);
    let gateway = Gateway::with(&configuration);
    speak(gateway.address, |mut client| async move {
        let request = Request::post("http://a/").header("content-length", "11").body(()).unwrap();
        let (response, mut stream) = client.send_request(request, false).unwrap();
        upload(&mut stream, Bytes::from_static(b"01234567890"), true).await;
        assert_eq!(response.await.unwrap().status(), 413);

        let request = Request::get("http://a/").header("host", "other").body(()).unwrap();
        let (response, _) = client.send_request(request, true).unwrap();
        assert_eq!(response.await.unwrap().status(), 400);

        let (response, _) = client.send_request(Request::get("http://a/").body(()).unwrap(), true).unwrap();
        // The reset may overtake what was sent before it, but the end of the stream must not look like an end.
        if let Ok(response) = response.await {
            let mut body = response.into_body();
            while let Some(piece) = body.data().await {
                if piece.is_err() {
                    return;
                }
            }
            panic!("a truncated response looked complete");
        }
    });
}

#[test]
fn a_reset_stream_ends_the_upstream_request() {
    let (done, left) = std::sync::mpsc::channel();
    let upstream = Upstream::new(move |mut client: Client, _| {
        client.head();
        done.send(client.rest().len()).unwrap();
    });
    let gateway = Gateway::to(upstream.address);
    speak(gateway.address, |mut client| async move {
        let (response, mut stream) = client.send_request(Request::get("http://a/").body(()).unwrap(), true).unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        stream.send_reset(h2::Reason::CANCEL);
        drop(response);
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(left.recv_timeout(Duration::from_secs(3)), Ok(0));
    });
}

#[test]
fn stopping_lets_streams_finish() {
    let upstream = Upstream::new(|mut client: Client, _| {
        client.head();
        std::thread::sleep(Duration::from_millis(150));
        client.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    let gateway = Gateway::to(upstream.address);
    let engine = gateway.engine.clone();
    speak(gateway.address, |mut client| async move {
        let (response, _) = client.send_request(Request::get("http://a/").body(()).unwrap(), true).unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        let stopping = std::thread::spawn(move || engine.stop(Duration::from_secs(5)));
        assert_eq!(read(response.await.unwrap()).await.0, b"ok");
        tokio::task::spawn_blocking(|| stopping.join().unwrap()).await.unwrap();
    });
}

#[test]
fn interim_responses_pass() {
    let upstream = Upstream::new(|mut client: Client, _| {
        client.head();
        client.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    let gateway = Gateway::to(upstream.address);
    speak(gateway.address, |mut client| async move {
        let (mut response, _) = client.send_request(Request::get("http://a/").body(()).unwrap(), true).unwrap();
        let early = std::future::poll_fn(|cx| response.poll_informational(cx)).await.unwrap().unwrap();
        assert_eq!((early.status().as_u16(), &early.headers()["link"]), (103, &"</a.css>".parse().unwrap()));
        assert_eq!(read(response.await.unwrap()).await.0, b"ok");
    });
}

#[test]
fn a_websocket_goes_through_a_stream() {
    let upstream = Upstream::new(|mut client: Client, number| {
        let head = client.head().unwrap();
        assert!(head.starts_with("GET /chat HTTP/1.1\r\n") && head.contains("Upgrade: websocket\r\n"), "{head}");
        let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
        assert!(key.len() == 24 && key.ends_with("=="), "{key}");
        if number > 0 {
            return client.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
        }
        client.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n");
        client.send("Sec-WebSocket-Accept: x\r\nSec-WebSocket-Protocol: p\r\n\r\nhello");
        assert_eq!(client.exactly(4), b"ping");
        client.send("pong");
        // The client's end arrives, and the upstream can still speak.
        assert_eq!(client.rest(), b"");
        client.send("bye");
    });
    let gateway = Gateway::to(upstream.address);
    speak(gateway.address, |mut client| async move {
        let request = || {
            let mut request = Request::builder().method("CONNECT").uri("http://a/chat").body(()).unwrap();
            request.extensions_mut().insert(h2::ext::Protocol::from_static("websocket"));
            request
        };
        client = client.ready().await.unwrap();
        while !client.is_extended_connect_protocol_enabled() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let (response, mut stream) = client.send_request(request(), false).unwrap();
        let response = response.await.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["sec-websocket-protocol"]),
            (200, &"p".parse().unwrap())
        );
        assert!(!response.headers().contains_key("sec-websocket-accept"));
        let mut body = response.into_body();
        assert_eq!(body.data().await.unwrap().unwrap(), "hello");
        upload(&mut stream, Bytes::from_static(b"ping"), true).await;
        let mut rest = Vec::new();
        while let Some(piece) = body.data().await {
            rest.extend_from_slice(&piece.unwrap());
        }
        assert_eq!(rest, b"pongbye");

        // Bytes of a WebSocket that is not granted are no requests.
        let (response, mut stream) = client.send_request(request(), false).unwrap();
        upload(&mut stream, Bytes::from_static(b"GET /chat HTTP/1.1\r\nHost: a\r\n\r\n"), false).await;
        assert_eq!(response.await.unwrap().status(), 403);
    });
    assert_eq!(upstream.connections(), 2);
}

#[test]
fn grpc_web_is_http() {
    let upstream = Upstream::echo();
    let gateway = Gateway::to(upstream.address);
    speak(gateway.address, |mut client| async move {
        let request = Request::post("http://a/pkg.Service/Call").header("content-type", "application/grpc-web+proto");
        let (response, mut stream) = client.send_request(request.body(()).unwrap(), false).unwrap();
        upload(&mut stream, Bytes::from_static(b"\0\0\0\0\0"), true).await;
        let text = String::from_utf8(read(response.await.unwrap()).await.0).unwrap();
        assert!(
            text.contains("content-type: application/grpc-web+proto\r\n") && text.ends_with("\0\0\0\0\0"),
            "{text}"
        );
    });
}
