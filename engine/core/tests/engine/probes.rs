use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::balancing::{GET, at, balanced, count, health, named, next, set_health};
use crate::support::{Gateway, Upstream, closed_port, eventually};

fn verdict(gateway: &Gateway, target: &str) -> Value {
    health(gateway)["targets"][target]["health"].clone()
}

/// A backend that answers with a status, and counts the probes.
fn changing(status: u16) -> (Upstream, Arc<AtomicU16>, Arc<AtomicUsize>) {
    let (status, probes) = (Arc::new(AtomicU16::new(status)), Arc::new(AtomicUsize::new(0)));
    let (own, seen) = (status.clone(), probes.clone());
    let upstream = Upstream::new(move |mut client, _| {
        while let Some(head) = client.head() {
            if head.starts_with("GET /status ") && head.contains("x-probe: 1") {
                seen.fetch_add(1, Ordering::SeqCst);
            }
            client.send(format!("HTTP/1.1 {} X\r\nContent-Length: 1\r\n\r\nx", own.load(Ordering::SeqCst)));
        }
    });
    (upstream, status, probes)
}

#[test]
fn a_target_comes_back_when_probes_succeed() {
    let (backend, status, probes) = changing(500);
    let checks = json!({"healthchecks": {
        "passive": {"unhealthy": {"http_failures": 1, "http_statuses": [500]}},
        "active": {
            "http_path": "/status", "headers": {"x-probe": ["1"]},
            "healthy": {"successes": 2, "http_statuses": [200]}, "unhealthy": {"interval": 0.1},
        },
    }});
    let gateway = Gateway::with(&balanced(&checks, &[at(&backend, 1)]));
    assert_eq!(probes.load(Ordering::SeqCst), 0, "healthy targets are not probed here");
    assert_eq!(gateway.ask(GET).status, 500);
    assert_eq!(gateway.ask(GET).status, 503);
    eventually(|| probes.load(Ordering::SeqCst) > 2);
    assert_eq!(gateway.ask(GET).status, 503);
    status.store(200, Ordering::SeqCst);
    eventually(|| gateway.ask(GET).status == 200);
    assert_eq!(verdict(&gateway, &backend.address.to_string()), "HEALTHY");
}

#[test]
fn a_target_goes_when_probes_fail_and_probes_end_with_their_upstream() {
    let alive = named("a");
    let dead = closed_port().to_string();
    let checks = json!({"healthchecks": {"active": {
        "type": "tcp", "healthy": {"interval": 0.1}, "unhealthy": {"tcp_failures": 2},
    }}});
    let mut configuration = balanced(&checks, &[at(&alive, 1), (dead.clone(), 1)]);
    let gateway = Gateway::with(&configuration);
    eventually(|| verdict(&gateway, &dead) == "UNHEALTHY");
    assert_eq!(verdict(&gateway, &alive.address.to_string()), "HEALTHY");
    assert_eq!(count(&gateway, 4, "a"), 4);
    assert_eq!(gateway.counter("upstream_retries_total"), 0);

    configuration["entities"]["upstreams"][0]["healthchecks"] = json!({});
    gateway.apply(next(&mut configuration));
    assert_eq!(verdict(&gateway, &dead), "UNHEALTHY", "what was found out is kept");
    assert!(set_health(&gateway, &dead, true));
    assert_eq!(verdict(&gateway, &dead), "HEALTHCHECKS_OFF");
}

#[test]
fn statuses_and_silence_count() {
    let (backend, _, _) = changing(404);
    let silent = Upstream::new(|mut client, _| drop(client.rest()));
    let checks = json!({"healthchecks": {"active": {
        "timeout": 0.1, "healthy": {"interval": 0.1, "http_statuses": [200]},
        "unhealthy": {"http_failures": 2, "timeouts": 1, "http_statuses": [404]},
    }}});
    let gateway = Gateway::with(&balanced(&checks, &[at(&backend, 1), at(&silent, 1)]));
    eventually(|| verdict(&gateway, &silent.address.to_string()) == "UNHEALTHY");
    eventually(|| verdict(&gateway, &backend.address.to_string()) == "UNHEALTHY");
    eventually(|| health(&gateway)["health"] == "UNHEALTHY");
}

#[test]
fn tls_targets_are_probed_as_their_upstream_says() {
    // A gateway is the target: its certificate is self-signed.
    let upstream = Upstream::echo();
    let inner = Gateway::to(upstream.address);
    let target = inner.tls_address.to_string();
    for (verify, verdict_wanted) in [(false, "HEALTHY"), (true, "UNHEALTHY")] {
        let checks = json!({"healthchecks": {"active": {
            "type": "https", "https_verify_certificate": verify,
            "healthy": {"interval": 0.1, "successes": 1, "http_statuses": [200]},
            "unhealthy": {"interval": 0.1, "tcp_failures": 1},
        }}});
        let gateway = Gateway::with(&balanced(&checks, &[(target.clone(), 1)]));
        set_health(&gateway, &target, verify);
        eventually(|| verdict(&gateway, &target) == verdict_wanted);
    }
}
