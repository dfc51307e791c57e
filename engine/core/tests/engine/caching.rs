//! proxy-cache, with upstreams and clients that are up to something.

use serde_json::{Value, json};

use crate::logs::{orderly, plugin, with_plugins};
use crate::support::{Client, Gateway, Upstream, eventually};

const MEGABYTE: usize = 1024 * 1024;

fn proxy_cache() -> Value {
    let defaults = json!({
        "strategy": "memory", "response_code": [200, 301, 404], "request_method": ["GET", "HEAD"], "content_type": ["text/plain"],
        "cache_ttl": 300, "storage_ttl": null, "cache_control": false, "ignore_uri_case": false, "vary_headers": null,
        "vary_query_params": null, "memory": {"dictionary_name": "kong_db_cache"},
        "response_headers": {"age": true, "X-Cache-Status": true, "X-Cache-Key": true},
    });
    plugin("proxy-cache", defaults, &json!({}))
}

fn gateway(upstream: &Upstream) -> Gateway {
    orderly(&with_plugins(upstream.address, &[proxy_cache()]))
}

fn to(upstream: impl Fn(&mut Client, &str) -> bool + Send + Sync + 'static) -> Upstream {
    Upstream::new(move |mut client, _| {
        while let Some(head) = client.head() {
            if !upstream(&mut client, head.split(' ').nth(1).unwrap()) {
                return;
            }
        }
    })
}

/// Says `path` bytes to a request for `/<number>`.
fn sized() -> Upstream {
    to(|client, path| {
        let length: usize = path.split('/').nth(1).unwrap().parse().unwrap();
        client.send(format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n"));
        client.send("x".repeat(length));
        true
    })
}

fn status(gateway: &Gateway, path: &str) -> String {
    let response = gateway.ask(&format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"));
    assert_eq!(response.status, 200);
    response.header("x-cache-status").unwrap().to_owned()
}

#[test]
fn what_is_too_large_passes_and_is_not_kept() {
    let gateway = gateway(&sized());
    let (fits, too_large) = (format!("/{MEGABYTE}/a"), format!("/{}/a", MEGABYTE + 1));
    assert_eq!([status(&gateway, &fits), status(&gateway, &fits)], ["Miss", "Hit"]);
    let kept = gateway.counter("responses_cached_bytes");
    assert_eq!([status(&gateway, &too_large), status(&gateway, &too_large)], ["Miss", "Miss"]);
    eventually(|| gateway.counter("responses_cached_bytes") == kept);
}

#[test]
fn whoever_asks_for_ever_new_things_takes_no_more_than_the_tenants_part() {
    let gateway = gateway(&sized());
    for number in 0..48 {
        assert_eq!(status(&gateway, &format!("/{}/{number}", 900 * 1024)), "Miss");
        assert!(gateway.counter("responses_cached_bytes") <= 32 * 1024 * 1024);
    }
    assert_eq!(status(&gateway, &format!("/{}/47", 900 * 1024)), "Hit");
    assert!(gateway.counter("responses_cached_bytes") > 28 * 1024 * 1024);
}

#[test]
fn what_is_over_gives_its_memory_back() {
    let gateway = gateway(&sized());
    assert_eq!(status(&gateway, "/1000/a"), "Miss");
    eventually(|| gateway.counter("responses_cached_bytes") > 1000);
    gateway.engine.advance_clock(std::time::Duration::from_secs(301));
    eventually(|| gateway.counter("responses_cached_bytes") == 0);
}

#[test]
fn what_breaks_off_is_not_kept() {
    let broken = [
        "Content-Length: 10\r\n\r\nhalf",
        "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nx\r\n",
    ];
    for body in broken {
        let upstream = to(move |client, _| {
            client.send(format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n{body}"));
            false
        });
        let gateway = gateway(&upstream);
        for _ in 0..2 {
            let mut client = gateway.client();
            client.send("GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
            let answer = String::from_utf8(client.rest()).unwrap().to_ascii_lowercase();
            assert!(answer.is_empty() || answer.contains("x-cache-status: miss"), "{body:?} {answer}");
        }
        // What was gathered goes with the connection.
        eventually(|| gateway.counter("responses_cached_bytes") == 0);
    }
}

#[test]
fn what_nobody_has_taken_to_the_end_is_not_kept() {
    let length = 32 * MEGABYTE;
    let gateway = gateway(&sized());
    let mut client = gateway.client();
    client.send(format!("GET /{length}/a HTTP/1.1\r\nHost: h\r\n\r\n"));
    assert!(client.head().unwrap().contains("Miss"));
    drop(client);
    eventually(|| gateway.counter("responses_cached_bytes") == 0);
    assert_eq!(status(&gateway, "/10/b"), "Miss");
}

#[test]
fn headers_of_the_hop_are_not_replayed() {
    let upstream = to(|client, _| {
        client.send(
            "HTTP/1.1 200 Fine\r\nContent-Type: text/plain\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\
             Server: theirs\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nX-Own: a\r\nX-Own: b\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        );
        true
    });
    let gateway = gateway(&upstream);
    assert_eq!(status(&gateway, "/a"), "Miss");
    let mut client = gateway.client();
    client.send("GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n");
    for _ in 0..2 {
        let response = client.response();
        assert_eq!((response.header("x-cache-status"), response.text().as_str()), (Some("Hit"), "ok"));
        let lines =
            |name: &str| response.head.lines().filter(|line| line.to_ascii_lowercase().starts_with(name)).count();
        assert_eq!(["x-hop:", "keep-alive:", "transfer-encoding:"].map(lines), [0; 3], "{}", response.head);
        assert_eq!(["server:", "date:", "content-length:", "content-type:"].map(lines), [1; 4], "{}", response.head);
        assert_eq!(lines("x-own:"), 2);
    }
    assert_eq!(upstream.connections(), 1);
}
