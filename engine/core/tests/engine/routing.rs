//! Routes that cost too much to find, flavours that change, and routes for `WebSockets`.

use serde_json::{Value, json};

use crate::support::{Client, Gateway, Upstream, route, service, snapshot};

fn named(id: &str, fields: &Value) -> Value {
    let mut route = route("/");
    route["id"] = json!(id);
    route["name"] = json!(id);
    route["strip_path"] = json!(false);
    for (name, value) in fields.as_object().unwrap() {
        route[name] = value.clone();
    }
    route
}

/// A service that answers everybody, and many routes that only asking each of them can tell apart. They rank above it.
fn hostile(upstream: &Upstream, count: usize) -> Value {
    let mut routes = vec![named("open", &json!({}))];
    routes.extend((0..count).map(|n| {
        let headers = json!({"x-tenant": [format!("~*tenant-{n}-[a-z]")]});
        named(&format!("guard-{n}"), &json!({"headers": headers, "service": null}))
    }));
    snapshot(1, &[service(upstream.address)], &routes)
}

const HARMLESS: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

fn asking_as(tenant: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\nX-Tenant: {tenant}\r\nConnection: close\r\n\r\n")
}

#[test]
fn a_request_whose_route_costs_too_much_to_find_has_none() {
    let upstream = Upstream::echo();
    let gateway = Gateway::with(&hostile(&upstream, 200));
    assert_eq!(gateway.ask(HARMLESS).status, 200);
    let costly = asking_as(&"tenant-".repeat(500));
    for _ in 0..3 {
        let response = gateway.ask(&costly);
        assert_eq!(response.status, 503);
        assert!(response.text().contains("too many routes of this gateway"), "{}", response.text());
    }
    assert_eq!(gateway.counter("requests_unroutable_total"), 3);
    // The rest of it goes on as before.
    assert_eq!(gateway.ask(HARMLESS).status, 200);
    assert_eq!(gateway.counter("requests_unroutable_total"), 3);
}

#[test]
fn such_routes_are_no_trouble_to_ordinary_requests() {
    let upstream = Upstream::echo();
    let gateway = Gateway::with(&hostile(&upstream, 200));
    assert_eq!(gateway.ask(&asking_as("tenant-none")).status, 200);
    assert_eq!(gateway.ask(&asking_as("tenant-7-x")).status, 503, "the route without a service");
    assert_eq!(gateway.counter("requests_unroutable_total"), 0);
}

#[test]
fn another_flavour_ranks_all_routes_anew() {
    let (one, two) = (Upstream::answering("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"), Upstream::echo());
    let mut second = service(two.address);
    second["id"] = json!("t");
    second["name"] = json!("t");
    second["path"] = json!("/base");
    let routes = [
        named("host", &json!({"hosts": ["*.test"], "paths": null})),
        named(
            "header",
            &json!({"headers": {"x-a": ["1"]}, "paths": null, "path_handling": "v1", "service": {"id": "t"}}),
        ),
    ];
    let update = |version: u64, flavor: &str| {
        let mut update = snapshot(version, &[service(one.address), second.clone()], &routes);
        update["settings"]["router_flavor"] = json!(flavor);
        update
    };
    let gateway = Gateway::with(&update(1, "traditional_compatible"));
    let ask = |host: &str| {
        let request = format!("GET /x HTTP/1.1\r\nHost: {host}\r\nX-A: 1\r\nConnection: close\r\n\r\n");
        let response = gateway.ask(&request);
        (response.status, response.text().contains("/basex"))
    };
    assert_eq!((ask("a.test"), ask("other")), ((200, false), (200, false)));
    assert_eq!(gateway.apply(&update(2, "traditional"))["accepted"], true);
    assert_eq!((ask("a.test"), ask("other")), ((201, false), (200, true)));
    assert_eq!(gateway.apply(&update(3, "expressions"))["accepted"], true);
    assert_eq!((ask("a.test"), ask("other")), ((200, false), (200, false)));
}

#[test]
fn a_flavour_that_nobody_knows_is_refused() {
    let upstream = Upstream::echo();
    let gateway = Gateway::to(upstream.address);
    let mut update = snapshot(2, &[service(upstream.address)], &[route("/")]);
    update["settings"]["router_flavor"] = json!("modern");
    let report = gateway.apply(&update);
    assert_eq!(report["accepted"], false);
    assert!(report["errors"][0]["message"].as_str().unwrap().contains("modern"), "{report}");
    assert_eq!(gateway.ask(HARMLESS).status, 200);
}

#[test]
fn routes_for_websockets_take_handshakes_only() {
    let upstream = Upstream::new(|mut client, _| {
        let head = client.head().unwrap();
        assert!(head.starts_with("GET /chat HTTP/1.1\r\n") && head.contains("Upgrade: websocket\r\n"), "{head}");
        client.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
        let said = client.exactly(4);
        client.send(said);
    });
    let mut service = service(upstream.address);
    service["protocol"] = json!("ws");
    let gateway = Gateway::with(&snapshot(1, &[service], &[named("r", &json!({"protocols": ["ws", "wss"]}))]));
    let response = gateway.ask("GET /chat HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!((response.status, response.header("upgrade")), (426, Some("websocket")));
    assert_eq!(upstream.connections(), 0);

    let mut client = gateway.client();
    client.send("GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nping");
    assert!(client.head().unwrap().starts_with("HTTP/1.1 101 "));
    assert_eq!(client.exactly(4), b"ping");
}

#[test]
fn a_listener_for_all_addresses_knows_which_one_a_client_took() {
    let upstream = Upstream::echo();
    let expression = |id: &str, text: &str| {
        named(
            id,
            &json!({"expression": text, "regex_priority": null, "paths": null, "strip_path": false, "service": null}),
        )
    };
    let routes = [
        named("open", &json!({})),
        expression("second", "net.dst.ip == 127.0.0.2"),
        expression("wildcard", "net.dst.ip == 0.0.0.0"),
    ];
    let options = json!({"listeners": [{"address": "0.0.0.0:0", "tls": false}], "threads": 1, "version": "0.0"});
    let mut update = snapshot(1, &[service(upstream.address)], &routes);
    update["settings"]["router_flavor"] = json!("expressions");
    let gateway = Gateway::with_options(&options, &update);
    let ask = |address: [u8; 4]| {
        let mut client = Client::to((address, gateway.address.port()).into());
        client.send(HARMLESS);
        client.response().status
    };
    assert_eq!((ask([127, 0, 0, 1]), ask([127, 0, 0, 2])), (200, 503));
}
