//! Bodies that are taken in before they are passed on: slow clients hold no upstream, and tries can be repeated.

use std::sync::mpsc;

use bytes::Bytes;
use http::Request;
use serde_json::json;
use tokio::net::TcpStream;

use crate::support::{Client, Gateway, PATIENCE, Upstream, route, service, snapshot};

fn gateway(upstream: &Upstream, switch: &str, on: bool) -> Gateway {
    let mut route = route("/");
    route[switch] = json!(on);
    Gateway::with(&snapshot(1, &[service(upstream.address)], &[route]))
}

fn requests(on: bool, upstream: &Upstream) -> Gateway {
    gateway(upstream, "request_buffering", on)
}

#[test]
fn an_unfinished_body_asks_nobody() {
    let upstream = Upstream::echo();
    let gateway = requests(true, &upstream);
    let mut slow: Vec<Client> = (0..4).map(|_| gateway.client()).collect();
    for (number, client) in slow.iter_mut().enumerate() {
        let framing = if number % 2 == 0 {
            "Content-Length: 6\r\n\r\nabc"
        } else {
            "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
        };
        client.send(format!("PUT /{number} HTTP/1.1\r\nHost: a\r\n{framing}"));
    }
    // The gateway has seen them all: each gives its answer to a request that comes after.
    let quick: Vec<Client> = (0..4)
        .map(|_| {
            let mut client = gateway.client();
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(client.response().status, 200);
            client
        })
        .collect();
    assert!(upstream.connections() <= quick.len());
    for (number, client) in slow.iter_mut().enumerate() {
        client.send(if number % 2 == 0 { "def" } else { "3\r\ndef\r\n0\r\n\r\n" });
        let text = client.response().text();
        assert!(text.ends_with("\r\n\r\nabcdef") && text.contains("Content-Length: 6\r\n"), "{text}");
        assert!(!text.contains("chunked"), "{text}");
    }
}

#[test]
fn without_buffering_bytes_go_on_at_once() {
    let (tell, told) = mpsc::channel();
    let upstream = Upstream::new(move |mut client: Client, _| {
        client.head();
        tell.send(client.exactly(3)).unwrap();
        client.exactly(3);
        client.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    });
    let gateway = requests(false, &upstream);
    let mut client = gateway.client();
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc");
    assert_eq!(told.recv_timeout(PATIENCE).unwrap(), b"abc");
    client.send("def");
    assert_eq!(client.response().status, 200);
}

#[test]
fn what_is_too_large_streams() {
    let (tell, told) = mpsc::channel();
    let upstream = Upstream::new(move |mut client: Client, _| {
        client.head();
        client.line();
        tell.send(client.exactly(1000)).unwrap();
        client.rest();
    });
    let gateway = requests(true, &upstream);
    let mut client = gateway.client();
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for _ in 0..80 {
        client.send([b"2000\r\n".as_slice(), &[b'x'; 0x2000], b"\r\n"].concat());
    }
    assert_eq!(told.recv_timeout(PATIENCE).unwrap(), [b'x'; 1000]);
}

#[test]
fn memory_that_is_short_makes_bodies_stream() {
    let upstream = Upstream::echo();
    let snapshot = snapshot(1, &[service(upstream.address)], &[route("/")]);
    let gateway = Gateway::with_limits(&snapshot, &json!({"max_buffered_bytes": 1000}));
    let mut client = gateway.client();
    for framing in ["Content-Length: 6\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"] {
        client.send(format!("PUT / HTTP/1.1\r\nHost: a\r\n{framing}"));
        client.send(if framing.contains("chunked") { "3\r\ndef\r\n0\r\n\r\n" } else { "def" });
        assert!(client.response().text().ends_with("abcdef"));
    }
    assert_eq!(gateway.stats()["buffered_bytes"], 0);
}

#[test]
fn trailers_come_along() {
    let upstream = Upstream::new(|mut client: Client, _| {
        client.head();
        let (body, trailers) = client.chunks();
        let seen = format!("{}+{}", String::from_utf8(body).unwrap(), trailers.join("+"));
        client.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{seen}", seen.len()));
    });
    let gateway = requests(true, &upstream);
    let request = "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n";
    assert_eq!(gateway.ask(request).text(), "abc+X-Sum: 1");
}

#[test]
fn a_body_that_was_taken_in_can_be_sent_again() {
    let upstream = Upstream::new(|mut client: Client, number| {
        let head = client.head().unwrap();
        let body = client.body(&head, false);
        if number > 0 {
            client.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()));
            client.send(body);
        }
    });
    let gateway = requests(true, &upstream);
    let mut client = gateway.client();
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    let chunk = [b"4000\r\n".as_slice(), &[b'y'; 0x4000], b"\r\n"].concat();
    (0..3).for_each(|_| client.send(&chunk));
    client.send("0\r\n\r\n");
    assert_eq!(client.response().body.len(), 3 * 0x4000);
    assert_eq!(upstream.connections(), 2);
}

/// Asks for a large response and leaves it, then for small ones until one comes over the first upstream connection, or
/// `most` have come. Returns whether one did.
fn is_given_back(gateway: &Gateway, most: usize) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let tcp = TcpStream::connect(gateway.address).await.unwrap();
        // No room for a body at all.
        let mut builder = h2::client::Builder::new();
        let handshake = builder.initial_window_size(0).handshake::<_, Bytes>(tcp).await;
        let (mut client, connection) = handshake.unwrap();
        let driver = tokio::spawn(connection);
        let ask = async |client: &mut h2::client::SendRequest<Bytes>, request: Request<()>| {
            client.send_request(request, true).unwrap().0.await.unwrap()
        };
        let large = ask(&mut client, Request::get("http://a/large").body(()).unwrap()).await;
        assert_eq!(large.status(), 200);
        let mut found = false;
        for _ in 0..most {
            let small = ask(&mut client, Request::head("http://a/small").body(()).unwrap()).await;
            found = small.headers()["x-connection"] == "0";
            if found {
                break;
            }
        }
        drop(large);
        driver.abort();
        found
    })
}

#[test]
fn a_slow_reader_gives_the_upstream_back() {
    let upstream = || {
        Upstream::new(|mut client: Client, number| {
            while let Some(head) = client.head() {
                let length = 100_000;
                client.send(format!("HTTP/1.1 200 OK\r\nX-Connection: {number}\r\nContent-Length: {length}\r\n\r\n"));
                if head.starts_with("GET") {
                    client.send(vec![b'z'; length]);
                }
            }
        })
    };
    let first = upstream();
    assert!(is_given_back(&gateway(&first, "response_buffering", true), 10_000));
    let second = upstream();
    assert!(!is_given_back(&gateway(&second, "response_buffering", false), 20));
}

#[test]
fn what_was_read_ahead_arrives_complete() {
    let upstream = Upstream::new(|mut client: Client, _| {
        client.head();
        let body: Vec<u8> = (0..1_000_000_u32).map(|number| number.to_be_bytes()[3]).collect();
        client.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        body.chunks(10_000).for_each(|piece| client.send([b"2710\r\n", piece, b"\r\n"].concat()));
        client.send("0\r\n\r\n");
    });
    let gateway = gateway(&upstream, "response_buffering", true);
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let body = client.response().body;
    assert_eq!(body.len(), 1_000_000);
    assert!(body.iter().enumerate().all(|(index, byte)| index.to_be_bytes()[7] == *byte));
}
