//! prometheus.

use serde_json::{Value, json};

use crate::balancing::{at, balanced};
use crate::support::{Gateway, Upstream, closed_port, eventually};

use super::{GET, gateway, plugin, with_plugins};

fn prometheus(config: &Value) -> Value {
    let defaults = json!({
        "per_consumer": false, "status_code_metrics": true, "ai_metrics": false, "latency_metrics": true,
        "bandwidth_metrics": true, "upstream_health_metrics": false, "wasm_metrics": null,
    });
    plugin("prometheus", defaults, config)
}

/// The value of a sample, by all of its labels.
fn sample(gateway: &Gateway, name: &str) -> Option<u64> {
    let text = gateway.engine.metrics("cp").unwrap();
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

const REQUESTS: &str =
    r#"kong_http_requests_total{service="s",route="r",code="200",source="service",workspace="default",consumer=""}"#;

#[test]
fn requests_are_counted_by_status_and_source() {
    let gateway = gateway(&[prometheus(&json!({}))]);
    for _ in 0..10 {
        assert_eq!(gateway.ask(GET).status, 200);
    }
    eventually(|| sample(&gateway, REQUESTS) == Some(10));
    assert_eq!(sample(&gateway, r#"kong_nginx_requests_total{subsystem="http"}"#), Some(10));
    assert_eq!(sample(&gateway, "kong_nginx_metric_errors_total"), Some(0));

    let gateway = Gateway::with(&with_plugins(closed_port(), &[prometheus(&json!({}))]));
    assert_eq!(gateway.ask(GET).status, 502);
    let own = REQUESTS.replace("200", "502").replace(r#"source="service""#, r#"source="kong""#);
    eventually(|| sample(&gateway, &own) == Some(1));
}

#[test]
fn bytes_and_latencies_are_those_of_the_record() {
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    let gateway = Gateway::with(&with_plugins(upstream.address, &[prometheus(&json!({}))]));
    let answer = gateway.ask(GET);
    eventually(|| sample(&gateway, REQUESTS) == Some(1));
    let labels = |direction: &str| {
        format!(
            r#"kong_bandwidth_bytes{{service="s",route="r",direction="{direction}",workspace="default",consumer=""}}"#
        )
    };
    assert_eq!(sample(&gateway, &labels("ingress")), Some(GET.len() as u64));
    assert_eq!(sample(&gateway, &labels("egress")), Some((answer.head.len() + answer.body.len()) as u64));
    for name in ["kong_kong_latency_ms", "kong_upstream_latency_ms", "kong_request_latency_ms"] {
        let labels = r#"service="s",route="r",workspace="default""#;
        assert_eq!(sample(&gateway, &format!("{name}_count{{{labels}}}")), Some(1), "{name}");
        assert_eq!(sample(&gateway, &format!("{name}_bucket{{{labels},le=\"+Inf\"}}")), Some(1), "{name}");
        assert!(sample(&gateway, &format!("{name}_sum{{{labels}}}")).is_some(), "{name}");
    }
    let text = gateway.engine.metrics("cp").unwrap();
    assert!(text.contains("# TYPE kong_request_latency_ms histogram\n"), "{text}");
}

#[test]
fn what_is_not_asked_for_is_not_counted() {
    let off = json!({"status_code_metrics": false, "latency_metrics": false, "bandwidth_metrics": false});
    let gateway = gateway(&[prometheus(&off)]);
    assert_eq!(gateway.ask(GET).status, 200);
    let text = gateway.engine.metrics("cp").unwrap();
    assert!(!text.contains("kong_http_requests_total") && !text.contains("latency"), "{text}");
    assert_eq!(gateway.engine.metrics("other"), None);
}

#[test]
fn consumers_are_told_apart_where_that_is_wanted() {
    for (per_consumer, name) in [(true, "luka"), (false, "")] {
        let auth = plugin(
            "key-auth",
            json!({
                "key_names": ["apikey"], "key_in_header": true, "key_in_query": false, "key_in_body": false,
                "hide_credentials": true, "run_on_preflight": true, "anonymous": "luka", "realm": null,
            }),
            &json!({}),
        );
        let plugins = [auth, prometheus(&json!({"per_consumer": per_consumer}))];
        let mut configuration = with_plugins(Upstream::echo().address, &plugins);
        configuration["entities"]["consumers"] = json!([{"id": "c", "username": "luka", "custom_id": null}]);
        let gateway = Gateway::with(&configuration);
        assert_eq!(gateway.ask(GET).status, 200);
        let expected = REQUESTS.replace(r#"consumer="""#, &format!("consumer=\"{name}\""));
        eventually(|| sample(&gateway, &expected) == Some(1));
    }
}

#[test]
fn figures_survive_changes_and_requests_without_a_service_have_none() {
    let upstream = Upstream::echo();
    let mut configuration = with_plugins(upstream.address, &[prometheus(&json!({}))]);
    let gateway = Gateway::with(&configuration);
    assert_eq!(gateway.ask(GET).status, 200);
    configuration["version"] = json!(2);
    configuration["entities"]["plugins"] = json!([prometheus(&json!({"latency_metrics": false}))]);
    configuration["entities"]["routes"][0]["paths"] = json!(["/a"]);
    assert_eq!(gateway.apply(&configuration)["accepted"], true);
    assert_eq!([gateway.ask(GET).status, gateway.ask("GET /b HTTP/1.1\r\nHost: h\r\n\r\n").status], [200, 404]);
    eventually(|| sample(&gateway, REQUESTS) == Some(2));
    assert!(!gateway.engine.metrics("cp").unwrap().contains("404"));
}

#[test]
fn labels_are_escaped() {
    let mut configuration = with_plugins(Upstream::echo().address, &[prometheus(&json!({}))]);
    configuration["entities"]["routes"][0]["name"] = json!("a\"b\\c\nd");
    let gateway = Gateway::with(&configuration);
    assert_eq!(gateway.ask(GET).status, 200);
    eventually(|| sample(&gateway, &REQUESTS.replace(r#"route="r""#, r#"route="a\"b\\c\nd""#)) == Some(1));
}

#[test]
fn health_of_targets_is_told_where_that_is_wanted() {
    let upstream = Upstream::echo();
    let target = upstream.address.to_string();
    for wanted in [true, false] {
        let mut configuration = balanced(&json!({}), &[at(&upstream, 100)]);
        configuration["entities"]["plugins"] = json!([prometheus(&json!({"upstream_health_metrics": wanted}))]);
        let gateway = Gateway::with(&configuration);
        assert_eq!(gateway.ask(GET).status, 200);
        let text = gateway.engine.metrics("cp").unwrap();
        let off = format!(r#"target="{target}",address="{target}",state="healthchecks_off",subsystem="http"}} 1"#);
        assert_eq!(text.contains(&off), wanted, "{text}");
    }
}
