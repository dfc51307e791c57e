//! The queue that all of them have.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Gateway, Upstream, closed_port, eventually};

use super::{GET, Receiver, counted, gateway, http_log, orderly, queue, with_plugins};

/// A plugin that posts batches of two, for which it waits a minute.
fn pairs(receiver: &Receiver) -> Value {
    let pairs = queue(&json!({"max_batch_size": 2, "max_coalescing_delay": 60}));
    http_log(&json!({"http_endpoint": receiver.url(), "queue": pairs}))
}

#[test]
fn what_waits_survives_a_change_of_something_else() {
    let receiver = Receiver::new();
    let mut configuration = with_plugins(Upstream::echo().address, &[pairs(&receiver)]);
    let gateway = orderly(&configuration);
    assert_eq!(gateway.ask(GET).status, 200);
    configuration["version"] = json!(2);
    configuration["entities"]["routes"][0]["strip_path"] = json!(false);
    assert_eq!(gateway.apply(&configuration)["accepted"], true);
    assert_eq!(gateway.ask(GET).status, 200);
    let told: Vec<_> = receiver.bodies(1)[0].as_array().unwrap().iter().map(|record| record["route"].clone()).collect();
    assert_eq!((&told[0]["strip_path"], &told[1]["strip_path"]), (&json!(true), &json!(false)));
}

#[test]
fn what_waits_is_sent_when_the_instance_changes_or_goes() {
    let receiver = Receiver::new();
    let upstream = Upstream::echo();
    let mut configuration = with_plugins(upstream.address, &[pairs(&receiver)]);
    let gateway = Gateway::with(&configuration);
    for (version, plugins) in
        [(2, json!([http_log(&json!({"http_endpoint": receiver.url(), "timeout": 9}))])), (3, json!([]))]
    {
        assert_eq!(gateway.ask(GET).status, 200);
        configuration["version"] = json!(version);
        configuration["entities"]["plugins"] = plugins;
        assert_eq!(gateway.apply(&configuration)["accepted"], true);
        // A version goes when somebody looks.
        eventually(|| gateway.stats().is_object() && receiver.count() == version - 1);
    }
    counted(&gateway, "records_waiting_bytes", 0);
}

#[test]
fn what_waits_is_sent_when_the_engine_stops() {
    let receiver = Receiver::new();
    let gateway = gateway(&[pairs(&receiver)]);
    assert_eq!(gateway.ask(GET).status, 200);
    gateway.engine.stop(Duration::from_secs(10));
    assert_eq!(receiver.bodies(1)[0].as_array().unwrap().len(), 1);
}

#[test]
fn a_receiver_that_is_down_does_not_hold_up_the_end() {
    let config = json!({
        "http_endpoint": format!("http://{}/", closed_port()),
        "queue": queue(&json!({"initial_retry_delay": 100_000, "max_retry_delay": 100_000, "max_retry_time": 1_000_000})),
    });
    let gateway = gateway(&[http_log(&config)]);
    assert_eq!(gateway.ask(GET).status, 200);
    counted(&gateway, "record_deliveries_failed_total", 1);
    // The drain time is far longer than any test may take.
    gateway.engine.stop(Duration::from_secs(3600));
    assert_eq!(gateway.counter("records_dropped_total"), 1);
}

#[test]
fn the_queue_of_a_tenant_that_is_gone_ends() {
    let config = json!({"http_endpoint": format!("http://{}/", closed_port())});
    let gateway = gateway(&[http_log(&config)]);
    for _ in 0..5 {
        assert_eq!(gateway.ask(GET).status, 200);
    }
    eventually(|| gateway.counter("record_deliveries_failed_total") > 0);
    assert!(gateway.stats()["records_waiting_bytes"].as_u64().unwrap() > 0);
    assert!(gateway.engine.remove("cp"));
    eventually(|| gateway.stats()["records_waiting_bytes"] == 0);
}

#[test]
fn bytes_that_wait_are_bounded() {
    let receiver = Upstream::new(|mut client, _| drop(client.rest()));
    let config = json!({
        "http_endpoint": format!("http://{}/", receiver.address), "queue": queue(&json!({"max_bytes": 20_000})),
    });
    let gateway = gateway(&[http_log(&config)]);
    let mut client = gateway.client();
    for number in 1..=50 {
        // An exchange is logged before its connection ends, though after its response.
        let connection = if number == 50 { "close" } else { "keep-alive" };
        client.send(format!("GET /{} HTTP/1.1\r\nHost: h\r\nConnection: {connection}\r\n\r\n", "a".repeat(2000)));
        assert_eq!(client.response().status, 200);
    }
    assert!(client.is_closed());
    let waiting = gateway.counter("records_waiting_bytes");
    assert!(waiting > 5_000 && waiting < 40_000, "{waiting}");
    assert!(gateway.counter("records_dropped_total") >= 40);
    // One that is larger than all that may wait is lost alone.
    let dropped = gateway.counter("records_dropped_total");
    assert_eq!(gateway.ask(&format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(7000))).status, 200);
    counted(&gateway, "records_dropped_total", dropped + 1);
    assert!(gateway.counter("records_waiting_bytes") > 5_000);
}

#[test]
fn a_tenants_bytes_are_bounded_over_all_its_queues() {
    let receiver = Upstream::new(|mut client, _| drop(client.rest()));
    let plugins: Vec<Value> = (0..3)
        .map(|number| {
            let unbounded = queue(&json!({"max_entries": 1_000_000}));
            let mut plugin = http_log(
                &json!({"http_endpoint": format!("http://{}/{number}", receiver.address), "queue": unbounded}),
            );
            plugin["id"] = json!(format!("log {number}"));
            if number > 0 {
                plugin["route"] = json!({"id": format!("r{number}")});
            }
            plugin
        })
        .collect();
    let mut configuration =
        with_plugins(Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").address, &plugins);
    for number in 1..3 {
        let mut route = crate::support::route(&format!("/{number}"));
        route["id"] = json!(format!("r{number}"));
        route["name"] = json!(format!("r{number}"));
        configuration["entities"]["routes"].as_array_mut().unwrap().push(route);
    }
    let gateway = Gateway::with(&configuration);
    let padding = "a".repeat(24_000);
    std::thread::scope(|scope| {
        for number in 0..3 {
            let (gateway, padding) = (&gateway, &padding);
            scope.spawn(move || {
                let mut client = gateway.client();
                for _ in 0..200 {
                    client.send(format!("GET /{number}/{padding} HTTP/1.1\r\nHost: h\r\n\r\n"));
                    assert_eq!(client.response().status, 200);
                }
            });
        }
    });
    let waiting = gateway.counter("records_waiting_bytes");
    assert!(waiting <= 16 * 1024 * 1024 && waiting > 15 * 1024 * 1024, "{waiting}");
    assert!(gateway.counter("records_dropped_total") > 0);
}

#[test]
fn batches_go_one_by_one_or_together() {
    for (limit, at_once) in [(1, 1), (-1, 3)] {
        let busiest = Arc::new(AtomicUsize::new(0));
        let (now, most) = (Arc::new(AtomicUsize::new(0)), busiest.clone());
        let receiver = Upstream::new(move |mut client, _| {
            while let Some(head) = client.head() {
                client.body(&head, false);
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(200));
                now.fetch_sub(1, Ordering::SeqCst);
                client.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            }
        });
        let config = json!({
            "http_endpoint": format!("http://{}/", receiver.address), "queue": queue(&json!({"concurrency_limit": limit})),
        });
        let gateway = gateway(&[http_log(&config)]);
        for _ in 0..3 {
            assert_eq!(gateway.ask(GET).status, 200);
        }
        counted(&gateway, "records_sent_total", 3);
        let busiest = busiest.load(Ordering::SeqCst);
        assert!(busiest == at_once || (limit == -1 && busiest > 1), "{busiest}");
    }
}
