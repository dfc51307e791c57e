//! The document that all of them send.

use std::sync::Arc;

use serde_json::{Value, json};
use sluice_engine_core::base64;
use sluice_engine_core::config::directory::CredentialKey;

use crate::identities::{TlsClient, client_config};
use crate::support::{Client, Gateway, Upstream, closed_port, route};

use super::{GET, Receiver, gateway, http_log, orderly, plugin, with_plugins};

fn logging(receiver: &Receiver) -> Value {
    http_log(&json!({"http_endpoint": receiver.url()}))
}

#[test]
fn a_proxied_request_is_told_field_by_field() {
    let receiver = Receiver::new();
    let upstream = Upstream::answering(
        "HTTP/1.1 201 Created\r\nContent-Length: 2\r\nX-Two: a\r\nx-two: b\r\nContent-Type: text/css\r\n\r\nok",
    );
    let mut configuration = with_plugins(upstream.address, &[logging(&receiver)]);
    configuration["entities"]["services"][0]["path"] = json!("/base");
    configuration["entities"]["services"][0]["tags"] = json!(["red"]);
    configuration["entities"]["routes"][0]["created_at"] = json!(1_700_000_000);
    let gateway = Gateway::with(&configuration);
    let request = "POST /x%20y?a=1&b&a=2%21 HTTP/1.1\r\nHost: H.test\r\nAuthorization: Basic c2VjcmV0\r\n\
                   proxy-authorization: secret\r\nX-A: 1\r\nX-B: \u{ff}\"q\r\nx-a: 2\r\nContent-Length: 3\r\n\r\nabc";
    let mut client = gateway.client();
    client.send(request);
    let answer = client.response();
    let record = receiver.bodies(1).remove(0);

    let told = &record["request"];
    assert_eq!(told["id"].as_str(), answer.header("x-kong-request-id"));
    assert_eq!((&told["method"], &told["uri"]), (&json!("POST"), &json!("/x%20y?a=1&b&a=2%21")));
    assert_eq!(told["url"], format!("http://h.test:{}/x%20y?a=1&b&a=2%21", gateway.address.port()));
    assert_eq!(told["querystring"], json!({"a": ["1", "2!"], "b": true}));
    assert_eq!(told["size"], request.len());
    let expected = json!({
        "host": "H.test", "authorization": "REDACTED", "proxy-authorization": "REDACTED", "x-a": ["1", "2"],
        "x-b": "\u{ff}\"q", "content-length": "3",
    });
    assert_eq!((&told["headers"], &told["tls"]), (&expected, &Value::Null));

    let sent = &record["response"];
    assert_eq!((&sent["status"], sent["size"].as_u64()), (&json!(201), Some((answer.head.len() + 2) as u64)));
    for (name, value) in [("x-two", json!(["a", "b"])), ("content-length", json!("2")), ("via", json!("1.1 sluice"))] {
        assert_eq!(sent["headers"][name], value, "{name}");
    }
    assert_eq!(sent["headers"]["x-kong-upstream-latency"].as_str(), answer.header("x-kong-upstream-latency"));
    assert_eq!(
        (&record["upstream_uri"], &record["upstream_status"]),
        (&json!("/base/x%20y?a=1&b&a=2%21"), &json!("201"))
    );
    assert_eq!((&record["source"], &record["client_ip"]), (&json!("upstream"), &json!("127.0.0.1")));
    assert_eq!((&record["workspace"], &record["workspace_name"]), (&json!("cp"), &json!("default")));

    let latencies = &record["latencies"];
    assert_eq!(latencies["proxy"].to_string(), answer.header("x-kong-upstream-latency").unwrap());
    let number = |name: &str| latencies[name].as_u64().unwrap();
    assert!(
        number("kong") + number("proxy") <= number("request") && number("receive") <= number("kong"),
        "{latencies}"
    );
    let attempt = &record["tries"][0];
    assert_eq!(record["tries"].as_array().unwrap().len(), 1);
    assert_eq!((&attempt["ip"], &attempt["port"]), (&json!("127.0.0.1"), &json!(upstream.address.port())));
    assert_eq!((&attempt["keepalive"], &attempt["state"]), (&json!(false), &Value::Null));
    let (began, nanos) = (attempt["balancer_start"].as_u64().unwrap(), attempt["balancer_start_ns"].as_u64().unwrap());
    assert!(nanos / 1_000_000 == began && began >= record["started_at"].as_u64().unwrap(), "{record}");
    assert!(record["started_at"].as_u64().unwrap() > 1_700_000_000_000);

    let (service, route) = (&record["service"], &record["route"]);
    assert_eq!((&service["host"], &service["path"]), (&json!("127.0.0.1"), &json!("/base")));
    assert_eq!((&service["tags"], &service["ws_id"]), (&json!(["red"]), &json!("cp")));
    assert!(service.get("client_certificate").is_none() && service["created_at"].as_u64() == Some(1), "{service}");
    assert_eq!((&route["paths"], &route["service"]), (&json!(["/"]), &json!({"id": "s"})));
    assert_eq!((&route["created_at"], &route["strip_path"]), (&json!(1_700_000_000), &json!(true)));
    assert_eq!((record.get("consumer"), record.get("authenticated_entity")), (None, None));
}

#[test]
fn a_request_without_a_route_is_the_gateways_own() {
    let receiver = Receiver::new();
    let mut configuration = with_plugins(closed_port(), &[logging(&receiver)]);
    configuration["entities"]["routes"] = json!([route("/only")]);
    let gateway = Gateway::with(&configuration);
    assert_eq!(gateway.ask("GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").status, 404);
    let record = receiver.bodies(1).remove(0);
    assert_eq!((&record["source"], &record["response"]["status"]), (&json!("kong"), &json!(404)));
    assert_eq!((&record["tries"], &record["upstream_uri"]), (&json!([]), &json!("")));
    assert_eq!((&record["upstream_status"], &record["latencies"]["proxy"]), (&json!(""), &json!(-1)));
    assert_eq!((record.get("route"), record.get("service")), (None, None));
    assert_eq!(record["response"]["headers"]["content-type"], "application/json; charset=utf-8");
}

#[test]
fn the_id_that_a_request_has_in_common_with_other_logs_is_told() {
    let receiver = Receiver::new();
    let config = json!({"header_name": "X-Id", "generator": "uuid", "echo_downstream": true});
    let gateway = gateway(&[plugin("correlation-id", config, &json!({})), logging(&receiver)]);
    let answer = gateway.ask("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    let own = gateway.ask("GET / HTTP/1.1\r\nHost: h\r\nX-Id: mine\r\nConnection: close\r\n\r\n");
    assert_eq!((answer.header("x-id").map(str::len), own.header("x-id")), (Some(36), Some("mine")));
    let mut told: Vec<String> =
        receiver.bodies(2).iter().map(|record| record["correlation_id"].as_str().unwrap().to_owned()).collect();
    told.sort_unstable();
    let mut expected = [answer.header("x-id").unwrap().to_owned(), "mine".to_owned()];
    expected.sort_unstable();
    assert_eq!(told, expected);
}

#[test]
fn every_failed_try_is_told() {
    let receiver = Receiver::new();
    let mut configuration = with_plugins(closed_port(), &[logging(&receiver)]);
    configuration["entities"]["services"][0]["retries"] = json!(2);
    let gateway = Gateway::with(&configuration);
    assert_eq!(gateway.ask(GET).status, 502);
    let record = receiver.bodies(1).remove(0);
    assert_eq!((&record["source"], &record["upstream_status"]), (&json!("kong"), &json!("502, 502, 502")));
    let tries = record["tries"].as_array().unwrap();
    assert!(tries.iter().all(|attempt| attempt["state"] == "failed" && attempt["code"] == 502), "{tries:?}");
    assert_eq!((tries.len(), &record["upstream_uri"]), (3, &json!("/a")));
}

#[test]
fn a_consumer_is_told_with_its_credential() {
    let receiver = Receiver::new();
    let secret = [7; 32];
    let auth = plugin(
        "key-auth",
        json!({
            "key_names": ["apikey"], "key_in_header": true, "key_in_query": false, "key_in_body": false,
            "hide_credentials": true, "run_on_preflight": true, "anonymous": null, "realm": null,
        }),
        &json!({}),
    );
    let mut configuration = with_plugins(Upstream::echo().address, &[logging(&receiver), auth]);
    configuration["settings"]["credential_key"] = json!(base64::encode(&secret));
    configuration["entities"]["consumers"] = json!([{"id": "c", "username": "luka", "custom_id": "n1"}]);
    configuration["entities"]["keyauth_credentials"] = json!([{
        "id": "k", "consumer": {"id": "c"}, "expires_at": null,
        "key_hash": base64::encode(&CredentialKey::new(&secret).hash(b"top")),
    }]);
    let gateway = orderly(&configuration);
    assert_eq!(gateway.ask(GET).status, 401);
    assert_eq!(gateway.ask("GET / HTTP/1.1\r\nHost: h\r\napikey: top\r\n\r\n").status, 200);
    let records = receiver.bodies(2);
    let nobody = (records[0].get("consumer"), records[0].get("authenticated_entity"), &records[0]["upstream_uri"]);
    assert_eq!(nobody, (None, None, &json!("")));
    let expected = json!({"id": "c", "username": "luka", "custom_id": "n1", "ws_id": "cp"});
    assert_eq!((&records[1]["consumer"], &records[1]["source"]), (&expected, &json!("upstream")));
    assert_eq!(records[1]["authenticated_entity"], json!({"id": "k", "consumer_id": "c"}));
    assert!(!records[1].to_string().contains("top"), "{}", records[1]);
}

#[test]
fn what_tls_was_spoken_is_told() {
    let receiver = Receiver::new();
    let gateway = gateway(&[logging(&receiver)]);
    let config = Arc::new(client_config(&[&rustls::version::TLS12]));
    assert_eq!(TlsClient::to(gateway.tls_address, "h.test", &config).get("h.test").0, 200);
    let record = receiver.bodies(1).remove(0);
    let told = &record["request"]["tls"];
    assert_eq!((&told["version"], &told["client_verify"]), (&json!("TLSv1.2"), &json!("NONE")));
    assert!(told["cipher"].as_str().unwrap().starts_with("ECDHE-"), "{told}");
    assert!(record["request"]["url"].as_str().unwrap().starts_with("https://"), "{record}");
}

#[test]
fn a_record_of_very_many_headers_is_bounded() {
    let receiver = Receiver::new();
    let gateway = gateway(&[logging(&receiver)]);
    let headers: String =
        (0..500).flat_map(|number| ["x-".to_owned(), number.to_string(), ": 1\r\n".to_owned()]).collect();
    let arguments: String = (0..500).flat_map(|number| ["&a".to_owned(), number.to_string()]).collect();
    let mut client = Client::to(gateway.address);
    client.send(format!("GET /?{arguments} HTTP/1.1\r\nHost: h\r\n{headers}\r\n"));
    assert_eq!(client.response().status, 200);
    let record = receiver.bodies(1).remove(0);
    let count = |value: &Value| value.as_object().unwrap().len();
    assert_eq!((count(&record["request"]["headers"]), count(&record["request"]["querystring"])), (100, 100));
}
