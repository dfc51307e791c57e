use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Client, Gateway, Upstream, closed_port, route, service, snapshot};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn connections_are_reused() {
    let upstream = Upstream::echo();
    let gateway = Gateway::to(upstream.address);
    let mut client = gateway.client();
    for n in 0..10 {
        client.send(format!("POST /{n} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"));
        assert_eq!(client.response().status, 200);
    }
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn connections_that_the_upstream_closes_are_not() {
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
    let gateway = Gateway::to(upstream.address);
    let mut client = gateway.client();
    for _ in 0..3 {
        client.send(GET);
        assert_eq!(client.response().text(), "ok");
    }
    assert_eq!(upstream.connections(), 3);
}

#[test]
fn a_stale_connection_is_replaced() {
    // Every connection dies with its second request, after the gateway has written it.
    let upstream = Upstream::new(|mut client: Client, _| {
        client.head();
        client.send(OK);
        client.head();
    });
    let mut configuration = snapshot(1, &[service(upstream.address)], &[route("/")]);
    configuration["entities"]["services"][0]["retries"] = json!(0);
    let gateway = Gateway::with(&configuration);
    let mut client = gateway.client();
    for _ in 0..4 {
        client.send(GET);
        assert_eq!(client.response().status, 200);
    }
}

#[test]
fn closed_idle_connections_are_seen_even_for_posts() {
    let upstream = Upstream::new(|mut client: Client, _| {
        let head = client.head().unwrap();
        client.body(&head, false);
        client.send(OK);
    });
    let gateway = Gateway::to(upstream.address);
    let mut client = gateway.client();
    for _ in 0..4 {
        client.send(POST);
        assert_eq!(client.response().status, 200);
        thread::sleep(Duration::from_millis(20));
    }
}

/// An upstream that hangs up on the first `failures` requests.
fn failing(failures: usize) -> (Upstream, Arc<AtomicUsize>) {
    let seen = Arc::new(AtomicUsize::new(0));
    let counter = seen.clone();
    let upstream = Upstream::new(move |mut client: Client, _| {
        let Some(head) = client.head() else { return };
        client.body(&head, false);
        if counter.fetch_add(1, Ordering::SeqCst) >= failures {
            client.send(OK);
        }
    });
    (upstream, seen)
}

#[test]
fn idempotent_requests_are_tried_again() {
    let (upstream, seen) = failing(3);
    let gateway = Gateway::to(upstream.address);
    assert_eq!(gateway.ask(GET).status, 200);
    assert_eq!(seen.load(Ordering::SeqCst), 4);
    assert_eq!(gateway.counter("upstream_retries_total"), 3);
}

#[test]
fn tries_are_bounded() {
    let (upstream, seen) = failing(100);
    let mut configuration = snapshot(1, &[service(upstream.address)], &[route("/")]);
    configuration["entities"]["services"][0]["retries"] = json!(2);
    let gateway = Gateway::with(&configuration);
    let response = gateway.ask(GET);
    assert_eq!(response.status, 502);
    assert!(response.text().contains("An invalid response was received from the upstream server"));
    assert_eq!(seen.load(Ordering::SeqCst), 3);
}

#[test]
fn posts_that_were_sent_are_not_tried_again() {
    let (upstream, seen) = failing(1);
    let gateway = Gateway::to(upstream.address);
    assert_eq!(gateway.ask(POST).status, 502);
    assert_eq!(seen.load(Ordering::SeqCst), 1);
}

#[test]
fn refused_connections() {
    let gateway = Gateway::to(closed_port());
    let response = gateway.ask(POST);
    assert_eq!(response.status, 502);
    assert_eq!(gateway.counter("upstream_retries_total"), 5);
    assert_eq!(gateway.counter("upstream_errors_total"), 1);
    assert!(response.header("x-kong-upstream-latency").is_some());
    assert!(response.header("x-kong-response-latency").is_none());
}

#[test]
fn silence_times_out() {
    let upstream = Upstream::new(|mut client: Client, _| drop(client.rest()));
    let mut configuration = snapshot(1, &[service(upstream.address)], &[route("/")]);
    configuration["entities"]["services"][0]["read_timeout"] = json!(50);
    configuration["entities"]["services"][0]["retries"] = json!(1);
    let gateway = Gateway::with(&configuration);
    let started = Instant::now();
    let response = gateway.ask(GET);
    assert_eq!(response.status, 504);
    assert!(response.text().contains("The upstream server is timing out"));
    assert!(started.elapsed() >= Duration::from_millis(100), "each of two tries has the time-out");
}

#[test]
fn a_client_that_leaves_takes_the_upstream_request_along() {
    let (done, left) = std::sync::mpsc::channel();
    let upstream = Upstream::new(move |mut client: Client, _| {
        client.head();
        done.send(client.rest().len()).unwrap();
    });
    let gateway = Gateway::to(upstream.address);
    let mut client = gateway.client();
    client.send(GET);
    thread::sleep(Duration::from_millis(50));
    drop(client);
    assert_eq!(left.recv_timeout(Duration::from_secs(3)), Ok(0));
}

#[test]
fn private_addresses_are_refused() {
    let upstream = Upstream::echo();
    for (host, allowed) in [
        ("127.0.0.1", json!([])),
        ("localhost", json!([])),
        ("127.0.0.1", json!(["10.0.0.0/8"])),
        ("[::ffff:127.0.0.1]", json!([])),
        ("0.0.0.0", json!([])),
    ] {
        let mut configuration = snapshot(1, &[service(upstream.address)], &[route("/")]);
        configuration["entities"]["services"][0]["host"] = json!(host);
        configuration["limits"] = json!({"allow_upstream": allowed});
        let gateway = Gateway::with(&configuration);
        assert_eq!(gateway.ask(GET).status, 503, "{host}");
        assert_eq!(gateway.counter("upstream_refused_total"), 1, "{host}");
    }
    let mut configuration = snapshot(1, &[service(upstream.address)], &[route("/")]);
    configuration.as_object_mut().unwrap().remove("limits");
    assert_eq!(Gateway::with(&configuration).ask(GET).status, 503);
    // An old spelling of 127.0.0.1 is an address to some resolvers and an unknown name to others.
    configuration["entities"]["services"][0]["host"] = json!("0x7f000001");
    assert_eq!(Gateway::with(&configuration).ask(GET).status, 503);
    assert_eq!(upstream.connections(), 0);
}

#[test]
fn names_resolve() {
    let upstream = Upstream::echo();
    let mut configuration = snapshot(1, &[service(upstream.address)], &[route("/")]);
    configuration["entities"]["services"][0]["host"] = json!("localhost");
    configuration["limits"]["allow_upstream"] = json!(["127.0.0.0/8", "::1"]);
    let gateway = Gateway::with(&configuration);
    let text = gateway.ask(GET).text();
    assert!(text.contains(&format!("Host: localhost:{}\r\n", upstream.address.port())), "{text}");

    configuration["entities"]["services"][0]["host"] = json!(format!("{}.test", "a".repeat(64)));
    configuration["version"] = json!(2);
    gateway.apply(&configuration);
    let response = gateway.ask(GET);
    assert_eq!(response.status, 503);
    assert!(response.text().contains("name resolution failed"));
}

#[test]
fn tls_on_both_sides() {
    // The gateway is its own TLS upstream: its listener's certificate is self-signed.
    let upstream = Upstream::echo();
    let inner = Gateway::to(upstream.address);
    let through = |verify: Option<bool>| {
        let address: SocketAddr = inner.tls_address;
        let mut configuration = snapshot(1, &[service(address)], &[route("/")]);
        configuration["entities"]["services"][0]["protocol"] = json!("https");
        configuration["entities"]["services"][0]["tls_verify"] = json!(verify);
        configuration["entities"]["services"][0]["retries"] = json!(0);
        Gateway::with(&configuration)
    };
    let gateway = through(Some(false));
    let mut client = gateway.client();
    for size in [0, 100_000] {
        let body = "x".repeat(size);
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n{body}"));
        let text = client.response().text();
        assert!(text.contains("X-Forwarded-Proto: https\r\n") && text.ends_with(&body));
    }
    for verify in [None, Some(true)] {
        assert_eq!(through(verify).ask(GET).status, 502);
    }
}
