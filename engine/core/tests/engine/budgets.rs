//! What a tenant may take, and that its neighbours do not notice.

use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::support::{Client, Gateway, PATIENCE, Upstream, route, service, snapshot};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn limited(upstream: &Upstream, limits: &[(&str, u64)]) -> Value {
    let mut configuration = snapshot(1, &[service(upstream.address)], &[route("/")]);
    for (name, value) in limits {
        configuration["limits"][*name] = json!(value);
    }
    configuration
}

fn statuses(gateway: &Gateway, count: usize) -> Vec<u16> {
    (0..count).map(|_| gateway.ask(GET).status).collect()
}

#[test]
fn requests_per_second_are_bounded_and_come_back() {
    let upstream = Upstream::echo();
    let gateway = Gateway::with(&limited(&upstream, &[("max_requests_per_second", 1)]));
    let mut client = gateway.client();
    client.send(GET);
    assert_eq!(client.response().status, 200);
    // The clock cannot be stopped, so a second may pass between two requests, but hardly between all of these.
    let refused: Vec<_> = (0..20)
        .filter_map(|_| {
            client.send(GET);
            let response = client.response();
            (response.status == 429).then_some(response)
        })
        .collect();
    let response = refused.first().unwrap();
    assert_eq!(response.header("retry-after"), Some("1"));
    assert!(response.text().contains("Too many requests for this gateway"), "{}", response.text());
    assert_eq!(gateway.counter("requests_over_budget_total"), refused.len() as u64);
    gateway.engine.advance_clock(Duration::from_secs(2));
    client.send(GET);
    assert_eq!(client.response().status, 200);
}

#[test]
fn paths_that_lead_nowhere_count_too() {
    let upstream = Upstream::echo();
    let mut configuration = limited(&upstream, &[("max_requests_per_second", 2)]);
    configuration["entities"]["routes"] = json!([]);
    let gateway = Gateway::with(&configuration);
    let statuses = statuses(&gateway, 30);
    assert!(statuses.contains(&404) && statuses.contains(&429), "{statuses:?}");
}

#[test]
fn a_change_of_configuration_does_not_refill_the_budget() {
    let upstream = Upstream::echo();
    let mut configuration = limited(&upstream, &[("max_requests_per_second", 1)]);
    let gateway = Gateway::with(&configuration);
    let mut refused = 0;
    for version in 2..30 {
        refused += statuses(&gateway, 1).iter().filter(|status| **status == 429).count();
        configuration["version"] = json!(version);
        assert_eq!(gateway.apply(&configuration)["accepted"], true);
    }
    assert!(refused > 10, "{refused}");
    // A larger budget counts at once.
    configuration["version"] = json!(30);
    configuration["limits"]["max_requests_per_second"] = json!(1_000_000);
    assert_eq!(gateway.apply(&configuration)["accepted"], true);
    gateway.engine.advance_clock(Duration::from_secs(2));
    assert_eq!(statuses(&gateway, 5), [200; 5]);
}

#[test]
fn requests_at_once_are_bounded() {
    let (arrived, arrivals) = mpsc::channel();
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let (arrived, opens) = (Mutex::new(arrived), gate.clone());
    // Answers at once below /quick; everything else waits at the gate.
    let upstream = Upstream::new(move |mut client, _| {
        while let Some(head) = client.head() {
            if !head.starts_with("GET /quick ") {
                arrived.lock().unwrap().send(()).unwrap();
                drop(opens.1.wait_while(opens.0.lock().unwrap(), |open| !*open).unwrap());
            }
            client.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let gateway = Gateway::with(&limited(&upstream, &[("max_concurrent_requests", 2)]));
    let mut waiting: Vec<Client> = (0..2).map(|_| gateway.client()).collect();
    for client in &mut waiting {
        client.send(GET);
        arrivals.recv_timeout(PATIENCE).unwrap();
    }
    assert_eq!(gateway.ask(GET).status, 429);
    // A client that goes away gives its place back.
    drop(waiting.pop());
    let quick = || gateway.ask("GET /quick HTTP/1.1\r\nHost: a\r\n\r\n").status;
    let status = (0..1_000).map(|_| quick()).find(|status| *status != 429);
    assert_eq!(status, Some(200));
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
    assert_eq!(waiting[0].response().status, 200);
    assert_eq!(statuses(&gateway, 5), [200; 5]);
}

#[test]
fn connections_are_bounded_per_tenant() {
    let upstream = Upstream::echo();
    let gateway = Gateway::with(&limited(&upstream, &[("max_connections", 2)]));
    let mut other = limited(&upstream, &[("max_connections", 2)]);
    other["control_plane_id"] = json!("other");
    other["hosts"] = json!(["other"]);
    assert_eq!(gateway.apply(&other)["accepted"], true);
    let mut held: Vec<Client> = (0..2).map(|_| gateway.client()).collect();
    for client in &mut held {
        client.send(GET);
        assert_eq!(client.response().status, 200);
    }
    let mut third = gateway.client();
    third.send(GET);
    let response = third.response();
    assert_eq!((response.status, response.header("connection")), (429, Some("close")));
    // Those who are in stay in, and the neighbour has its own budget.
    held[0].send(GET);
    assert_eq!(held[0].response().status, 200);
    let mut neighbour = gateway.client();
    neighbour.send("GET / HTTP/1.1\r\nHost: other\r\n\r\n");
    assert_eq!(neighbour.response().status, 200);
    // A connection that asks for another tenant counts for that one from then on.
    held[1].send("GET / HTTP/1.1\r\nHost: other\r\n\r\n");
    assert_eq!(held[1].response().status, 200);
    assert_eq!(gateway.ask(GET).status, 200);
}

/// Asks over HTTP/2; the answer's status is awaited.
fn ask(client: &h2::client::SendRequest<bytes::Bytes>, url: &str) -> impl Future<Output = u16> + use<> {
    let request = http::Request::get(url).body(()).unwrap();
    let (response, _) = client.clone().send_request(request, true).unwrap();
    async move { response.await.unwrap().status().as_u16() }
}

/// A connection, and what becomes of it.
async fn http2(gateway: &Gateway) -> (h2::client::SendRequest<bytes::Bytes>, JoinHandle<Result<(), h2::Error>>) {
    let tcp = tokio::net::TcpStream::connect(gateway.address).await.unwrap();
    let (client, connection) = h2::client::handshake(tcp).await.unwrap();
    (client, tokio::spawn(connection))
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, test).await.unwrap() });
}

#[test]
fn an_http2_connection_counts_once_whatever_its_streams() {
    let upstream = Upstream::echo();
    let gateway = Gateway::with(&limited(&upstream, &[("max_connections", 1)]));
    run(async {
        let (first, _) = http2(&gateway).await;
        let answers: Vec<_> = (0..20).map(|_| ask(&first, "http://a/")).collect();
        for answer in answers {
            assert_eq!(answer.await, 200);
        }
        // One that is one too many is told so, and that it is to go.
        let (second, end) = http2(&gateway).await;
        assert_eq!((ask(&second, "http://a/").await, gateway.ask(GET).status), (429, 429));
        end.await.unwrap().unwrap();
        assert_eq!(ask(&first, "http://a/").await, 200);
        // The place is free once the connection has ended.
        drop(first);
        let third = loop {
            let (third, _) = http2(&gateway).await;
            if ask(&third, "http://a/").await == 200 {
                break third;
            }
        };
        assert_eq!((gateway.ask(GET).status, ask(&third, "http://a/").await), (429, 200));
    });
}

#[test]
fn an_http2_connection_counts_for_every_tenant_that_it_serves() {
    let upstream = Upstream::echo();
    let gateway = Gateway::with(&limited(&upstream, &[("max_connections", 1)]));
    for (name, connections) in [("other", 1), ("full", 0)] {
        let mut configuration = limited(&upstream, &[("max_connections", connections)]);
        configuration["control_plane_id"] = json!(name);
        configuration["hosts"] = json!([name]);
        assert_eq!(gateway.apply(&configuration)["accepted"], true);
    }
    let status = |host: &str| gateway.ask(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).status;
    run(async {
        let (shared, _) = http2(&gateway).await;
        for host in ["a", "other", "a"] {
            assert_eq!(ask(&shared, &format!("http://{host}/")).await, 200);
        }
        assert_eq!((status("a"), status("other")), (429, 429));
        // A tenant that has no place for it does not end it for the others.
        for (host, expected) in [("full", 429), ("other", 200), ("a", 200)] {
            assert_eq!(ask(&shared, &format!("http://{host}/")).await, expected);
        }
        drop(shared);
        while (status("a"), status("other")) != (200, 200) {
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn each_stream_counts_as_a_request_at_once() {
    let (arrived, arrivals) = mpsc::channel();
    let arrived = Mutex::new(arrived);
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let opens = gate.clone();
    let upstream = Upstream::new(move |mut client, _| {
        while client.head().is_some() {
            let _ = arrived.lock().unwrap().send(());
            drop(opens.1.wait_while(opens.0.lock().unwrap(), |open| !*open).unwrap());
            client.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let gateway = Gateway::with(&limited(&upstream, &[("max_concurrent_requests", 3)]));
    run(async {
        let (client, _) = http2(&gateway).await;
        let waiting: Vec<_> = (0..3).map(|_| tokio::spawn(ask(&client, "http://a/"))).collect();
        let arrivals = tokio::task::spawn_blocking(move || (0..3).all(|_| arrivals.recv_timeout(PATIENCE).is_ok()));
        assert!(arrivals.await.unwrap());
        assert_eq!(ask(&client, "http://a/").await, 429);
        *gate.0.lock().unwrap() = true;
        gate.1.notify_all();
        for answer in waiting {
            assert_eq!(answer.await.unwrap(), 200);
        }
        assert_eq!(ask(&client, "http://a/").await, 200);
    });
}
