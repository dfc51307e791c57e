//! tcp-log and udp-log.

use std::net::UdpSocket;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::support::{Gateway, PATIENCE, Upstream, closed_port, eventually};

use super::{GET, counted, gateway, orderly, plugin, with_plugins};

fn tcp_log(port: u16, config: &Value) -> Value {
    let defaults = json!({
        "host": "127.0.0.1", "port": port, "timeout": 10000, "keepalive": 60000, "tls": false, "tls_sni": null,
        "ssl_verify": true, "custom_fields_by_lua": null,
    });
    plugin("tcp-log", defaults, config)
}

fn udp_log(port: u16) -> Value {
    let config = json!({"host": "127.0.0.1", "port": port, "timeout": 10000, "custom_fields_by_lua": {}});
    plugin("udp-log", config, &json!({}))
}

fn single(plugins: &[Value]) -> Gateway {
    orderly(&with_plugins(Upstream::echo().address, plugins))
}

/// A server that notes lines; a connection ends after so many.
fn lines(most: usize) -> (Upstream, Arc<Mutex<Vec<Value>>>) {
    let noted: Arc<Mutex<Vec<Value>>> = Arc::default();
    let seen = noted.clone();
    let server = Upstream::new(move |mut client, _| {
        let mut line = Vec::new();
        let mut count = 0;
        while count < most {
            match client.exactly(1)[0] {
                b'\n' => {
                    seen.lock().unwrap().push(serde_json::from_slice(&line).unwrap());
                    line.clear();
                    count += 1;
                }
                byte => line.push(byte),
            }
        }
    });
    (server, noted)
}

#[test]
fn records_are_lines_of_one_connection() {
    let (server, noted) = lines(usize::MAX);
    let gateway = single(&[tcp_log(server.address.port(), &json!({}))]);
    for number in 1..=3 {
        assert_eq!(gateway.ask(&format!("GET /{number} HTTP/1.1\r\nHost: h\r\n\r\n")).status, 200);
        counted(&gateway, "records_sent_total", number);
    }
    eventually(|| noted.lock().unwrap().len() == 3);
    let uris: Vec<_> = noted.lock().unwrap().iter().map(|record| record["request"]["uri"].clone()).collect();
    assert_eq!((uris, server.connections()), (vec![json!("/1"), json!("/2"), json!("/3")], 1));
}

#[test]
fn a_connection_that_has_ended_is_replaced() {
    let (server, noted) = lines(1);
    let gateway = single(&[tcp_log(server.address.port(), &json!({}))]);
    for number in 1..=3 {
        assert_eq!(gateway.ask(GET).status, 200);
        eventually(|| noted.lock().unwrap().len() == number);
        // The end is there shortly after the line was read.
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(server.connections(), 3);
}

#[test]
fn without_keepalive_each_batch_has_a_connection() {
    let (server, noted) = lines(1);
    let gateway = single(&[tcp_log(server.address.port(), &json!({"keepalive": 0}))]);
    for number in 1..=2 {
        assert_eq!(gateway.ask(GET).status, 200);
        eventually(|| noted.lock().unwrap().len() == number);
    }
    assert_eq!(server.connections(), 2);
}

#[test]
fn lines_travel_within_tls() {
    // Another gateway takes the connection, and answers that this is no request.
    let receiver = gateway(&[]);
    let port = receiver.tls_address.port();
    let config = json!({"tls": true, "ssl_verify": false, "tls_sni": "logs.test"});
    let gateway = single(&[tcp_log(port, &config)]);
    assert_eq!(gateway.ask(GET).status, 200);
    eventually(|| receiver.stats()["malformed_requests_total"] == 1);
    counted(&gateway, "records_sent_total", 1);
    // A certificate that nobody has signed is not taken.
    let strict = single(&[tcp_log(port, &json!({"tls": true}))]);
    assert_eq!(strict.ask(GET).status, 200);
    counted(&strict, "records_dropped_total", 1);
}

#[test]
fn a_receiver_that_is_down_costs_its_own_records() {
    let gateway = gateway(&[tcp_log(closed_port().port(), &json!({}))]);
    for _ in 0..5 {
        assert_eq!(gateway.ask(GET).status, 200);
    }
    counted(&gateway, "records_dropped_total", 5);
    counted(&gateway, "records_waiting_bytes", 0);
}

#[test]
fn a_receiver_that_reads_nothing_costs_its_own_records() {
    // Connections are accepted by the system, and read by nobody.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let gateway = single(&[tcp_log(port, &json!({"timeout": 200}))]);
    let request = format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(30_000));
    let mut client = gateway.client();
    for _ in 0..400 {
        client.send(&request);
        assert_eq!(client.response().status, 200);
    }
    eventually(|| gateway.counter("records_dropped_total") > 0);
    assert!(gateway.counter("records_waiting_bytes") <= 16 * 1024 * 1024);
}

#[test]
fn each_record_is_a_datagram() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let gateway = single(&[udp_log(socket.local_addr().unwrap().port())]);
    let mut datagram = vec![0; 65536];
    for number in 0..3 {
        assert_eq!(gateway.ask(&format!("GET /{number} HTTP/1.1\r\nHost: h\r\n\r\n")).status, 200);
        let length = socket.recv(&mut datagram).unwrap();
        let record: Value = serde_json::from_slice(&datagram[..length]).unwrap();
        assert_eq!(record["request"]["uri"], format!("/{number}"));
    }
    counted(&gateway, "records_sent_total", 3);
}

#[test]
fn a_datagram_that_is_too_large_is_lost_alone() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let gateway = single(&[udp_log(socket.local_addr().unwrap().port())]);
    // The record has the path several times.
    let large = format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(31_000));
    assert_eq!(gateway.ask(&large).status, 200);
    counted(&gateway, "records_dropped_total", 1);
    assert_eq!(gateway.ask(GET).status, 200);
    assert!(socket.recv(&mut [0; 4096]).unwrap() > 0);
    counted(&gateway, "records_sent_total", 1);
}

#[test]
fn nobody_has_to_listen() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    drop(socket);
    let gateway = gateway(&[udp_log(port)]);
    for _ in 0..5 {
        assert_eq!(gateway.ask(GET).status, 200);
    }
    eventually(|| gateway.counter("records_sent_total") + gateway.counter("records_dropped_total") == 5);
    counted(&gateway, "records_waiting_bytes", 0);
}

#[test]
fn datagrams_go_to_no_address_that_the_tenant_may_not_reach() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let mut configuration = with_plugins(closed_port(), &[udp_log(port), tcp_log(port, &json!({}))]);
    configuration["limits"]["allow_upstream"] = json!([]);
    let gateway = Gateway::with(&configuration);
    assert_eq!(gateway.ask(GET).status, 503);
    counted(&gateway, "records_dropped_total", 2);
    socket.set_nonblocking(true).unwrap();
    assert!(socket.recv(&mut [0; 1]).is_err());
}

#[test]
fn what_is_no_server_is_refused() {
    let gateway = gateway(&[]);
    for (plugin, field) in [
        (udp_log(0), "config.host"),
        (tcp_log(1, &json!({"host": "a b"})), "config.host"),
        (tcp_log(1, &json!({"tls": true, "tls_sni": "a b"})), "config.tls_sni"),
        (tcp_log(1, &json!({"custom_fields_by_lua": {"a": "return 1"}})), "config.custom_fields_by_lua"),
    ] {
        let mut configuration = with_plugins(closed_port(), &[plugin]);
        configuration["version"] = json!(2);
        let report = gateway.apply(&configuration);
        assert_eq!((&report["accepted"], &report["errors"][0]["field"]), (&json!(false), &json!(field)), "{report}");
    }
}
