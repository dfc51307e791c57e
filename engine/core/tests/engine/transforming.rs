//! The advanced transformers in front of upstreams and clients that mean no good.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::logs::{gateway, plugin, with_plugins};
use crate::support::{Gateway, Response, Upstream};

fn request_transformer(config: &Value) -> Value {
    let section = |more: &Value| {
        let mut section = json!({"headers": [], "querystring": [], "body": []});
        section.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        section
    };
    let (names, values) = (section(&json!({})), section(&json!({"json_types": []})));
    let mut defaults = json!({
        "http_method": null, "remove": names, "rename": names, "replace": values, "add": values, "append": values,
        "allow": {"body": null}, "dots_in_keys": true,
    });
    overlay(&mut defaults, config);
    plugin("request-transformer-advanced", defaults, &json!({}))
}

fn response_transformer(config: &Value) -> Value {
    let values = json!({"headers": [], "json": [], "json_types": [], "if_status": []});
    let mut defaults = json!({
        "remove": {"headers": [], "json": [], "if_status": []}, "rename": {"headers": [], "if_status": []},
        "replace": values, "add": values, "append": values, "allow": {"json": null},
        "transform": {"functions": [], "if_status": [], "json": []}, "dots_in_keys": true,
    });
    overlay(&mut defaults, config);
    plugin("response-transformer-advanced", defaults, &json!({}))
}

/// Lays one configuration over another, section by section.
fn overlay(config: &mut Value, more: &Value) {
    for (name, value) in more.as_object().unwrap() {
        match value.as_object() {
            Some(section) => config[name].as_object_mut().unwrap().extend(section.clone()),
            None => config[name] = value.clone(),
        }
    }
}

fn packed(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// What a client gets of a JSON body that its upstream codes so.
fn passed(config: &Value, coding: &str, body: Vec<u8>) -> Response {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: {coding}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let upstream = Upstream::new(move |mut client, _| {
        while client.head().is_some() {
            client.send([head.as_bytes(), &body].concat());
        }
    });
    let gateway = Gateway::with(&with_plugins(upstream.address, &[response_transformer(config)]));
    gateway.ask("GET / HTTP/1.1\r\nHost: h.test\r\n\r\n")
}

#[test]
fn compressed_bodies_are_edited_and_compressed_again() {
    let config = json!({"remove": {"json": ["secret"]}, "add": {"json": ["a:1"]}});
    let response = passed(&config, "gzip", packed(br#"{"secret":1,"b":2}"#));
    assert_eq!((response.status, response.header("content-encoding")), (200, Some("gzip")));
    let mut text = String::new();
    GzDecoder::new(&*response.body).read_to_string(&mut text).unwrap();
    assert_eq!(text, r#"{"b":2,"a":"1"}"#);
}

#[test]
fn a_compressed_body_that_nothing_changes_is_the_same() {
    let body = packed(br#"{"b":2}"#);
    let response = passed(&json!({"remove": {"json": ["secret"]}}), "gzip", body.clone());
    assert_eq!((response.status, response.body), (200, body));
}

#[test]
fn bombs_and_garbage_are_no_responses() {
    let config = json!({"remove": {"json": ["secret"]}});
    let bomb = packed(&[&br#"{"a":""#[..], &vec![b'x'; 64 << 20], br#""}"#].concat());
    assert!(bomb.len() < 1 << 20);
    assert_eq!(passed(&config, "gzip", bomb).status, 502);
    assert_eq!(passed(&config, "gzip", b"no gzip at all".to_vec()).status, 502);
}

#[test]
fn what_costs_too_much_to_edit_is_no_response() {
    let config = json!({"remove": {"json": ["[*].a"]}, "dots_in_keys": false});
    let body = format!("[{}]", vec!["{}"; 300_000].join(",")).into_bytes();
    assert_eq!(passed(&config, "identity", body).status, 502);
}

#[test]
fn what_nests_too_deep_is_no_json() {
    let body = format!("{}1{}", r#"{"a":"#.repeat(100_000), "}".repeat(100_000)).into_bytes();
    let response = passed(&json!({"remove": {"json": ["a.a"]}, "dots_in_keys": false}), "identity", body.clone());
    assert_eq!((response.status, response.body == body), (200, true));
    assert_eq!(passed(&json!({"allow": {"json": ["a"]}}), "identity", body).status, 502);
}

fn post(gateway: &Gateway, body: &str) -> Response {
    let length = body.len();
    gateway.ask(&format!(
        "POST / HTTP/1.1\r\nHost: h.test\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    ))
}

#[test]
fn requests_that_cost_too_much_to_edit_are_refused() {
    let config = json!({"add": {"body": ["[*].a:1"]}, "dots_in_keys": false});
    let gateway = gateway(&[request_transformer(&config)]);
    assert_eq!(post(&gateway, &format!("[{}]", vec!["{}"; 300_000].join(","))).status, 413);
    assert!(post(&gateway, "[{}]").text().ends_with(r#"[{"a":"1"}]"#));
}

#[test]
fn an_allow_list_lets_nothing_by_that_it_cannot_read() {
    let gateway = gateway(&[request_transformer(&json!({"allow": {"body": ["a"]}}))]);
    assert!(post(&gateway, r#"{"a":1,"b":2}"#).text().ends_with("\r\n\r\n{\"a\":1}"));
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    for body in [r#"{"a":1,"b":2} x"#, r#"{"a":1,"b":2"#, &deep] {
        assert_eq!(post(&gateway, body).status, 400, "{}", &body[..12]);
    }
}

#[test]
fn lua_is_refused() {
    let gateway = gateway(&[]);
    let config = json!({"transform": {"functions": ["return function(b) return b end"]}});
    let mut configuration = with_plugins(gateway.address, &[response_transformer(&config)]);
    configuration["version"] = json!(2);
    let report = gateway.apply(&configuration);
    let error = &report["errors"][0];
    assert_eq!((&report["accepted"], &error["field"]), (&json!(false), &json!("config.transform.functions")));
    assert_eq!(error["message"], "this gateway runs no Lua");
}
