//! http-log.

use serde_json::{Value, json};

use crate::support::{Gateway, Upstream, closed_port, eventually};

use super::{GET, Receiver, counted, gateway, http_log, orderly, queue, with_plugins};

#[test]
fn one_record_is_an_object() {
    let receiver = Receiver::new();
    let url = format!("http://us%3aer:p@{}/logs?dropped=1", receiver.upstream.address);
    let gateway = gateway(&[http_log(&json!({
        "http_endpoint": url, "method": "PUT", "content_type": "application/json; charset=utf-8",
        "headers": {"X-Own": "1"},
    }))]);
    assert_eq!(gateway.ask(GET).status, 200);
    assert_eq!(receiver.bodies(1)[0]["request"]["uri"], "/a");
    let head = receiver.posted.lock().unwrap()[0].0.clone();
    assert!(head.starts_with("PUT /logs HTTP/1.1\r\n"), "{head}");
    for line in ["Authorization: Basic dXM6ZXI6cA==", "X-Own: 1", "Content-Type: application/json; charset=utf-8"] {
        assert!(head.contains(&format!("\r\n{line}\r\n")), "{line}: {head}");
    }
    counted(&gateway, "records_sent_total", 1);
}

#[test]
fn several_records_are_a_list() {
    let receiver = Receiver::new();
    let batches = queue(&json!({"max_batch_size": 3, "max_coalescing_delay": 0.3}));
    let gateway = gateway(&[http_log(&json!({"http_endpoint": receiver.url(), "queue": batches}))]);
    for _ in 0..4 {
        assert_eq!(gateway.ask(GET).status, 200);
    }
    let lengths = |bodies: Vec<Value>| bodies.iter().map(|body| body.as_array().unwrap().len()).collect::<Vec<_>>();
    assert_eq!(lengths(receiver.bodies(2)), [3, 1]);
}

#[test]
fn old_settings_of_the_queue_count() {
    let receiver = Receiver::new();
    let config = json!({"http_endpoint": receiver.url(), "queue_size": 2, "flush_timeout": 60});
    let gateway = gateway(&[http_log(&config)]);
    assert_eq!([gateway.ask(GET).status, gateway.ask(GET).status], [200, 200]);
    assert_eq!(receiver.bodies(1)[0].as_array().unwrap().len(), 2);
}

#[test]
fn a_refused_record_comes_again_until_it_is_taken() {
    let receiver = Receiver::answering(|number| {
        let status = ["503 Busy", "301 Elsewhere\r\nLocation: http://127.0.0.1:1/", "200 OK"][number.min(2)];
        format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n")
    });
    let gateway = gateway(&[http_log(&json!({"http_endpoint": receiver.url()}))]);
    assert_eq!(gateway.ask(GET).status, 200);
    let bodies = receiver.bodies(3);
    assert!(bodies[0] == bodies[1] && bodies[1] == bodies[2]);
    counted(&gateway, "records_sent_total", 1);
    let counts = ["record_deliveries_failed_total", "records_dropped_total", "records_waiting_bytes"];
    assert_eq!(counts.map(|name| gateway.counter(name)), [2, 0, 0]);
}

#[test]
fn what_nobody_takes_in_time_is_lost_and_traffic_goes_on() {
    let config = json!({
        "http_endpoint": format!("http://{}/", closed_port()), "queue": queue(&json!({"max_retry_time": 0.1})),
    });
    let gateway = gateway(&[http_log(&config)]);
    let mut client = gateway.client();
    for _ in 0..20 {
        client.send(GET);
        assert_eq!(client.response().status, 200);
    }
    counted(&gateway, "records_dropped_total", 20);
    counted(&gateway, "records_waiting_bytes", 0);
    assert!(gateway.counter("record_deliveries_failed_total") >= 20);
}

#[test]
fn a_receiver_that_never_answers_costs_its_own_records() {
    let receiver = Upstream::new(|mut client, _| drop(client.rest()));
    let config = json!({
        "http_endpoint": format!("http://{}/", receiver.address), "queue": queue(&json!({"max_entries": 2})),
    });
    let gateway = gateway(&[http_log(&config)]);
    assert_eq!(gateway.ask(GET).status, 200);
    eventually(|| receiver.connections() == 1);
    for _ in 0..5 {
        assert_eq!(gateway.ask(GET).status, 200);
    }
    // One is under way and two wait.
    counted(&gateway, "records_dropped_total", 3);
    assert_eq!(gateway.counter("requests_total"), 6);
}

#[test]
fn a_connection_is_kept_where_that_is_wanted() {
    for (keepalive, connections) in [(60_000, 1), (0, 3)] {
        let receiver = Receiver::new();
        let config = json!({"http_endpoint": receiver.url(), "keepalive": keepalive});
        let gateway = orderly(&with_plugins(Upstream::echo().address, &[http_log(&config)]));
        for number in 1..=3 {
            assert_eq!(gateway.ask(GET).status, 200);
            counted(&gateway, "records_sent_total", number);
        }
        assert_eq!(receiver.upstream.connections(), connections);
    }
}

#[test]
fn addresses_that_the_tenant_may_not_reach_are_not_reached() {
    let receiver = Receiver::new();
    let config = json!({"http_endpoint": receiver.url(), "queue": queue(&json!({"max_retry_time": 0}))});
    let mut configuration = with_plugins(Upstream::echo().address, &[http_log(&config)]);
    configuration["limits"]["allow_upstream"] = json!([]);
    let gateway = Gateway::with(&configuration);
    assert_eq!(gateway.ask(GET).status, 503);
    counted(&gateway, "records_dropped_total", 1);
    assert_eq!(receiver.upstream.connections(), 0);
}

#[test]
fn what_cannot_be_done_is_refused() {
    for (config, field) in [
        (json!({"http_endpoint": "ftp://a.test"}), "config.http_endpoint"),
        (
            json!({"http_endpoint": "http://a.test", "custom_fields_by_lua": {"a": "return 1"}}),
            "config.custom_fields_by_lua",
        ),
        (json!({"http_endpoint": "http://a.test", "client_certificate": {"id": "c"}}), "config.client_certificate"),
        (json!({"http_endpoint": "http://a.test", "headers": {"x-a": "b\r\nc: d"}}), "config.headers.x-a"),
    ] {
        let gateway = gateway(&[]);
        let mut configuration = with_plugins(closed_port(), &[http_log(&config)]);
        configuration["version"] = json!(2);
        let report = gateway.apply(&configuration);
        assert_eq!((&report["accepted"], &report["errors"][0]["field"]), (&json!(false), &json!(field)), "{report}");
    }
}
