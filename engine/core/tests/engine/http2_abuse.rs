//! HTTP/2 clients that want the gateway to work for nothing or to wait for ever.

use std::io::{Read, Write};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use serde_json::json;
use tokio::net::TcpStream;

use crate::support::{Client, Gateway, PATIENCE, Upstream, route, service, snapshot};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;

fn block_on(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, test).await.unwrap() });
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A gateway in front of an upstream that answers everything.
fn gateway(limits: &serde_json::Value) -> Gateway {
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    Gateway::with_limits(&snapshot(1, &[service(upstream.address)], &[route("/")]), limits)
}

/// Whether the gateway ends the connection, however much it says before.
fn ends(client: &mut Client) -> bool {
    let mut piece = [0; 4096];
    loop {
        match client.stream.read(&mut piece) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

#[test]
fn a_preface_without_an_end_is_not_waited_for() {
    let gateway = gateway(&json!({"idle_timeout_ms": 50, "head_timeout_ms": 50}));
    for part in [&PREFACE[..18], PREFACE] {
        let mut client = gateway.client();
        client.send(part);
        assert!(ends(&mut client));
    }
}

#[test]
fn pings_alone_keep_no_connection() {
    let gateway = gateway(&json!({"idle_timeout_ms": 100}));
    let mut client = gateway.client();
    client.send([PREFACE, &frame(SETTINGS, 0, 0, b"")].concat());
    let mut sender = client.stream.try_clone().unwrap();
    let pinging = std::thread::spawn(move || {
        while sender.write_all(&frame(PING, 0, 0, b"01234567")).is_ok() {
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    assert!(ends(&mut client));
    drop(client);
    pinging.join().unwrap();
}

#[test]
fn endless_heads_are_refused() {
    let gateway = gateway(&json!({}));
    let mut client = gateway.client();
    client.send([PREFACE, &frame(SETTINGS, 0, 0, b"")].concat());
    // Literal fields without indexing; the block is never said to be complete.
    let fields = b"\x00\x01x\x7f\x81\x7ePADDING".repeat(8);
    let mut sender = client.stream.try_clone().unwrap();
    let flood = std::thread::spawn(move || {
        let _ = sender.write_all(&frame(HEADERS, 0, 1, &fields));
        while sender.write_all(&frame(CONTINUATION, 0, 1, &fields)).is_ok() {}
    });
    assert!(ends(&mut client));
    drop(client);
    flood.join().unwrap();
}

#[test]
fn streams_whose_client_takes_nothing_are_reset() {
    let gateway = gateway(&json!({"write_timeout_ms": 100}));
    block_on(async {
        let tcp = TcpStream::connect(gateway.address).await.unwrap();
        let (mut client, connection) =
            h2::client::Builder::new().initial_window_size(0).handshake::<_, Bytes>(tcp).await.unwrap();
        let driver = tokio::spawn(connection);
        let (response, _) = client.send_request(Request::get("http://a/").body(()).unwrap(), true).unwrap();
        let mut body = response.await.unwrap().into_body();
        assert!(body.data().await.is_none_or(|piece| piece.is_err()));
        // The connection as such is fine.
        let (response, _) = client.send_request(Request::head("http://a/").body(()).unwrap(), true).unwrap();
        assert_eq!(response.await.unwrap().status(), 200);
        driver.abort();
    });
}

#[test]
fn a_client_that_resets_all_it_asks_for_is_left() {
    let upstream = Upstream::new(|mut client: Client, _| drop(client.rest()));
    let gateway = Gateway::to(upstream.address);
    block_on(async {
        let tcp = TcpStream::connect(gateway.address).await.unwrap();
        let (client, connection) = h2::client::handshake(tcp).await.unwrap();
        let driver = tokio::spawn(connection);
        let mut sent = 0;
        while let Ok(mut ready) = client.clone().ready().await {
            let Ok((_, mut stream)) = ready.send_request(Request::get("http://a/").body(()).unwrap(), true) else {
                break;
            };
            sent += 1;
            // Long enough for the gateway to have begun.
            tokio::time::sleep(Duration::from_micros(200)).await;
            stream.send_reset(h2::Reason::CANCEL);
            let _: &h2::SendStream<Bytes> = &stream;
            assert!(sent < 5000, "nothing stops it");
        }
        driver.abort();
    });
}

#[test]
fn completed_streams_are_no_waste() {
    let gateway = gateway(&json!({}));
    block_on(async {
        let tcp = TcpStream::connect(gateway.address).await.unwrap();
        let (mut client, connection) = h2::client::handshake::<_>(tcp).await.unwrap();
        let driver = tokio::spawn(connection);
        // Some at a time: a busy machine has little patience for hundreds of round trips.
        for _ in 0..14 {
            let mut ask = |number| {
                let request = if number % 2 == 0 { Request::get("http://a/") } else { Request::head("http://a/") };
                client.send_request(request.body(()).unwrap(), true).unwrap().0
            };
            let answers: Vec<_> = (0..50).map(&mut ask).collect();
            for (number, response) in answers.into_iter().enumerate() {
                let mut body = response.await.unwrap().into_body();
                while let Some(piece) = body.data().await {
                    assert!(piece.is_ok(), "{number}");
                }
            }
        }
        let _: &h2::client::SendRequest<Bytes> = &client;
        driver.abort();
    });
}

#[test]
fn stopping_says_goodbye() {
    let gateway = gateway(&json!({}));
    let engine = gateway.engine.clone();
    block_on(async {
        let tcp = TcpStream::connect(gateway.address).await.unwrap();
        let (mut client, connection) = h2::client::handshake::<_>(tcp).await.unwrap();
        let driver = tokio::spawn(connection);
        let (response, _) = client.send_request(Request::get("http://a/").body(()).unwrap(), true).unwrap();
        assert_eq!(response.await.unwrap().status(), 200);
        let stopping = tokio::task::spawn_blocking(move || engine.stop(PATIENCE));
        // An orderly end, not a broken connection.
        driver.await.unwrap().unwrap();
        stopping.await.unwrap();
        let _: &h2::client::SendRequest<Bytes> = &client;
    });
}
