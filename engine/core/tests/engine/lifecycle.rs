use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::json;
use sluice_engine_core::engine::Engine;

use crate::support::{Client, Gateway, Upstream, route, service, snapshot};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn configuration_changes_drop_no_request() {
    let upstream = Upstream::echo();
    let gateway = Gateway::to(upstream.address);
    let stop = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (stop, answered, mut client) = (stop.clone(), answered.clone(), gateway.client());
            thread::spawn(move || {
                while !stop.load(Ordering::SeqCst) {
                    client.send(GET);
                    assert_eq!(client.response().status, 200);
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    for version in 2..200 {
        let mut second = route("/other");
        second["id"] = json!(format!("r{version}"));
        let report = gateway.apply(&snapshot(version, &[service(upstream.address)], &[route("/"), second]));
        assert_eq!(report["accepted"], true);
    }
    while answered.load(Ordering::SeqCst) < 100 {
        thread::sleep(Duration::from_millis(1));
    }
    stop.store(true, Ordering::SeqCst);
    for client in clients {
        client.join().unwrap();
    }
}

#[test]
fn stopping_lets_requests_finish_and_closes_idle_connections() {
    let upstream = Upstream::new(|mut client: Client, _| {
        client.head();
        thread::sleep(Duration::from_millis(150));
        client.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    let gateway = Gateway::to(upstream.address);
    let mut idle = gateway.client();
    let mut busy = gateway.client();
    busy.send(GET);
    thread::sleep(Duration::from_millis(50));
    let engine = gateway.engine.clone();
    let stopping = thread::spawn(move || engine.stop(Duration::from_hours(1)));
    assert!(idle.is_closed());
    let response = busy.response();
    assert_eq!((response.status, response.header("connection")), (200, Some("close")));
    assert!(busy.is_closed());
    stopping.join().unwrap();
    assert!(std::net::TcpStream::connect(gateway.address).is_err());
    gateway.engine.stop(Duration::from_secs(5));
}

#[test]
fn stopping_ends_what_outlives_the_grace() {
    let upstream = Upstream::new(|mut client: Client, _| drop(client.rest()));
    let gateway = Gateway::to(upstream.address);
    let mut client = gateway.client();
    client.send(GET);
    thread::sleep(Duration::from_millis(50));
    gateway.engine.stop(Duration::from_millis(100));
    assert!(client.is_closed());
}

#[test]
fn slow_heads_time_out() {
    let upstream = Upstream::echo();
    let configuration = snapshot(1, &[service(upstream.address)], &[route("/")]);
    let gateway = Gateway::with_limits(&configuration, &json!({"head_timeout_ms": 50, "idle_timeout_ms": 80}));
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\n");
    assert_eq!(client.response().status, 408);
    assert!(client.is_closed());
    let mut silent = gateway.client();
    assert!(silent.is_closed());
    let mut used = gateway.client();
    used.send(GET);
    assert_eq!(used.response().status, 200);
    assert!(used.is_closed());
}

#[test]
fn slow_bodies_time_out() {
    let upstream = Upstream::echo();
    let configuration = snapshot(1, &[service(upstream.address)], &[route("/")]);
    let gateway = Gateway::with_limits(&configuration, &json!({"body_timeout_ms": 50}));
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabc");
    assert_eq!(client.response().status, 408);
    assert!(client.is_closed());
}

#[test]
fn bad_options_and_taken_ports() {
    for options in ["", "{}", r#"{"listeners": [], "version": "x", "more": 1}"#] {
        assert!(Engine::new(options.as_bytes()).is_err());
    }
    let bad = r#"{"listeners": [], "version": "x", "default_certificate": {"cert": "x", "key": "y"}}"#;
    assert!(Engine::new(bad.as_bytes()).is_err());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let options =
        json!({"listeners": [{"address": taken.local_addr().unwrap().to_string(), "tls": false}], "version": "x"});
    assert!(Engine::new(options.to_string().as_bytes()).unwrap().start().is_err());
}
