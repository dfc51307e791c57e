use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::support::{Gateway, Response, Upstream, closed_port, eventually, route, service, snapshot};

pub const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// A backend that answers with a name.
pub fn named(name: &'static str) -> Upstream {
    Upstream::new(move |mut client, _| {
        while client.head().is_some() {
            client.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len()));
        }
    })
}

/// A configuration whose service is the upstream `u` with these targets and weights.
pub fn balanced(upstream: &Value, targets: &[(String, u32)]) -> Value {
    let mut configuration = snapshot(1, &[service(closed_port())], &[route("/")]);
    configuration["entities"]["services"][0]["host"] = json!("u");
    let mut entity = json!({"id": "up", "name": "u"});
    entity.as_object_mut().unwrap().extend(upstream.as_object().unwrap().clone());
    configuration["entities"]["upstreams"] = json!([entity]);
    configuration["entities"]["targets"] = targets
        .iter()
        .map(|(target, weight)| json!({"id": target, "upstream": {"id": "up"}, "target": target, "weight": weight}))
        .collect();
    configuration
}

pub fn at(upstream: &Upstream, weight: u32) -> (String, u32) {
    (upstream.address.to_string(), weight)
}

/// The next version of a configuration.
pub fn next(configuration: &mut Value) -> &Value {
    configuration["version"] = json!(configuration["version"].as_u64().unwrap() + 1);
    configuration
}

pub fn count(gateway: &Gateway, requests: usize, name: &str) -> usize {
    (0..requests).filter(|_| gateway.ask(GET).text() == name).count()
}

pub fn set_health(gateway: &Gateway, target: &str, healthy: bool) -> bool {
    let order = json!({"control_plane_id": "cp", "upstream": "u", "target": target, "healthy": healthy});
    gateway.engine.set_target_health(order.to_string().as_bytes()).unwrap()
}

pub fn health(gateway: &Gateway) -> Value {
    let all: Value = serde_json::from_slice(&gateway.engine.health()).unwrap();
    all["cp"]["up"].clone()
}

fn unavailable(response: &Response) -> bool {
    response.status == 503 && response.text().contains("failure to get a peer from the ring-balancer")
}

#[test]
fn weights_are_kept_exactly() {
    let (a, b) = (named("a"), named("b"));
    let gateway = Gateway::with(&balanced(&json!({}), &[at(&a, 30), at(&b, 10)]));
    assert_eq!(count(&gateway, 40, "a"), 30);
}

#[test]
fn weight_0_is_out_of_rotation() {
    let (a, b) = (named("a"), named("b"));
    for algorithm in ["round-robin", "least-connections", "latency", "consistent-hashing"] {
        let gateway = Gateway::with(&balanced(&json!({"algorithm": algorithm}), &[at(&a, 1), at(&b, 0)]));
        assert_eq!(count(&gateway, 5, "a"), 5, "{algorithm}");
        let gateway = Gateway::with(&balanced(&json!({"algorithm": algorithm}), &[at(&a, 0)]));
        assert!(unavailable(&gateway.ask(GET)), "{algorithm}");
    }
    assert!(unavailable(&Gateway::with(&balanced(&json!({}), &[])).ask(GET)));
}

#[test]
fn another_try_goes_elsewhere_under_the_name_of_that_target() {
    let alive = Upstream::echo();
    for algorithm in ["round-robin", "least-connections", "latency"] {
        let targets = [(closed_port().to_string(), 1000), at(&alive, 1)];
        let mut configuration = balanced(&json!({"algorithm": algorithm}), &targets);
        configuration["entities"]["services"][0]["retries"] = json!(1);
        let gateway = Gateway::with(&configuration);
        for _ in 0..10 {
            let text = gateway.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi").text();
            assert!(text.contains(&format!("\r\nHost: {}\r\n", alive.address)), "{algorithm}: {text}");
            assert!(text.ends_with("\r\n\r\nhi"));
        }
    }
}

#[test]
fn the_host_header_of_an_upstream_wins_over_the_target_and_loses_against_the_client() {
    let echo = Upstream::echo();
    let mut configuration = balanced(&json!({"host_header": "x.test:9"}), &[at(&echo, 1)]);
    let gateway = Gateway::with(&configuration);
    assert!(gateway.ask(GET).text().contains("\r\nHost: x.test:9\r\n"));
    configuration["entities"]["routes"][0]["preserve_host"] = json!(true);
    gateway.apply(next(&mut configuration));
    assert!(gateway.ask(GET).text().contains("\r\nHost: a\r\n"));
}

#[test]
fn private_targets_are_refused() {
    let echo = Upstream::echo();
    let mut configuration = balanced(&json!({}), &[at(&echo, 1)]);
    configuration["limits"] = json!({});
    let gateway = Gateway::with(&configuration);
    assert_eq!(gateway.ask(GET).status, 503);
    assert_eq!(gateway.counter("upstream_refused_total"), 1);
    assert_eq!(echo.connections(), 0);
}

#[test]
fn names_as_targets() {
    let echo = Upstream::echo();
    let port = echo.address.port();
    let mut configuration = balanced(&json!({}), &[(format!("localhost:{port}"), 1)]);
    configuration["limits"]["allow_upstream"] = json!(["127.0.0.0/8"]);
    let gateway = Gateway::with(&configuration);
    assert!(gateway.ask(GET).text().contains(&format!("\r\nHost: localhost:{port}\r\n")));
    let gateway = Gateway::with(&balanced(&json!({}), &[(format!("{}.test:1", "a".repeat(64)), 1)]));
    assert!(unavailable(&gateway.ask(GET)));
    assert_eq!(health(&gateway)["targets"].as_object().unwrap().values().next().unwrap()["health"], "DNS_ERROR");
}

#[test]
fn targets_come_and_go_without_touching_the_others() {
    let (a, b) = (named("a"), named("b"));
    let mut configuration = balanced(&json!({}), &[at(&a, 1)]);
    let gateway = Gateway::with(&configuration);
    assert_eq!(count(&gateway, 4, "a"), 4);
    let both = balanced(&json!({}), &[at(&a, 1), at(&b, 1)]);
    configuration["entities"] = both["entities"].clone();
    gateway.apply(next(&mut configuration));
    assert_eq!(count(&gateway, 4, "a"), 2);
    set_health(&gateway, &a.address.to_string(), false);
    configuration["entities"]["targets"][1]["weight"] = json!(50);
    gateway.apply(next(&mut configuration));
    assert_eq!(count(&gateway, 4, "b"), 4, "health survives the change of another target");
    configuration["entities"]["upstreams"] = json!([]);
    configuration["entities"]["targets"] = json!([]);
    gateway.apply(next(&mut configuration));
    assert!(gateway.ask(GET).text().contains("name resolution failed"));
}

#[test]
fn health_is_told_and_set() {
    let (a, b) = (named("a"), named("b"));
    let gateway = Gateway::with(&balanced(&json!({}), &[at(&a, 100), at(&b, 50)]));
    let (first, second) = (a.address.to_string(), b.address.to_string());
    let told = health(&gateway);
    assert_eq!((&told["name"], &told["health"]), (&json!("u"), &json!("HEALTHCHECKS_OFF")));
    assert_eq!(told["weight"], json!({"total": 150, "available": 150, "unavailable": 0}));
    let address: SocketAddr = a.address;
    assert_eq!(
        told["targets"][&first],
        json!({
            "target": first, "health": "HEALTHCHECKS_OFF", "weight": 100,
            "addresses": [{
                "ip": address.ip().to_string(), "port": address.port(), "weight": 100, "health": "HEALTHCHECKS_OFF",
                "counters": {"successes": 0, "http_failures": 0, "tcp_failures": 0, "timeouts": 0},
            }],
        })
    );
    assert!(set_health(&gateway, &first, false) && !set_health(&gateway, "other", false));
    assert_eq!(count(&gateway, 4, "b"), 4);
    assert_eq!(health(&gateway)["targets"][&first]["health"], "UNHEALTHY");
    assert_eq!(health(&gateway)["weight"]["available"], 50);
    assert!(set_health(&gateway, &second, false));
    assert!(unavailable(&gateway.ask(GET)));
    assert!(set_health(&gateway, &first, true));
    assert_eq!(count(&gateway, 2, "a"), 2);
    assert!(gateway.engine.set_target_health(b"{}").is_err());
}

#[test]
fn too_little_weight_makes_an_upstream_unavailable() {
    let (a, b) = (named("a"), named("b"));
    let checks = json!({"healthchecks": {"threshold": 50}});
    let gateway = Gateway::with(&balanced(&checks, &[at(&a, 50), at(&b, 50)]));
    assert_eq!(gateway.ask(GET).status, 200);
    set_health(&gateway, &a.address.to_string(), false);
    assert!(unavailable(&gateway.ask(GET)));
}

#[test]
fn failing_traffic_breaks_the_circuit() {
    let alive = named("a");
    let failing = Upstream::answering("HTTP/1.1 500 Oh\r\nContent-Length: 1\r\n\r\nx");
    let checks = json!({"healthchecks": {"passive": {"unhealthy": {"http_failures": 3, "http_statuses": [500]}}}});
    let gateway = Gateway::with(&balanced(&checks, &[at(&alive, 1), at(&failing, 1)]));
    assert_eq!(count(&gateway, 12, "x"), 3);
    let told = health(&gateway);
    assert_eq!(told["targets"][failing.address.to_string()]["health"], "UNHEALTHY");
    assert_eq!(told["targets"][alive.address.to_string()]["health"], "HEALTHY");

    let dead = closed_port().to_string();
    let checks = json!({"healthchecks": {"passive": {"unhealthy": {"tcp_failures": 2}}}});
    let gateway = Gateway::with(&balanced(&checks, &[at(&alive, 1), (dead.clone(), 1)]));
    assert_eq!(count(&gateway, 12, "a"), 12);
    assert_eq!(gateway.counter("upstream_retries_total"), 2);
    assert_eq!(health(&gateway)["targets"][dead]["health"], "UNHEALTHY");

    let silent = Upstream::new(|mut client, _| drop(client.rest()));
    let checks = json!({"healthchecks": {"passive": {"unhealthy": {"timeouts": 1}}}});
    let mut configuration = balanced(&checks, &[at(&silent, 1)]);
    configuration["entities"]["services"][0]["read_timeout"] = json!(50);
    configuration["entities"]["services"][0]["retries"] = json!(0);
    let gateway = Gateway::with(&configuration);
    assert_eq!(gateway.ask(GET).status, 504);
    assert!(unavailable(&gateway.ask(GET)));
}

#[test]
fn stand_ins_serve_only_when_no_regular_target_is_healthy() {
    let (regular, stand_in) = (named("a"), named("b"));
    let mut configuration = balanced(&json!({}), &[at(&regular, 1), at(&stand_in, 1)]);
    configuration["entities"]["targets"][1]["failover"] = json!(true);
    let gateway = Gateway::with(&configuration);
    assert_eq!(count(&gateway, 4, "a"), 4);
    set_health(&gateway, &regular.address.to_string(), false);
    assert_eq!(count(&gateway, 4, "b"), 4);
    set_health(&gateway, &regular.address.to_string(), true);
    assert_eq!(count(&gateway, 4, "a"), 4);
}

#[test]
fn a_hash_selects_the_same_target_and_a_cookie_is_made_where_there_is_none() {
    let (a, b, c) = (named("a"), named("b"), named("c"));
    let targets = [at(&a, 1), at(&b, 1), at(&c, 1)];
    let hashing = json!({"algorithm": "consistent-hashing", "hash_on": "header", "hash_on_header": "x"});
    let gateway = Gateway::with(&balanced(&hashing, &targets));
    let ask = |value: usize| gateway.ask(&format!("GET / HTTP/1.1\r\nHost: a\r\nx: {value}\r\n\r\n")).text();
    let first: Vec<String> = (0..30).map(ask).collect();
    assert_eq!(first, (0..30).map(ask).collect::<Vec<_>>());
    assert!(["a", "b", "c"].iter().all(|name| first.iter().any(|own| own == name)));
    assert_eq!(count(&gateway, 5, &gateway.ask(GET).text()), 5, "without the header all are alike");

    let hashing = json!({"algorithm": "consistent-hashing", "hash_on": "cookie", "hash_on_cookie": "tie"});
    let gateway = Gateway::with(&balanced(&hashing, &targets));
    for _ in 0..5 {
        let response = gateway.ask(GET);
        let cookie = response.header("set-cookie").unwrap();
        let (pair, attributes) = cookie.split_once("; ").unwrap();
        assert_eq!(attributes, "Path=/; Same-Site=Lax; HttpOnly");
        assert_eq!(pair.len(), "tie=".len() + 36);
        let again = gateway.ask(&format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {pair}\r\n\r\n"));
        assert_eq!(again.text(), response.text());
        assert!(again.header("set-cookie").is_none());
    }
}

#[test]
fn a_sticky_client_stays_until_its_target_is_gone() {
    let (a, b) = (named("a"), named("b"));
    let sticky = json!({"algorithm": "sticky-sessions", "sticky_sessions_cookie": "tie"});
    let gateway = Gateway::with(&balanced(&sticky, &[at(&a, 1), at(&b, 1)]));
    let response = gateway.ask(GET);
    let pair = response.header("set-cookie").unwrap().split_once(';').unwrap().0.to_owned();
    let name = response.text();
    let again = || gateway.ask(&format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {pair}\r\n\r\n"));
    for _ in 0..4 {
        let response = again();
        assert_eq!((response.text(), response.header("set-cookie")), (name.clone(), None));
    }
    let own = if name == "a" { &a } else { &b };
    set_health(&gateway, &own.address.to_string(), false);
    let moved = again();
    assert_ne!(moved.text(), name);
    assert!(moved.header("set-cookie").is_some_and(|cookie| !cookie.starts_with(&pair)));
}

#[test]
fn the_least_busy_target_is_chosen() {
    let (send, receive) = std::sync::mpsc::channel::<()>();
    let receive = std::sync::Mutex::new(receive);
    let slow = Upstream::new(move |mut client, _| {
        while client.head().is_some() {
            let _ = receive.lock().unwrap().recv();
            client.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow");
        }
    });
    let quick = named("quick");
    let least = json!({"algorithm": "least-connections"});
    // The quick one's weight leaves room for a request that is not yet off the books.
    let gateway = Gateway::with(&balanced(&least, &[at(&slow, 1), at(&quick, 2)]));
    set_health(&gateway, &quick.address.to_string(), false);
    let mut waiting = gateway.client();
    waiting.send(GET);
    eventually(|| slow.connections() == 1);
    set_health(&gateway, &quick.address.to_string(), true);
    assert_eq!(count(&gateway, 10, "quick"), 10);
    drop(send);
    assert_eq!(waiting.response().status, 200);
    assert_eq!(slow.connections(), 1);
}
