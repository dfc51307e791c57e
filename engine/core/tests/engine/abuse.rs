//! Peers that want the gateway to hang, leak or say the wrong thing.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use serde_json::{Value, json};
use sluice_engine_core::engine::Engine;

use crate::identities::client_config;
use crate::support::{Client, Gateway, PATIENCE, Upstream, closed_port, route, service, snapshot};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const CLOSE: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// Waits until a counter of the process has a value.
fn settles(gateway: &Gateway, counter: &str, value: u64) {
    let started = Instant::now();
    while gateway.stats()[counter] != value {
        assert!(started.elapsed() < PATIENCE, "{counter} is {} and not {value}", gateway.stats()[counter]);
        thread::sleep(Duration::from_millis(5));
    }
}

/// A TLS client that takes little at a time.
fn tls(address: SocketAddr) -> StreamOwned<ClientConnection, TcpStream> {
    let config = Arc::new(client_config(rustls::ALL_VERSIONS));
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&address.into()).unwrap();
    let socket: TcpStream = socket.into();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    StreamOwned::new(ClientConnection::new(config, ServerName::try_from("localhost").unwrap()).unwrap(), socket)
}

#[test]
fn slow_tls_clients_get_everything() {
    // More than the kernel takes in.
    let size = 16 * 1024 * 1024;
    let upstream = Upstream::new(move |mut client: Client, _| {
        client.head();
        client.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n"));
        client.send(vec![b'x'; size]);
        client.rest();
    });
    let gateway = Gateway::to(upstream.address);
    let mut client = tls(gateway.tls_address);
    client.write_all(GET.as_bytes()).unwrap();
    // Everything that the gateway can take in is waiting by now.
    thread::sleep(Duration::from_millis(100));
    let (mut received, mut piece) = (0, vec![0; 16 * 1024]);
    while received < size {
        received += client.read(&mut piece).unwrap();
    }
}

#[test]
fn tls_clients_that_read_nothing_are_given_up() {
    let configuration = snapshot(1, &[service(closed_port())], &[route("/none")]);
    let gateway = Gateway::with_limits(&configuration, &json!({"write_timeout_ms": 100, "idle_timeout_ms": 60_000}));
    let mut client = tls(gateway.tls_address);
    client.sock.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let request = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(2000)).repeat(8);
    while client.write_all(request.as_bytes()).and_then(|()| client.flush()).is_ok() {}
    settles(&gateway, "connections_open", 0);
}

#[test]
fn a_short_write_timeout_is_none_for_reading() {
    let upstream = Upstream::new(|mut client: Client, _| {
        client.head();
        thread::sleep(Duration::from_millis(200));
        client.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    let mut configuration = snapshot(1, &[service(upstream.address)], &[route("/")]);
    configuration["entities"]["services"][0]["write_timeout"] = json!(20);
    configuration["entities"]["services"][0]["retries"] = json!(0);
    assert_eq!(Gateway::with(&configuration).ask(GET).status, 200);
}

/// A gateway that makes another method of the client's.
fn transforming(upstream: SocketAddr, method: &str) -> Gateway {
    let mut configuration = snapshot(1, &[service(upstream)], &[route("/")]);
    configuration["entities"]["plugins"] = json!([{
        "id": "p", "name": "request-transformer", "config": {"http_method": method}, "enabled": true,
        "protocols": ["http"], "service": null, "route": null, "consumer": null,
    }]);
    Gateway::with(&configuration)
}

#[test]
fn another_method_at_the_upstream_does_not_shift_the_client() {
    let upstream = Upstream::echo();
    for method in ["POST", "GET"] {
        let gateway = transforming(upstream.address, method);
        let mut client = gateway.client();
        for _ in 0..2 {
            client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
            let head = client.head().unwrap();
            assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("Content-Length: "), "{head}");
        }
        client.send("HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        client.head().unwrap();
        assert!(client.is_closed());
    }
    let gateway = transforming(upstream.address, "HEAD");
    let mut client = gateway.client();
    for _ in 0..2 {
        client.send(GET);
        let response = client.response();
        assert_eq!((response.status, response.header("content-length")), (200, Some("0")));
    }
}

#[test]
fn tunnels_and_traces_are_refused() {
    let upstream = Upstream::echo();
    let gateway = Gateway::to(upstream.address);
    for method in ["CONNECT", "TRACE"] {
        let mut client = gateway.client();
        client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(client.response().status, 405);
        assert!(client.is_closed());
    }
    assert_eq!(upstream.connections(), 0);
}

#[test]
fn endless_interim_responses_end() {
    let upstream = Upstream::new(|mut client: Client, _| {
        client.head();
        while client.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").is_ok() {}
    });
    let mut configuration = snapshot(1, &[service(upstream.address)], &[route("/")]);
    configuration["entities"]["services"][0]["retries"] = json!(0);
    assert_eq!(Gateway::with(&configuration).ask(GET).status, 502);
}

#[test]
fn floods_within_a_request_are_refused() {
    let upstream = Upstream::echo();
    let gateway = Gateway::to(upstream.address);
    let extensions = "1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nx\r\n".repeat(1000);
    let trailers = format!("0\r\n{}\r\n", "x: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n".repeat(1000));
    for body in [extensions, trailers] {
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        assert_eq!(gateway.ask(&request).status, 400);
    }
    let options = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: {}\r\n\r\n", "x,".repeat(10_000));
    assert_eq!(gateway.ask(&options).status, 400);
}

#[test]
fn trickled_framing_times_out() {
    let upstream = Upstream::echo();
    let configuration = snapshot(1, &[service(upstream.address)], &[route("/")]);
    let gateway = Gateway::with_limits(&configuration, &json!({"body_timeout_ms": 200}));
    for start in ["5", "1\r\nx\r\n0\r\nx: "] {
        let mut client = gateway.client();
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{start}"));
        let mut sender = client.stream.try_clone().unwrap();
        let trickle = thread::spawn(move || {
            sender.write_all(b";").unwrap();
            while sender.write_all(b"a").is_ok() {
                thread::sleep(Duration::from_millis(10));
            }
        });
        assert_eq!(client.response().status, 408);
        drop(client);
        trickle.join().unwrap();
    }
}

#[test]
fn an_early_answer_spoils_the_upstream_connection() {
    // Takes the body for further requests, and answers those too, as far as it is let.
    let upstream = Upstream::new(|mut client: Client, _| {
        let answer = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno";
        let mut piece = [0; 1024];
        while client.stream.read(&mut piece).is_ok_and(|count| count > 0) && client.stream.write_all(answer).is_ok() {}
    });
    let gateway = Gateway::to(upstream.address);
    let smuggled = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n{GET}");
    for _ in 0..3 {
        assert_eq!(gateway.ask(&smuggled).status, 403);
    }
    assert_eq!(upstream.connections(), 3);
}

#[test]
fn answers_that_nobody_asked_for_are_given_to_nobody() {
    // The second response follows when the first has been passed on.
    let upstream = Upstream::new(|mut client: Client, _| {
        client.head();
        client.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        thread::sleep(Duration::from_millis(30));
        client.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
        client.rest();
    });
    let gateway = Gateway::to(upstream.address);
    let mut client = gateway.client();
    for _ in 0..3 {
        client.send(GET);
        assert_eq!(client.response().text(), "ok");
        thread::sleep(Duration::from_millis(80));
    }
}

#[test]
fn of_two_answers_neither_is_believed() {
    // Answers each further request twice, as if one answer had arrived before the request was sent.
    let upstream = Upstream::new(|mut client: Client, number| {
        let answer = |text: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len());
        let mut first = true;
        while client.head().is_some() {
            let own = answer(&number.to_string());
            client.send(if std::mem::take(&mut first) { own } else { answer("another's") + &own });
        }
    });
    let gateway = Gateway::to(upstream.address);
    let mut client = gateway.client();
    // What can be repeated is asked again on another connection.
    for number in ["0", "1"] {
        client.send(GET);
        assert_eq!(client.response().text(), number);
    }
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.response().status, 502);
    client.send(GET);
    assert_eq!((client.response().text().as_str(), upstream.connections()), ("2", 3));
}

#[test]
fn a_truncated_response_resets_an_old_client() {
    let upstream = Upstream::new(|mut client: Client, _| {
        client.head();
        client.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab");
    });
    let gateway = Gateway::to(upstream.address);
    let mut client = gateway.client();
    client.send("GET / HTTP/1.0\r\n\r\n");
    let mut text = Vec::new();
    // Without a length and without chunks, only a reset tells that something is missing.
    assert!(client.stream.read_to_end(&mut text).is_err(), "{}", String::from_utf8_lossy(&text));
}

#[test]
fn clients_that_leave_end_the_wait_for_the_upstream() {
    // Says nothing more once the response has begun.
    let upstream = Upstream::new(|mut client: Client, _| {
        client.head();
        client.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab");
        client.rest();
    });
    let gateway = Gateway::to(upstream.address);
    let mut client = gateway.client();
    client.send(GET);
    client.head();
    client.exactly(2);
    drop(client);
    settles(&gateway, "connections_open", 0);
    settles(&gateway, "upstream_connections_open", 0);
    assert_eq!(gateway.counter("upstream_errors_total"), 0);
}

#[test]
fn idle_clients_make_room_for_new_ones() {
    let upstream = Upstream::echo();
    let configuration = snapshot(1, &[service(upstream.address)], &[route("/")]);
    let gateway = Gateway::with_limits(&configuration, &json!({"max_connections": 8}));
    let mut idle: Vec<Client> = (0..8).map(|_| gateway.client()).collect();
    for client in &mut idle {
        client.send(GET);
        assert_eq!(client.response().status, 200);
    }
    // Each thread has idle ones of its own only, so any one try may meet a thread without.
    let served = (0..20).filter(|_| {
        let mut client = gateway.client();
        client.stream.write_all(CLOSE.as_bytes()).is_ok()
            && client.stream.read(&mut [0; 12]).is_ok_and(|count| count > 0)
    });
    assert!(served.count() > 0);
}

#[test]
fn busy_clients_do_not() {
    let upstream = Upstream::new(|mut client: Client, _| drop(client.rest()));
    let configuration = snapshot(1, &[service(upstream.address)], &[route("/")]);
    let gateway = Gateway::with_limits(&configuration, &json!({"max_connections": 4}));
    let mut busy: Vec<Client> = (0..4).map(|_| gateway.client()).collect();
    for client in &mut busy {
        client.send(GET);
    }
    settles(&gateway, "upstream_connections_open", 4);
    let mut further = gateway.client();
    assert!(further.head().is_some_and(|head| head.starts_with("HTTP/1.1 503 ")));
    assert!(further.is_closed());
    assert_eq!(gateway.stats()["connections_refused_total"], 1);
    drop(busy);
    settles(&gateway, "connections_open", 0);
    assert_eq!(gateway.ask("GET\r\n\r\n").status, 400);
}

#[test]
fn upstream_connections_are_bounded() {
    let upstream = Upstream::new(|mut client: Client, _| {
        client.head();
        client.rest();
    });
    let configuration = snapshot(1, &[service(upstream.address)], &[route("/")]);
    let gateway = Gateway::with_limits(&configuration, &json!({"max_upstream_connections": 2}));
    let mut waiting: Vec<Client> = (0..2).map(|_| gateway.client()).collect();
    for client in &mut waiting {
        client.send(GET);
    }
    settles(&gateway, "upstream_connections_open", 2);
    assert_eq!(gateway.ask(GET).status, 503);
    drop(waiting);
    settles(&gateway, "upstream_connections_open", 0);
}

#[test]
fn buffered_bodies_share_one_bound() {
    let upstream = Upstream::echo();
    let mut configuration = snapshot(1, &[service(upstream.address)], &[route("/")]);
    configuration["entities"]["plugins"] = json!([{
        "id": "p", "name": "request-transformer", "config": {"add": {"body": ["a:b"]}}, "enabled": true,
        "protocols": ["http"], "service": null, "route": null, "consumer": null,
    }]);
    let gateway = Gateway::with_limits(&configuration, &json!({"max_buffered_bytes": 200_000}));
    let post = |size: usize| {
        let head =
            format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {size}\r\n\r\n");
        let text = format!("{{\"x\":\"{}\"}}", "y".repeat(size - 8));
        head + &text
    };
    let mut client = gateway.client();
    for _ in 0..3 {
        client.send(post(150_000));
        assert_eq!(client.response().status, 200);
    }
    settles(&gateway, "buffered_bytes", 0);
    assert_eq!(gateway.ask(&post(300_000)).status, 503);
    settles(&gateway, "buffered_bytes", 0);
}

#[test]
fn what_was_sent_before_the_stop_is_answered() {
    let upstream = Upstream::echo();
    let gateway = Gateway::to(upstream.address);
    let mut clients: Vec<Client> = (0..40).map(|_| gateway.client()).collect();
    for client in clients.iter_mut().step_by(2) {
        client.send(GET);
        assert_eq!(client.response().status, 200);
    }
    for client in &mut clients {
        client.send(GET);
    }
    // Some of these are still in the listener's queue.
    let mut late: Vec<Client> = (0..40).map(|_| gateway.client()).collect();
    for client in &mut late {
        client.send(GET);
    }
    let engine = gateway.engine.clone();
    let stopping = thread::spawn(move || engine.stop(PATIENCE));
    for client in clients.iter_mut().chain(&mut late) {
        let response = client.response();
        assert_eq!(response.status, 200);
        assert!(client.is_closed());
    }
    stopping.join().unwrap();
}

#[test]
fn grpc_routes_take_grpc_only() {
    let upstream = Upstream::echo();
    let mut plain = route("/grpc");
    plain["protocols"] = json!(["grpc"]);
    let mut configuration = snapshot(1, &[service(upstream.address)], &[plain]);
    configuration["entities"]["services"][0]["protocol"] = json!("grpc");
    let gateway = Gateway::with(&configuration);
    let ask = |kind: &str| gateway.ask(&format!("POST /grpc HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\n\r\n"));
    let response = ask("application/grpc+proto");
    assert_eq!((response.status, response.header("upgrade")), (426, Some("HTTP/2")));
    assert!(response.text().contains("Please use HTTP2 protocol"));
    let response = ask("application/json");
    assert_eq!(response.status, 415);
    assert!(response.text().contains("Non-gRPC request matched gRPC route"));
}

#[test]
fn a_redirect_needs_a_host() {
    let mut secure = route("/");
    secure["protocols"] = json!(["https"]);
    secure["https_redirect_status_code"] = json!(302);
    let gateway = Gateway::with(&snapshot(1, &[service(closed_port())], &[secure]));
    let response = gateway.ask("GET /evil.test/x HTTP/1.0\r\n\r\n");
    assert_eq!((response.status, response.header("location")), (400, None));
}

#[test]
fn versions_cannot_break_headers() {
    for version in ["", "1\r\nX: y", "1 2"] {
        let options: Value = json!({"listeners": [], "version": version});
        assert!(Engine::new(options.to_string().as_bytes()).is_err());
    }
}
