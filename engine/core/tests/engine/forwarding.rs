use serde_json::json;

use crate::support::{Client, Gateway, Upstream, route, service, snapshot};

#[test]
fn forwarded_headers() {
    let upstream = Upstream::echo();
    let gateway = Gateway::with(&snapshot(1, &[service(upstream.address)], &[route("/api")]));
    let text = gateway
        .ask(
            "GET /api/x%20y?q=%zz&r HTTP/1.1\r\nHost: Ex.Test:81\r\nX-Forwarded-For: 1.2.3.4\r\nX-Real-IP: 6.6.6.6\r\n\
              X-Forwarded-Proto: https\r\nX-Forwarded-Prefix: /evil\r\nVia: 1.0 fred\r\nX-Kong-Request-Id: mine\r\n\
              Connection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 1\r\nTE: gzip\r\nExpect: 200-ok\r\nX-Mixed: a\r\n\r\n",
        )
        .text();
    assert!(text.starts_with("GET /x%20y?q=%zz&r HTTP/1.1\r\n"), "{text}");
    let host = format!("Host: {}\r\n", upstream.address);
    let port = format!("X-Forwarded-Port: {}\r\n", gateway.address.port());
    for line in [
        host.as_str(),
        "X-Mixed: a\r\n",
        "Connection: keep-alive\r\n",
        "X-Real-IP: 127.0.0.1\r\n",
        "X-Forwarded-For: 1.2.3.4, 127.0.0.1\r\n",
        "X-Forwarded-Proto: http\r\n",
        "X-Forwarded-Host: ex.test\r\n",
        port.as_str(),
        "X-Forwarded-Path: /api/x%20y\r\n",
        "X-Forwarded-Prefix: /api\r\n",
        "Via: 1.0 fred, 1.1 sluice\r\n",
    ] {
        assert_eq!(text.matches(line).count(), 1, "{line:?} in {text}");
    }
    for absent in ["X-Hop", "Keep-Alive:", "TE:", "Expect", "6.6.6.6", "/evil", "mine"] {
        assert!(!text.contains(absent), "{absent} in {text}");
    }
}

#[test]
fn trusted_peers_are_believed() {
    let upstream = Upstream::echo();
    let mut configuration = snapshot(1, &[service(upstream.address)], &[route("/")]);
    configuration["settings"]["trusted_ips"] = json!(["127.0.0.1"]);
    let gateway = Gateway::with(&configuration);
    let text = gateway
        .ask("GET / HTTP/1.1\r\nHost: a\r\nX-Real-IP: 6.6.6.6\r\nX-Forwarded-For: 5.5.5.5\r\nX-Forwarded-Proto: https\r\n\
              X-Forwarded-Host: h\r\nX-Forwarded-Port: 444\r\n\r\n")
        .text();
    for line in [
        "X-Real-IP: 6.6.6.6",
        "X-Forwarded-For: 5.5.5.5, 127.0.0.1",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: h",
        "X-Forwarded-Port: 444",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

#[test]
fn response_headers() {
    let upstream = Upstream::answering(
        "HTTP/1.1 200 Fine\r\nContent-Length: 2\r\nVia: 1.1 x\r\nConnection: X-Gone\r\nX-Gone: 1\r\nTrailer: t\r\nSet-Cookie: a\r\nset-cookie: b\r\n\r\nok",
    );
    let gateway = Gateway::to(upstream.address);
    let response = gateway.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(response.head.starts_with("HTTP/1.1 200 Fine\r\n"));
    assert_eq!(response.header("via"), Some("1.1 x, 1.1 sluice"));
    assert_eq!(response.header("server"), Some("sluice/0.0"));
    assert!(response.head.contains("Set-Cookie: a\r\nset-cookie: b\r\n"));
    assert_eq!(response.header("x-kong-request-id").map(str::len), Some(32));
    for present in ["x-kong-upstream-latency", "x-kong-proxy-latency"] {
        assert!(response.header(present).is_some(), "{present}");
    }
    for absent in ["x-gone", "connection", "trailer", "x-kong-response-latency"] {
        assert!(response.header(absent).is_none(), "{absent}");
    }
}

#[test]
fn the_headers_setting_switches_off() {
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let mut configuration = snapshot(1, &[service(upstream.address)], &[route("/")]);
    configuration["settings"]["headers"] = json!(["off"]);
    let gateway = Gateway::with(&configuration);
    for path in ["/", "/"] {
        let response = gateway.ask(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(response.head, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    }
    configuration["settings"]["headers"] = json!(["X-Kong-Upstream-Status", "off"]);
    configuration["version"] = json!(2);
    gateway.apply(&configuration);
    let response = gateway.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(response.header("x-kong-upstream-status"), Some("200"));
}

#[test]
fn hosts_upstream() {
    let upstream = Upstream::echo();
    let mut preserving = route("/");
    preserving["preserve_host"] = json!(true);
    let gateway = Gateway::with(&snapshot(1, &[service(upstream.address)], &[preserving]));
    let text = gateway.ask("GET / HTTP/1.1\r\nHost: Kept.test:99\r\n\r\n").text();
    assert!(text.contains("Host: Kept.test:99\r\n"), "{text}");
}

#[test]
fn own_answers() {
    let upstream = Upstream::echo();
    let mut bare = route("/bare");
    bare["id"] = json!("bare");
    bare["service"] = json!(null);
    let mut secure = route("/secure");
    secure["id"] = json!("secure");
    secure["protocols"] = json!(["https"]);
    let mut moved = secure.clone();
    moved["id"] = json!("moved");
    moved["paths"] = json!(["/moved"]);
    moved["https_redirect_status_code"] = json!(301);
    let gateway = Gateway::with(&snapshot(1, &[service(upstream.address)], &[bare, secure, moved]));

    let response = gateway.ask("GET /none HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(response.status, 404);
    let id = response.header("x-kong-request-id").unwrap();
    let expected = format!("{{\n  \"message\":\"no Route matched with those values\",\n  \"request_id\":\"{id}\"\n}}");
    assert_eq!(response.text(), expected);
    assert!(response.header("x-kong-response-latency").is_some() && response.header("date").is_some());

    let mut client = gateway.client();
    client.send("HEAD /none HTTP/1.1\r\nHost: a\r\n\r\nGET /bare HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = client.head().unwrap();
    assert!(head.starts_with("HTTP/1.1 404 ") && head.contains("Content-Length: "));
    let response = client.response();
    assert_eq!(response.status, 503);
    assert!(response.text().contains("no Service found with those values"));

    let response = gateway.ask("GET /secure HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((response.status, response.header("upgrade")), (426, Some("TLS/1.2, HTTP/1.1")));
    assert_eq!(response.header("connection"), Some("Upgrade"));
    let response = gateway.ask("GET /moved/x?y HTTP/1.1\r\nHost: a:8000\r\n\r\n");
    assert_eq!((response.status, response.header("location")), (301, Some("https://a/moved/x?y")));
    assert!(response.body.is_empty());
}

#[test]
fn http10_clients() {
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n");
    let gateway = Gateway::to(upstream.address);
    let response = gateway.ask("GET / HTTP/1.0\r\n\r\n");
    assert_eq!((response.text().as_str(), response.header("connection")), ("ok", Some("close")));
    assert!(response.header("transfer-encoding").is_none());

    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let gateway = Gateway::to(upstream.address);
    let mut client = gateway.client();
    for _ in 0..2 {
        client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        let response = client.response();
        assert_eq!((response.text().as_str(), response.header("connection")), ("ok", Some("keep-alive")));
    }
}

#[test]
fn heads_without_bodies() {
    let upstream = Upstream::new(|mut client: Client, _| {
        while let Some(head) = client.head() {
            client.send(match &head[..4] {
                "HEAD" => "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n",
                "GET " => "HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\nETag: x\r\n\r\n",
                _ => "HTTP/1.1 204 No Content\r\n\r\n",
            });
        }
    });
    let gateway = Gateway::to(upstream.address);
    let mut client = gateway.client();
    for (method, line) in
        [("HEAD", "Content-Length: 100\r\n"), ("GET", "ETag: x\r\n"), ("DELETE", "204 No Content\r\n")]
    {
        client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"));
        let head = client.head().unwrap();
        assert!(head.contains(line), "{head}");
        assert!(method != "DELETE" || !head.contains("Content-Length"));
    }
    assert_eq!(upstream.connections(), 1);
}
