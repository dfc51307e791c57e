//! Clients that are too slow on purpose.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Client, Gateway, Upstream, route, service, snapshot};

/// A gateway that wants a thousand bytes per second, over half a second, and never hears of silence.
fn gateway(configuration: &Value) -> Gateway {
    Gateway::with_limits(configuration, &json!({"body_timeout_ms": 500, "min_body_rate": 1000}))
}

/// A client that sends one byte of its body after the other, each well within the time for silence, until it has an
/// answer.
fn trickle(gateway: &Gateway, head: &str) -> u16 {
    let mut client = gateway.client();
    client.send(head);
    let mut sender = client.stream.try_clone().unwrap();
    let answered = Arc::new(AtomicBool::new(false));
    let over = answered.clone();
    let trickling = thread::spawn(move || {
        while !over.load(Ordering::SeqCst) && sender.write_all(b"x").is_ok() {
            thread::sleep(Duration::from_millis(20));
        }
    });
    let status = client.response().status;
    answered.store(true, Ordering::SeqCst);
    trickling.join().unwrap();
    status
}

const TRICKLE: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n";

#[test]
fn a_trickle_is_not_waited_for() {
    let upstream = Upstream::new(|mut client: Client, _| drop(client.rest()));
    let gateway = gateway(&snapshot(1, &[service(upstream.address)], &[route("/")]));
    assert_eq!(trickle(&gateway, TRICKLE), 408);
}

#[test]
fn nor_where_the_body_is_read_first() {
    let upstream = Upstream::echo();
    let mut configuration = snapshot(1, &[service(upstream.address)], &[route("/")]);
    configuration["entities"]["plugins"] = json!([{
        "id": "p", "name": "request-transformer", "config": {"add": {"body": ["a:b"]}}, "enabled": true,
        "protocols": ["http"], "service": null, "route": null, "consumer": null,
    }]);
    assert_eq!(trickle(&gateway(&configuration), TRICKLE), 408);
    assert_eq!(upstream.connections(), 0);
}

#[test]
fn a_slow_upstream_is_not_the_clients_fault() {
    // Takes nothing for longer than the client may be slow, and then all of it.
    let upstream = Upstream::new(|mut client: Client, _| {
        thread::sleep(Duration::from_secs(1));
        let head = client.head().unwrap();
        client.body(&head, false);
        client.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        client.rest();
    });
    let gateway = gateway(&snapshot(1, &[service(upstream.address)], &[route("/")]));
    let mut client = gateway.client();
    // More than the system's buffers hold, so that the gateway has to wait.
    let size = 16 << 20;
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n"));
    client.send(vec![b'x'; size]);
    assert_eq!(client.response().status, 200);
}
