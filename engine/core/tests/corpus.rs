//! What the control plane accepts, this engine accepts. The control plane checks what it is given in a language of its
//! own; the files in `tests/corpus` are run against both sides, so neither can drift. One entity that slipped through
//! would keep a tenant's whole configuration from becoming live.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests fail by panicking")]

use std::sync::Arc;

use serde_json::{Value, json};
use sluice_engine_core::config::store::Store;
use sluice_engine_core::expr::{Sandbox, Template};
use sluice_engine_core::logs::files::FileName;
use sluice_engine_core::plugins;

macro_rules! corpus {
    ($name:literal) => {
        serde_json::from_str::<Vec<Value>>(include_str!(concat!("../../../tests/corpus/", $name))).unwrap()
    };
}

/// Fails with all entries on which the verdict, or the message, is not what the corpus says.
fn judge(corpus: &[Value], mut fault: impl FnMut(&Value) -> Option<String>) {
    let wrong: Vec<String> = corpus
        .iter()
        .filter_map(|entry| {
            let found = fault(entry);
            let valid = entry["valid"] == true || entry["stricter"] == true;
            let expected = entry["message_contains"].as_str().filter(|_| !valid).unwrap_or_default();
            let right = match &found {
                None => valid,
                Some(message) => !valid && message.contains(expected),
            };
            (!right).then(|| format!("{} -> {found:?}", entry.to_string().chars().take(200).collect::<String>()))
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), corpus.len(), wrong.join("\n"));
}

/// Why a configuration with these entities is refused.
fn refusal(entities: &Value) -> Option<String> {
    let update = json!({
        "format": 1, "kind": "snapshot", "organization_id": "org", "control_plane_id": "cp", "version": 1,
        "hosts": ["*"],
        "settings": {
            "router_flavor": "traditional_compatible", "trusted_ips": [], "real_ip_header": "X-Real-IP", "headers": [],
        },
        "entities": entities,
    });
    let report = Store::new(1, Arc::default()).apply(update.to_string().as_bytes());
    report.errors.first().map(|error| format!("{:?}: {}", error.error.field, error.error.message))
}

#[test]
fn template_expressions() {
    judge(&corpus!("template_expressions.json"), |entry| {
        let template = entry["template"].as_str().unwrap();
        Template::compile(template, Sandbox::Strict).err().map(|error| error.to_string())
    });
}

#[test]
fn route_regexes() {
    judge(&corpus!("route_regexes.json"), |entry| {
        let mut route = json!({
            "id": "r", "protocols": ["http"], "preserve_host": false, "https_redirect_status_code": 426,
            "request_buffering": true, "response_buffering": true,
        });
        match (entry["path"].as_str(), entry["header"].as_str()) {
            (Some(path), _) => route["paths"] = json!([path]),
            (_, header) => route["headers"] = json!({"x-a": [header.unwrap()]}),
        }
        refusal(&json!({"routes": [route]}))
    });
}

#[test]
fn service_hosts() {
    judge(&corpus!("service_hosts.json"), |entry| {
        let service = json!({
            "id": "s", "protocol": entry["protocol"], "host": entry["host"], "port": 80, "retries": 0,
            "connect_timeout": 1, "write_timeout": 1, "read_timeout": 1, "enabled": true,
        });
        refusal(&json!({"services": [service]}))
    });
}

/// Those that plugins ask, by the example of one of them.
#[test]
fn called_urls() {
    judge(&corpus!("called_urls.json"), |entry| {
        let config = json!({
            "http_endpoint": entry["url"], "method": "POST", "content_type": "application/json", "timeout": 1,
            "keepalive": 1, "ssl_verify": true,
            "queue": {
                "max_batch_size": 1, "max_coalescing_delay": 1, "max_entries": 1, "max_bytes": null, "max_retry_time": 1,
                "initial_retry_delay": 1, "max_retry_delay": 1, "concurrency_limit": 1,
            },
            "custom_fields_by_lua": null,
        });
        let plugin = json!({"id": "p", "name": "http-log", "config": config, "enabled": true, "protocols": ["http"]});
        refusal(&json!({"plugins": [plugin]}))
    });
}

#[test]
fn log_paths() {
    judge(&corpus!("log_paths.json"), |entry| FileName::of(entry["path"].as_str().unwrap()).err().map(str::to_owned));
}

#[test]
fn plugins_run_in_the_published_order() {
    let corpus: Value = serde_json::from_str(include_str!("../../../tests/corpus/plugin_priorities.json")).unwrap();
    let known = plugins::REGISTRY.iter().map(|known| json!([known.name, known.priority]));
    assert_eq!(corpus["order"], Value::Array(known.collect()));
}
