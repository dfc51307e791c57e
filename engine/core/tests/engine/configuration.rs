use std::thread;
use std::time::Instant;

use serde_json::{Value, json};

use crate::support::{Gateway, PATIENCE, Upstream, route, service, snapshot};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn delta(from: u64, to: u64, changes: &Value) -> Value {
    json!({
        "format": 1, "kind": "delta", "organization_id": "org", "control_plane_id": "cp", "from_version": from,
        "version": to, "hosts": ["*"], "changes": changes,
    })
}

#[test]
fn deltas_apply_and_gaps_are_refused() {
    let upstream = Upstream::echo();
    let gateway = Gateway::to(upstream.address);
    let put = json!([{"operation": "put", "type": "routes", "id": "r", "entity": route("/moved")}]);
    assert_eq!(gateway.apply(&delta(1, 2, &put))["accepted"], true);
    assert_eq!(gateway.ask(GET).status, 404);
    assert_eq!(gateway.ask("GET /moved HTTP/1.1\r\nHost: a\r\n\r\n").status, 200);

    let report = gateway.apply(&delta(1, 3, &put));
    assert_eq!((&report["accepted"], &report["errors"][0]["code"]), (&json!(false), &json!("version-gap")));
    let delete = json!([{"operation": "delete", "type": "routes", "id": "r"}, {"operation": "delete", "type": "routes", "id": "never"}]);
    assert_eq!(gateway.apply(&delta(2, 3, &delete))["accepted"], true);
    assert_eq!(gateway.ask("GET /moved HTTP/1.1\r\nHost: a\r\n\r\n").status, 404);
    assert_eq!(gateway.engine.versions(), br#"{"cp":3}"#);
}

#[test]
fn refused_updates_change_nothing() {
    let upstream = Upstream::echo();
    let gateway = Gateway::to(upstream.address);
    let plugin = json!({
        "id": "p", "name": "no-such-plugin", "config": {}, "enabled": true, "protocols": ["http"],
        "service": null, "route": null, "consumer": null,
    });
    let changes = json!([
        {"operation": "delete", "type": "routes", "id": "r"},
        {"operation": "put", "type": "plugins", "id": "p", "entity": plugin},
    ]);
    let report = gateway.apply(&delta(1, 2, &changes));
    assert_eq!(report["accepted"], false);
    assert_eq!(report["errors"][0]["entity"], "plugin");
    assert_eq!(report["errors"][0]["field"], "name");
    assert_eq!(gateway.ask(GET).status, 200);

    let mut broken = route("/");
    broken["service"] = json!({"id": "gone"});
    broken["unknown"] = json!(1);
    let report = gateway.apply(&snapshot(2, &[], &[broken.clone()]));
    assert!(report["errors"][0]["message"].as_str().unwrap().contains("unknown field"), "{report}");
    broken.as_object_mut().unwrap().remove("unknown");
    let report = gateway.apply(&snapshot(2, &[], &[broken]));
    assert_eq!(report["errors"][0]["field"], "service.id");
    assert_eq!(gateway.apply(&json!({"kind": "snapshot"}))["accepted"], false);
    assert_eq!(gateway.ask(GET).status, 200);
}

#[test]
fn hosts_select_tenants() {
    let upstream = Upstream::echo();
    let gateway = Gateway::to(upstream.address);
    let mut other = snapshot(1, &[service(upstream.address)], &[route("/only")]);
    other["control_plane_id"] = json!("other");
    other["hosts"] = json!(["other.test"]);
    assert_eq!(gateway.apply(&other)["accepted"], true);
    let ask = |host: &str, path: &str| gateway.ask(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")).status;
    assert_eq!((ask("other.test", "/"), ask("OTHER.test:80", "/only"), ask("a", "/")), (404, 200, 200));

    let mut thief = other.clone();
    thief["control_plane_id"] = json!("thief");
    assert_eq!(gateway.apply(&thief)["errors"][0]["field"], "hosts");
    thief["control_plane_id"] = json!("other");
    thief["organization_id"] = json!("elsewhere");
    assert_eq!(gateway.apply(&thief)["errors"][0]["field"], "organization_id");

    other["hosts"] = json!(["new.test"]);
    other["version"] = json!(2);
    gateway.apply(&other);
    assert_eq!((ask("other.test", "/"), ask("new.test", "/only")), (200, 200));
    assert!(gateway.engine.remove("cp") && !gateway.engine.remove("cp"));
    assert_eq!((ask("a", "/"), ask("new.test", "/only")), (404, 200));
}

#[test]
fn disabled_services_leave_the_router() {
    let upstream = Upstream::echo();
    let mut off = service(upstream.address);
    off["enabled"] = json!(false);
    let gateway = Gateway::with(&snapshot(1, &[off], &[route("/")]));
    assert_eq!(gateway.ask(GET).status, 404);
}

#[test]
fn counters_survive_changes() {
    let upstream = Upstream::echo();
    let gateway = Gateway::to(upstream.address);
    assert_eq!(gateway.ask(GET).status, 200);
    let put = json!([{"operation": "put", "type": "routes", "id": "r", "entity": route("/other")}]);
    assert_eq!(gateway.apply(&delta(1, 2, &put))["accepted"], true);
    assert_eq!(gateway.ask(GET).status, 404);
    assert_eq!(gateway.apply(&snapshot(3, &[service(upstream.address)], &[route("/")]))["accepted"], true);
    assert_eq!(gateway.ask(GET).status, 200);
    // A request is counted when its connection is done with it, which may be after the client has the answer.
    let begun = Instant::now();
    while gateway.counter("requests_total") < 3 && begun.elapsed() < PATIENCE {
        thread::yield_now();
    }
    assert_eq!(gateway.counter("requests_total"), 3);
}

#[test]
fn wildcard_hosts_have_one_owner() {
    let upstream = Upstream::echo();
    let gateway = Gateway::to(upstream.address);
    let mut other = snapshot(1, &[service(upstream.address)], &[route("/only")]);
    other["control_plane_id"] = json!("other");
    other["hosts"] = json!(["*.example.test"]);
    assert_eq!(gateway.apply(&other)["accepted"], true);
    let ask = |host: &str| gateway.ask(&format!("GET /only HTTP/1.1\r\nHost: {host}\r\n\r\n")).text();
    // Only the route of the tenant with the wildcard strips all of the path.
    assert_eq!(ask("a.example.test").split(' ').nth(1), Some("/"));
    assert_eq!(ask("example.test").split(' ').nth(1), Some("/only"));
    other["control_plane_id"] = json!("thief");
    assert_eq!(gateway.apply(&other)["errors"][0]["field"], "hosts");
}
