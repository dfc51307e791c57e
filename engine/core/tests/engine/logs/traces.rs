//! zipkin and opentelemetry: the tree of spans, and collectors that do not take it.

use serde_json::{Value, json};

use crate::support::{Gateway, Upstream, closed_port, eventually};

use super::{GET, Receiver, counted, orderly, plugin, queue, with_plugins};

fn propagation() -> Value {
    json!({"extract": null, "clear": null, "inject": null, "default_format": "b3"})
}

fn zipkin(endpoint: &str, config: &Value) -> Value {
    let defaults = json!({
        "local_service_name": "kong", "http_endpoint": endpoint, "sample_ratio": 1, "default_service_name": null,
        "include_credential": true, "traceid_byte_count": 16, "header_type": "preserve", "default_header_type": "b3",
        "tags_header": "Zipkin-Tags", "static_tags": null, "http_span_name": "method", "connect_timeout": 2000,
        "send_timeout": 5000, "read_timeout": 5000, "http_response_header_for_traceid": null,
        "phase_duration_flavor": "annotations", "queue": queue(&json!({})), "propagation": propagation(),
    });
    plugin("zipkin", defaults, config)
}

fn opentelemetry(endpoint: &str, config: &Value) -> Value {
    let defaults = json!({
        "traces_endpoint": endpoint, "logs_endpoint": null, "headers": null, "resource_attributes": null,
        "access_logs": {"endpoint": null, "custom_attributes_by_lua": null},
        "metrics": {"endpoint": null, "push_interval": 60, "enable_request_metrics": false},
        "queue": queue(&json!({})), "batch_span_count": null, "batch_flush_delay": null, "connect_timeout": 1000,
        "send_timeout": 5000, "read_timeout": 5000, "http_response_header_for_traceid": null, "header_type": "preserve",
        "sampling_rate": 1, "sampling_strategy": "parent_drop_probability_fallback", "propagation": propagation(),
    });
    plugin("opentelemetry", defaults, config)
}

fn single(upstream: &Upstream, plugins: &[Value]) -> Gateway {
    orderly(&with_plugins(upstream.address, plugins))
}

#[test]
fn the_service_is_told_of_the_span_that_is_reported() {
    let receiver = Receiver::new();
    let upstream = Upstream::echo();
    let gateway = single(&upstream, &[zipkin(&receiver.url(), &json!({}))]);
    let answer = gateway.ask(GET);
    let spans = receiver.bodies(1)[0].clone();
    let told = |name: &str| {
        let lines = String::from_utf8(answer.body.clone()).unwrap().to_lowercase();
        let line = lines.lines().find_map(|line| line.strip_prefix(&format!("{name}: "))).unwrap().to_owned();
        line.trim().to_owned()
    };
    assert_eq!(spans[0]["parentId"], Value::Null);
    assert_eq!((&spans[1]["parentId"], &spans[2]["parentId"]), (&spans[0]["id"], &spans[0]["id"]));
    assert_eq!(spans[1]["id"], told("x-b3-spanid"));
    assert_eq!(spans[0]["id"], told("x-b3-parentspanid"));
    for span in spans.as_array().unwrap() {
        assert_eq!(span["traceId"], told("x-b3-traceid"));
        let (began, took) = (span["timestamp"].as_u64().unwrap(), span["duration"].as_u64().unwrap());
        let (whole_began, whole_took) =
            (spans[0]["timestamp"].as_u64().unwrap(), spans[0]["duration"].as_u64().unwrap());
        assert!(began >= whole_began && began + took <= whole_began + whole_took + 1, "{span}");
    }
}

#[test]
fn collectors_that_are_down_or_refuse_cost_spans_and_nothing_else() {
    let refusing = Receiver::answering(|_| "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n".into());
    let silent = Upstream::new(|mut client, _| drop(client.rest()));
    let down = format!("http://{}/", closed_port());
    let impatient = json!({"queue": queue(&json!({"max_retry_time": 0.05})), "read_timeout": 50, "send_timeout": 0});
    for endpoint in [down.clone(), refusing.url(), format!("http://{}/", silent.address)] {
        let gateway = single(&Upstream::echo(), &[zipkin(&endpoint, &impatient)]);
        for _ in 0..2 {
            assert_eq!(gateway.ask(GET).status, 200);
        }
        counted(&gateway, "records_dropped_total", 2);
        counted(&gateway, "records_waiting_bytes", 0);
    }
    for endpoint in [down, format!("http://{}/", silent.address)] {
        let gateway = single(&Upstream::echo(), &[opentelemetry(&endpoint, &impatient)]);
        for _ in 0..2 {
            assert_eq!(gateway.ask(GET).status, 200);
        }
        counted(&gateway, "records_dropped_total", 2);
        counted(&gateway, "records_waiting_bytes", 0);
    }
}

#[test]
fn both_of_them_are_one_trace() {
    let receiver = Receiver::new();
    let down = format!("http://{}/", closed_port());
    let gateway = single(&Upstream::echo(), &[zipkin(&receiver.url(), &json!({})), opentelemetry(&down, &json!({}))]);
    let answer = gateway.ask(GET);
    let spans = receiver.bodies(1)[0].clone();
    // The second one takes the first one's span for its parent, and tells the service of its own.
    let lines = String::from_utf8(answer.body).unwrap().to_lowercase();
    assert!(lines.contains(&format!("x-b3-traceid: {}", spans[0]["traceId"].as_str().unwrap())), "{lines}");
    assert!(!lines.contains(&format!("x-b3-spanid: {}", spans[1]["id"].as_str().unwrap())), "{lines}");
    eventually(|| gateway.counter("record_deliveries_failed_total") > 0);
}
