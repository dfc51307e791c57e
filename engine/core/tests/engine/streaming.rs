use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::support::{Client, Gateway, PATIENCE, Upstream, route, service, snapshot};

/// Bytes that repeat only after a prime number, so that a shifted copy does not look right.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| u8::try_from(index % 251).unwrap()).collect()
}

#[test]
fn large_bodies_both_ways() {
    let size = 8 * 1024 * 1024;
    let upstream = Upstream::echo();
    let gateway = Gateway::to(upstream.address);
    let body = pattern(size);
    let mut client = gateway.client();
    let mut sender = client.stream.try_clone().unwrap();
    let sent = body.clone();
    let thread = thread::spawn(move || {
        write!(sender, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n").unwrap();
        sender.write_all(&sent).unwrap();
    });
    let response = client.response();
    thread.join().unwrap();
    assert!(response.body.ends_with(&body));
    assert!(gateway.counter("request_bytes_total") >= size as u64);
}

#[test]
fn chunks_and_trailers_both_ways() {
    let upstream = Upstream::new(|mut client: Client, _| {
        while let Some(head) = client.head() {
            assert!(head.contains("Transfer-Encoding: chunked\r\n") && !head.contains("Content-Length"), "{head}");
            let (body, trailers) = client.chunks();
            client.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-end\r\n\r\n");
            for piece in body.chunks(1000) {
                client.send([format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat());
            }
            client.send(format!("0\r\nX-End: {}\r\nContent-Length: 3\r\n\r\n", trailers.join("+")));
        }
    });
    let gateway = Gateway::to(upstream.address);
    let mut client = gateway.client();
    for te in ["", "TE: trailers\r\n"] {
        let body = pattern(300_000);
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{te}Transfer-Encoding: chunked\r\n\r\n"));
        for piece in body.chunks(7000) {
            client.send([format!("{:X};e=1\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat());
        }
        client.send("0\r\nX-Sum: 1\r\nHost: evil\r\n\r\n");
        let head = client.head().unwrap();
        assert!(head.contains("Transfer-Encoding: chunked\r\n"), "{head}");
        let (received, trailers) = client.chunks();
        assert_eq!(received, body);
        assert_eq!(trailers, if te.is_empty() { vec![] } else { vec!["X-End: X-Sum: 1".to_owned()] });
    }
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn responses_until_close_become_chunked() {
    let upstream = Upstream::answering("HTTP/1.0 200 OK\r\n\r\nall of it");
    let gateway = Gateway::to(upstream.address);
    let mut client = gateway.client();
    for _ in 0..2 {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let response = client.response();
        assert_eq!((response.text().as_str(), response.header("transfer-encoding")), ("all of it", Some("chunked")));
    }
}

#[test]
fn pieces_are_passed_on_at_once() {
    let (release, wait) = mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let upstream = Upstream::new(move |mut client: Client, _| {
        client.head();
        client.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
        wait.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        client.send("3\r\ntwo\r\n0\r\n\r\n");
    });
    let gateway = Gateway::to(upstream.address);
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.head();
    assert_eq!(client.exactly(8), b"3\r\none\r\n");
    release.send(()).unwrap();
    assert_eq!(client.exactly(13), b"3\r\ntwo\r\n0\r\n\r\n");
}

/// The most that the kernel holds of what is sent over a connection.
fn kernel_buffers() -> usize {
    let most = |name: &str| -> usize {
        let limits = std::fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).unwrap();
        limits.split_whitespace().last().unwrap().parse().unwrap()
    };
    most("tcp_rmem") + most("tcp_wmem")
}

#[test]
fn a_slow_reader_holds_the_upstream_back() {
    // Two connections, and what the gateway may have of its own. Busy machines get less far, never further.
    let most = 2 * kernel_buffers() + 1024 * 1024;
    let piece = pattern(251 * 256);
    let sent = Arc::new(AtomicUsize::new(0));
    let (counted, sending) = (sent.clone(), piece.clone());
    let upstream = Upstream::new(move |mut client: Client, _| {
        client.head();
        client.stream.set_write_timeout(None).unwrap();
        client.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 1_u64 << 50));
        while client.stream.write_all(&sending).is_ok() {
            counted.fetch_add(sending.len(), Ordering::SeqCst);
        }
    });
    let gateway = Gateway::to(upstream.address);
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.head();
    let mut held = None;
    while held != Some(sent.load(Ordering::SeqCst)) {
        held = Some(sent.load(Ordering::SeqCst));
        assert!(held <= Some(most), "{held:?} and no end");
        thread::sleep(Duration::from_millis(300));
    }
    // More than that arrives only if the upstream goes on.
    for _ in 0..=held.unwrap() / piece.len() + 1 {
        assert!(client.exactly(piece.len()) == piece);
    }
}

#[test]
fn early_responses_reach_a_client_that_still_sends() {
    let upstream = Upstream::new(|mut client: Client, _| {
        client.head();
        client.send("HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno");
        let mut rest = [0; 16384];
        while client.stream.read(&mut rest).is_ok_and(|count| count > 0) {}
    });
    let gateway = Gateway::to(upstream.address);
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\nstart");
    let response = client.response();
    assert_eq!((response.status, response.text().as_str()), (403, "no"));
    assert!(client.is_closed());
}

#[test]
fn expectations() {
    let upstream = Upstream::echo();
    let mut configuration = snapshot(1, &[service(upstream.address)], &[route("/")]);
    configuration["limits"]["max_body_bytes"] = json!(10);
    let gateway = Gateway::with(&configuration);
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    assert_eq!(client.head().as_deref(), Some("HTTP/1.1 100 Continue\r\n\r\n"));
    client.send("abc");
    let text = client.response().text();
    assert!(text.ends_with("abc") && !text.contains("Expect"), "{text}");

    client.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 11\r\n\r\n");
    assert_eq!(client.response().status, 413);
    assert!(client.is_closed());
}

#[test]
fn bodies_over_the_limit() {
    let upstream = Upstream::echo();
    let mut configuration = snapshot(1, &[service(upstream.address)], &[route("/")]);
    configuration["limits"]["max_body_bytes"] = json!(10);
    let gateway = Gateway::with(&configuration);
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(gateway.ask(&format!("{chunked}a\r\n0123456789\r\n0\r\n\r\n")).status, 200);
    assert_eq!(gateway.ask(&format!("{chunked}b\r\n01234567890\r\n0\r\n\r\n")).status, 413);
    assert_eq!(gateway.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n01234567890").status, 413);
}

#[test]
fn interim_responses_pass() {
    let upstream = Upstream::answering(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    );
    let gateway = Gateway::to(upstream.address);
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.head().as_deref(), Some("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"));
    assert_eq!(client.response().text(), "ok");
}

#[test]
fn truncated_responses_are_visibly_truncated() {
    for (head, body) in [("Content-Length: 10", "abc"), ("Transfer-Encoding: chunked", "3\r\nabc\r\n")] {
        let upstream = Upstream::new(move |mut client: Client, _| {
            client.head();
            client.send(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}"));
        });
        let gateway = Gateway::to(upstream.address);
        let mut client = gateway.client();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        client.head();
        assert_eq!(client.rest(), body.as_bytes());
    }
}

#[test]
fn websockets_are_tunnelled() {
    let upstream = Upstream::new(|mut client: Client, _| {
        let head = client.head().unwrap();
        assert!(head.contains("Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"), "{head}");
        client.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello");
        let message = client.exactly(4);
        client.send([&message[..], b"!"].concat());
        assert!(client.rest().is_empty());
        client.send("bye");
    });
    let gateway = Gateway::to(upstream.address);
    let mut client = gateway.client();
    client.send(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\nping",
    );
    let head = client.head().unwrap();
    assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("Upgrade: websocket\r\n"), "{head}");
    assert_eq!(client.exactly(10), b"helloping!");
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.rest(), b"bye");
}

#[test]
fn a_websocket_ends_with_its_tenant() {
    let (told, end) = mpsc::channel();
    let upstream = Upstream::new(move |mut client: Client, _| {
        client.head().unwrap();
        client.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
        assert!(client.rest().is_empty());
        told.send(()).unwrap();
    });
    let gateway = Gateway::to(upstream.address);
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert!(client.head().unwrap().starts_with("HTTP/1.1 101 "));
    assert!(gateway.engine.remove("cp"));
    assert!(client.is_closed());
    end.recv_timeout(PATIENCE).unwrap();
}

#[test]
fn other_upgrades_are_not_passed_on() {
    let upstream = Upstream::echo();
    let gateway = Gateway::to(upstream.address);
    let text = gateway.ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n").text();
    assert!(!text.to_lowercase().contains("upgrade") && !text.contains("HTTP2-Settings"), "{text}");
}
