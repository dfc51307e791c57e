//! Connections that are not HTTP.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use serde_json::{Value, json};

use crate::identities::{Authority, Identity, TlsClient, client_config, sni};
use crate::support::{Client, Gateway, PATIENCE, Upstream, closed_port, eventually, route, service, snapshot};
use crate::upstream_tls::TlsUpstream;

fn stream_service(id: &str, protocol: &str, upstream: SocketAddr) -> Value {
    let mut service = service(upstream);
    service["id"] = json!(id);
    service["name"] = json!(id);
    service["protocol"] = json!(protocol);
    service["retries"] = json!(1);
    service
}

fn stream_route(id: &str, protocol: &str, snis: &[&str]) -> Value {
    let mut route = route("/");
    route["id"] = json!(id);
    route["name"] = json!(id);
    route["protocols"] = json!([protocol]);
    route["paths"] = json!(null);
    route["service"] = json!({"id": id});
    if snis.is_empty() {
        route["sources"] = json!([{"ip": "127.0.0.0/8"}]);
    } else {
        route["snis"] = json!(snis);
    }
    route
}

fn gateway_with(limits: &Value, update: &Value) -> Gateway {
    let options = json!({
        "listeners": [
            {"address": "127.0.0.1:0", "tls": false, "protocol": "stream"},
            {"address": "127.0.0.1:0", "tls": true, "protocol": "stream"},
        ],
        "threads": 1, "version": "0.0", "limits": limits,
    });
    Gateway::with_options(&options, update)
}

fn gateway(services: &[Value], routes: &[Value]) -> Gateway {
    gateway_with(&json!({}), &snapshot(1, services, routes))
}

/// Sends back what it gets, until the end.
fn parrot() -> Upstream {
    Upstream::new(|mut client, _| {
        let mut piece = [0; 16384];
        while let Ok(count) = client.stream.read(&mut piece) {
            if count == 0 || client.stream.write_all(&piece[..count]).is_err() {
                break;
            }
        }
        let _ = client.stream.shutdown(Shutdown::Write);
    })
}

fn tcp_gateway(upstream: SocketAddr) -> Gateway {
    gateway(&[stream_service("a", "tcp", upstream)], &[stream_route("a", "tcp", &[])])
}

fn settles(gateway: &Gateway, counter: &str, value: u64) {
    let started = std::time::Instant::now();
    while gateway.counter(counter) != value {
        assert!(started.elapsed() < PATIENCE, "{counter} is {} and not {value}", gateway.counter(counter));
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn bytes_go_both_ways_and_a_half_may_end_first() {
    let upstream = Upstream::new(|mut client, _| {
        let question = client.rest();
        client.send([b"you said ", &question[..]].concat());
    });
    let gateway = tcp_gateway(upstream.address);
    let mut client = gateway.client();
    client.send("one ");
    client.send("two");
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.rest(), b"you said one two");
    settles(&gateway, "stream_bytes_in_total", 7);
    assert_eq!((gateway.counter("streams_total"), gateway.counter("stream_bytes_out_total")), (1, 16));
    assert_eq!(gateway.counter("requests_total"), 0);
}

#[test]
fn much_goes_through_a_slow_reader() {
    let gateway = tcp_gateway(parrot().address);
    let client = gateway.client();
    let sent: Vec<u8> = (0..4_000_000_u32).map(|number| (number % 251) as u8).collect();
    let (mut writer, copy) = (client.stream.try_clone().unwrap(), sent.clone());
    let writing = thread::spawn(move || {
        writer.write_all(&copy).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let (mut received, mut reader) = (Vec::new(), client.stream);
    reader.read_to_end(&mut received).unwrap();
    writing.join().unwrap();
    assert!(received == sent, "{} bytes of {}", received.len(), sent.len());
}

#[test]
fn a_stream_ends_with_its_tenant() {
    let upstream = parrot();
    let gateway = tcp_gateway(upstream.address);
    let mut client = gateway.client();
    client.send("here");
    assert_eq!(client.exactly(4), b"here");
    assert!(gateway.engine.remove("cp"));
    // What is cut off does not look complete.
    assert!(client.stream.read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
}

/// Whether a stream leads to the parrot.
fn is_served(gateway: &Gateway) -> bool {
    let mut client = gateway.client();
    client.stream.write_all(b"x").is_ok() && client.stream.read(&mut [0]).is_ok_and(|count| count == 1)
}

#[test]
fn streams_count_as_requests_of_their_tenant() {
    let upstream = parrot();
    let mut update = snapshot(1, &[stream_service("a", "tcp", upstream.address)], &[stream_route("a", "tcp", &[])]);
    update["limits"]["max_requests_per_second"] = json!(1);
    let gateway = gateway_with(&json!({}), &update);
    assert!(is_served(&gateway));
    // The clock cannot be stopped, so a second may pass between two streams, but hardly between all of these.
    let refused = (0..20).filter(|_| !is_served(&gateway)).count();
    assert!(refused > 0);
    assert_eq!(gateway.counter("requests_over_budget_total"), refused as u64);
    assert_eq!(upstream.connections(), 21 - refused);
    // Nobody gets as far as a handshake either.
    assert!((0..20).any(|_| Client::to(gateway.tls_address).is_closed()));
    gateway.engine.advance_clock(Duration::from_secs(2));
    assert!(is_served(&gateway));
}

#[test]
fn a_stream_is_a_request_for_as_long_as_it_lives() {
    for limit in ["max_concurrent_requests", "max_connections"] {
        let upstream = parrot();
        let mut update = snapshot(1, &[stream_service("a", "tcp", upstream.address)], &[stream_route("a", "tcp", &[])]);
        update["limits"][limit] = json!(1);
        let gateway = gateway_with(&json!({}), &update);
        let mut held = gateway.client();
        held.send("x");
        assert_eq!(held.exactly(1), b"x");
        assert!(gateway.client().is_closed());
        drop(held);
        eventually(|| is_served(&gateway));
    }
}

#[test]
fn without_a_route_nothing_is_connected() {
    let upstream = parrot();
    let services = [stream_service("a", "tcp", upstream.address)];
    let mut elsewhere = stream_route("a", "tcp", &[]);
    elsewhere["sources"] = json!([{"ip": "192.0.2.1"}]);
    for routes in [vec![elsewhere], vec![stream_route("a", "tls", &["a.test"])], vec![route("/")]] {
        let mut services = services.to_vec();
        services.push(service(upstream.address));
        assert!(gateway(&services, &routes).client().is_closed());
    }
    assert_eq!(upstream.connections(), 0);
}

#[test]
fn an_upstream_that_cannot_be_reached_is_tried_again() {
    let gateway = tcp_gateway(closed_port());
    assert!(gateway.client().is_closed());
    settles(&gateway, "upstream_errors_total", 1);
    assert_eq!((gateway.counter("upstream_retries_total"), gateway.counter("streams_total")), (1, 0));

    let mut update = snapshot(2, &[stream_service("a", "tcp", parrot().address)], &[stream_route("a", "tcp", &[])]);
    update["limits"] = json!({"allow_upstream": []});
    assert_eq!(gateway.apply(&update)["accepted"], true);
    assert!(gateway.client().is_closed());
    settles(&gateway, "upstream_refused_total", 1);
}

#[test]
fn what_was_cut_off_does_not_look_complete() {
    let upstream = Upstream::new(|mut client, _| {
        client.exactly(4);
        client.send("half");
        socket2::SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).unwrap();
    });
    let gateway = tcp_gateway(upstream.address);
    let mut client = gateway.client();
    client.send("ask!");
    assert!(client.stream.read_to_end(&mut Vec::new()).is_err());
}

#[test]
fn a_silent_stream_ends_after_the_services_timeout() {
    let mut service = stream_service("a", "tcp", parrot().address);
    service["read_timeout"] = json!(100);
    let gateway = gateway(&[service], &[stream_route("a", "tcp", &[])]);
    let mut client = gateway.client();
    client.send("x");
    assert_eq!(client.exactly(1), b"x");
    assert!(client.stream.read_to_end(&mut Vec::new()).is_err());
}

#[test]
fn tenants_have_a_limit_of_streams() {
    let mut update = snapshot(1, &[stream_service("a", "tcp", parrot().address)], &[stream_route("a", "tcp", &[])]);
    update["limits"]["max_connections"] = json!(1);
    let gateway = gateway_with(&json!({}), &update);
    let mut first = gateway.client();
    first.send("x");
    assert_eq!(first.exactly(1), b"x");
    assert!(gateway.client().is_closed());
    first.send("y");
    assert_eq!(first.exactly(1), b"y");
}

/// A backend that says its name to whoever connects, and then waits for the end.
fn announcing(name: &'static str) -> Upstream {
    Upstream::new(move |mut client, _| {
        client.send(name);
        client.rest();
    })
}

fn balanced(algorithm: &str, targets: &[SocketAddr]) -> Value {
    let mut service = stream_service("a", "tcp", closed_port());
    service["host"] = json!("u");
    let mut update = snapshot(1, &[service], &[stream_route("a", "tcp", &[])]);
    let unhealthy = json!({"tcp_failures": 1});
    update["entities"]["upstreams"] = json!([{
        "id": "up", "name": "u", "algorithm": algorithm, "hash_on": if algorithm == "round-robin" { "none" } else { "ip" },
        "healthchecks": {"passive": {"type": "tcp", "unhealthy": unhealthy}},
    }]);
    let target = |address: &SocketAddr| {
        let text = address.to_string();
        json!({"id": text, "upstream": {"id": "up"}, "target": text, "weight": 100})
    };
    update["entities"]["targets"] = targets.iter().map(target).collect();
    update
}

#[test]
fn streams_are_balanced_and_failures_are_remembered() {
    let (a, b, closed) = (announcing("a"), announcing("b"), closed_port());
    let gateway = gateway_with(&json!({}), &balanced("round-robin", &[a.address, closed, b.address]));
    let names: Vec<_> = (0..20).map(|_| gateway.client().exactly(1)).collect();
    assert_eq!(names.iter().filter(|name| **name == b"a").count(), 10, "{names:?}");
    // The dead one was tried once, and then no more.
    assert_eq!(gateway.counter("upstream_retries_total"), 1);
    assert_eq!((gateway.counter("streams_total"), gateway.counter("upstream_errors_total")), (20, 0));
    let health: Value = serde_json::from_slice(&gateway.engine.health()).unwrap();
    assert!(health["cp"]["up"].to_string().contains("UNHEALTHY"), "{health}");
}

#[test]
fn a_client_always_finds_the_same_target() {
    let upstreams = ["a", "b", "c"].map(announcing);
    let addresses = upstreams.each_ref().map(|upstream| upstream.address);
    let gateway = gateway_with(&json!({}), &balanced("consistent-hashing", &addresses));
    let first = gateway.client().exactly(1);
    assert!((0..10).all(|_| gateway.client().exactly(1) == first));
}

#[test]
fn streams_under_way_count_as_connections_of_their_target() {
    let (a, b) = (announcing("a"), announcing("b"));
    let gateway = gateway_with(&json!({}), &balanced("least-connections", &[a.address, b.address]));
    let mut clients: Vec<_> = (0..10).map(|_| gateway.client()).collect();
    let names: Vec<_> = clients.iter_mut().map(|client| client.exactly(1)).collect();
    assert_eq!(names.iter().filter(|name| **name == b"a").count(), 5, "{names:?}");
}

#[test]
fn a_client_that_breaks_off_is_connected_no_further() {
    let (event, events) = std::sync::mpsc::channel();
    // Accepts connections, but never answers a handshake.
    let event = std::sync::Mutex::new(event);
    let upstream = Upstream::new(move |mut client, _| {
        client.exactly(1);
        event.lock().unwrap().send("begun").unwrap();
        client.rest();
        event.lock().unwrap().send("over").unwrap();
    });
    let mut service = stream_service("a", "tls", upstream.address);
    service["connect_timeout"] = json!(600_000);
    let gateway = gateway(&[service], &[stream_route("a", "tcp", &[])]);
    let client = gateway.client();
    assert_eq!(events.recv_timeout(PATIENCE), Ok("begun"));
    socket2::SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    assert_eq!(events.recv_timeout(PATIENCE), Ok("over"));
    assert_eq!((gateway.counter("streams_total"), gateway.counter("upstream_errors_total")), (0, 0));
}

#[test]
fn streams_drain_when_the_engine_stops() {
    let gateway = tcp_gateway(parrot().address);
    let mut client = gateway.client();
    client.send("x");
    assert_eq!(client.exactly(1), b"x");
    let engine = gateway.engine.clone();
    let stopping = thread::spawn(move || engine.stop(PATIENCE));
    while TcpStream::connect(gateway.address).is_ok() {
        thread::sleep(Duration::from_millis(5));
    }
    client.send("y");
    assert_eq!(client.exactly(1), b"y");
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.rest(), b"");
    stopping.join().unwrap();
}

/// A tenant that ends TLS for `end.test` and passes on what is for `pass.test` and below.
fn tls_gateway(limits: &Value) -> (Gateway, Identity, Identity) {
    let authority = Authority::new("authority");
    let (own, inner) = (authority.identity(&["end.test"]), authority.identity(&["pass.test"]));
    let services = [
        stream_service("ends", "tcp", parrot().address),
        stream_service("passes", "tls_passthrough", TlsUpstream::new(&inner, None).address),
    ];
    let routes = [
        stream_route("ends", "tls", &["end.test"]),
        stream_route("passes", "tls_passthrough", &["pass.test", "*.pass.test"]),
    ];
    let mut update = snapshot(1, &services, &routes);
    update["entities"]["certificates"] = json!([own.entity("c")]);
    update["entities"]["snis"] = json!([sni("end.test", "c")]);
    (gateway_with(limits, &update), own, inner)
}

#[test]
fn tls_ends_at_the_gateway_or_at_the_service() {
    let (gateway, own, inner) = tls_gateway(&json!({}));
    let config = Arc::new(client_config(rustls::ALL_VERSIONS));
    let mut client = TlsClient::to(gateway.tls_address, "end.test", &config);
    assert_eq!(client.shown(), own.der);
    client.stream.write_all(b"hello").unwrap();
    let mut answer = [0; 5];
    client.stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"hello");
    client.stream.conn.send_close_notify();
    client.stream.flush().unwrap();
    assert_eq!(client.stream.read(&mut answer).unwrap(), 0);

    for name in ["pass.test", "x.pass.test"] {
        let mut client = TlsClient::to(gateway.tls_address, name, &config);
        assert_eq!(client.shown(), inner.der, "{name}");
        assert_eq!(client.get(name), (200, format!("{name} none full")));
    }
    for name in ["other.test", "127.0.0.1"] {
        let mut client = Client::to(gateway.tls_address);
        client.send(hello(name));
        assert!(client.stream.read_to_end(&mut Vec::new()).is_ok_and(|count| count == 0), "{name}");
    }
}

/// What a client sends first.
fn hello(name: &str) -> Vec<u8> {
    let config = Arc::new(client_config(rustls::ALL_VERSIONS));
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut bytes = Vec::new();
    ClientConnection::new(config, name).unwrap().write_tls(&mut bytes).unwrap();
    bytes
}

#[test]
fn a_first_message_may_come_in_any_pieces() {
    let (gateway, ..) = tls_gateway(&json!({}));
    for name in ["end.test", "pass.test"] {
        let whole = hello(name);
        // One byte at a time, then one record per byte of the first sixteen.
        let mut records = Vec::new();
        let (first, rest) = whole[5..].split_at(16);
        for piece in first.chunks(1).chain([rest]) {
            records.extend([22, 3, 1]);
            records.extend(u16::try_from(piece.len()).unwrap().to_be_bytes());
            records.extend(piece);
        }
        for bytes in [whole, records] {
            let mut client = Client::to(gateway.tls_address);
            for byte in &bytes {
                client.send([*byte]);
            }
            assert_eq!(client.exactly(1), [22], "{name}");
        }
    }
}

#[test]
fn a_first_message_has_bounds() {
    let (gateway, ..) = tls_gateway(&json!({"handshake_timeout_ms": 200}));
    let ends = |bytes: &[u8]| {
        let mut client = Client::to(gateway.tls_address);
        // The gateway may end the connection before all is sent.
        let _ = client.stream.write_all(bytes);
        let mut received = Vec::new();
        let _ = client.stream.read_to_end(&mut received);
        assert!(received.is_empty(), "{received:?}");
    };
    // A handshake of 60,000 bytes in records of 4,000, without an end.
    let mut giant = vec![22, 3, 1, 0x0f, 0xa4, 1, 0, 0xea, 0x60];
    giant.extend([0; 4000]);
    for _ in 0..8 {
        giant.extend([22, 3, 1, 0x0f, 0xa0]);
        giant.extend([0; 4000]);
    }
    ends(&giant);
    ends(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    ends(&hello("end.test")[..40]);
    ends(b"");
}

#[test]
fn the_gateway_speaks_tls_with_a_service() {
    let authority = Authority::new("authority");
    let upstream = TlsUpstream::new(&authority.identity(&["127.0.0.1"]), None);
    let mut service = stream_service("a", "tls", upstream.address);
    service["ca_certificates"] = json!(["0"]);
    let mut update = snapshot(1, &[service], &[stream_route("a", "tcp", &[])]);
    update["entities"]["ca_certificates"] = json!([{"id": "0", "cert": authority.pem}]);
    let gateway = gateway_with(&json!({}), &update);
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().text(), "none none full");

    update["version"] = json!(2);
    update["entities"]["ca_certificates"] = json!([{"id": "0", "cert": Authority::new("other").pem}]);
    assert_eq!(gateway.apply(&update)["accepted"], true);
    assert!(gateway.client().is_closed());
}
