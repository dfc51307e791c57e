//! Plugins that have a function elsewhere answer, with real receivers.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::logs::{orderly, plugin, with_plugins};
use crate::support::{Gateway, Response, Upstream, closed_port};

const GET: &str = "GET /a?b=1 HTTP/1.1\r\nHost: h.test\r\n\r\n";
const FAILED: &str = r#"{"message":"An unexpected error occurred"}"#;

fn lambda(upstream: std::net::SocketAddr, config: &Value) -> Value {
    let defaults = json!({
        "timeout": 10000, "keepalive": 60000, "aws_key": "AKID", "aws_secret": "secret", "aws_assume_role_arn": null,
        "aws_role_session_name": "kong", "aws_sts_endpoint_url": null, "aws_region": "eu-central-1",
        "aws_imds_protocol_version": "v1", "function_name": "f", "qualifier": null,
        "invocation_type": "RequestResponse", "log_type": "Tail", "host": upstream.ip().to_string(),
        "port": upstream.port(), "disable_https": true, "ssl_verify": true, "unhandled_status": null,
        "forward_request_method": false, "forward_request_uri": false, "forward_request_headers": false,
        "forward_request_body": false, "is_proxy_integration": false, "awsgateway_compatible": false,
        "awsgateway_compatible_payload_version": "1.0", "proxy_url": null, "skip_large_bodies": true,
        "base64_encode_body": true, "empty_arrays_mode": "legacy", "preserve_lambda_api_error_code": false,
    });
    plugin("aws-lambda", defaults, config)
}

/// A gateway whose function is at an upstream; there is no other.
fn calling(upstream: &Upstream, config: &Value) -> Gateway {
    orderly(&with_plugins(closed_port(), &[lambda(upstream.address, config)]))
}

fn answered(answer: &'static str, config: &Value) -> Response {
    calling(&Upstream::answering(answer), config).ask(GET)
}

#[test]
fn a_function_answers_in_the_place_of_the_upstream() {
    let response = answered(
        "HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nX-Amzn-RequestId: 1\r\nX-Amz-Log-Result: c2VjcmV0\r\n\
         Connection: close, x-hop\r\nX-Hop: 1\r\nContent-Length: 16\r\n\r\n{\"a\":[],\"b\":[1]}",
        &json!({}),
    );
    assert_eq!((response.status, &*response.text()), (202, r#"{"a":{},"b":[1]}"#));
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!((response.header("x-amzn-requestid"), response.header("via")), (Some("1"), Some("1.1 sluice")));
    assert_eq!((response.header("x-amz-log-result"), response.header("x-hop")), (None, None));
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{\"a\":[]}";
    assert_eq!(answered(answer, &json!({"empty_arrays_mode": "correct"})).text(), r#"{"a":[]}"#);
}

#[test]
fn a_function_that_fails_has_the_status_for_that() {
    let answer =
        "HTTP/1.1 200 OK\r\nX-Amz-Function-Error: Unhandled\r\nContent-Length: 20\r\n\r\n{\"errorMessage\":\"x\"}";
    assert_eq!(answered(answer, &json!({})).status, 200);
    let response = answered(answer, &json!({"unhandled_status": 412}));
    assert_eq!((response.status, &*response.text()), (412, r#"{"errorMessage":"x"}"#));
    assert_eq!(answered(answer, &json!({"is_proxy_integration": true})).status, 502);
}

#[test]
fn a_function_may_make_the_whole_response() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 156\r\n\r\n{\"statusCode\":418,\"headers\":{\"x-a\":\"b\\r\\nx-injected: c\",\
                  \"content-length\":\"1\",\"x-b\":\"d\",\"Content-Type\":\"text/plain\"},\"body\":\"aGk=\",\"isBase64Encoded\":true}   ";
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    assert_eq!(body.len(), 156);
    let response = answered(answer, &json!({"is_proxy_integration": true}));
    assert_eq!((response.status, &*response.text()), (418, "hi"));
    assert_eq!((response.header("x-b"), response.header("content-type")), (Some("d"), Some("text/plain")));
    assert_eq!((response.header("x-a"), response.header("x-injected")), (None, None));
    for garbage in ["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{"] {
        let response = answered(garbage, &json!({"is_proxy_integration": true}));
        assert_eq!((response.status, response.text().contains("Bad Gateway")), (502, true));
    }
}

#[test]
fn a_function_that_cannot_be_had_is_an_error() {
    for garbage in [
        "HTTP/1.1 500 Internal\r\nContent-Length: 6\r\n\r\nsecret",
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\nsecret",
        "SSH-2.0-OpenSSH\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nsecret",
        "HTTP/1.1 200 OK\r\nContent-Length: 17000000\r\n\r\n",
    ] {
        let response = answered(garbage, &json!({}));
        assert_eq!((response.status, &*response.text()), (500, FAILED), "{garbage}");
    }
    let refused = "HTTP/1.1 429 Too Many\r\nContent-Length: 6\r\n\r\nsecret";
    let response = answered(refused, &json!({"preserve_lambda_api_error_code": true}));
    assert_eq!((response.status, &*response.text()), (429, FAILED));
    let down = orderly(&with_plugins(closed_port(), &[lambda(closed_port(), &json!({}))]));
    assert_eq!(down.ask(GET).status, 500);
    let silent = Upstream::new(|mut client, _| drop(client.rest()));
    assert_eq!(calling(&silent, &json!({"timeout": 50})).ask(GET).status, 500);
    let cut = Upstream::new(|mut client, _| {
        client.head();
        client.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{");
    });
    assert_eq!(calling(&cut, &json!({})).ask(GET).status, 500);
}

#[test]
fn addresses_that_the_tenant_may_not_reach_are_not_called() {
    let upstream = Upstream::echo();
    let mut configuration = with_plugins(closed_port(), &[lambda(upstream.address, &json!({}))]);
    configuration["limits"]["allow_upstream"] = json!([]);
    assert_eq!(Gateway::with(&configuration).ask(GET).status, 500);
    assert_eq!(upstream.connections(), 0);
}

/// A token service that gives sessions which end so many seconds from 1970, and what it was asked.
fn token_service(expiration: u64) -> (Upstream, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = asked.clone();
    let upstream = Upstream::new(move |mut client, _| {
        while let Some(head) = client.head() {
            let body = String::from_utf8(client.body(&head, false)).unwrap();
            let count = {
                let mut noted = noted.lock().unwrap();
                noted.push(format!("{head}{body}"));
                noted.len()
            };
            let credentials = json!({"AssumeRoleResponse": {"AssumeRoleResult": {"Credentials": {
                "AccessKeyId": format!("ASIA{count}"), "SecretAccessKey": "s", "SessionToken": format!("token{count}"),
                "Expiration": expiration,
            }}}});
            let text = credentials.to_string();
            client.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len()));
        }
    });
    (upstream, asked)
}

fn with_role(tokens: std::net::SocketAddr) -> Value {
    json!({
        "aws_assume_role_arn": "arn:aws:iam::1:role/a b", "aws_sts_endpoint_url": format!("http://{tokens}"),
        "empty_arrays_mode": "correct",
    })
}

#[test]
fn a_role_is_taken_on_once_for_many_requests() {
    let (tokens, asked) = token_service(9_999_999_999);
    let gateway = calling(&Upstream::echo(), &with_role(tokens.address));
    for _ in 0..3 {
        let told = gateway.ask(GET).text().to_ascii_lowercase();
        assert!(told.contains("credential=asia1/") && told.contains("x-amz-security-token: token1\r\n"), "{told}");
        assert!(told.contains("host;x-amz-date;x-amz-invocation-type;x-amz-log-type;x-amz-security-token,"), "{told}");
    }
    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), 1);
    assert!(asked[0].starts_with("POST / HTTP/1.1\r\n") && asked[0].contains("Credential=AKID/"), "{asked:?}");
    let role = "RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fa%20b&RoleSessionName=kong&Version=2011-06-15";
    assert!(asked[0].ends_with(&format!("Action=AssumeRole&{role}")), "{asked:?}");
}

#[test]
fn a_session_that_ends_is_renewed() {
    let (tokens, asked) = token_service(1);
    let gateway = calling(&Upstream::echo(), &with_role(tokens.address));
    assert_eq!([gateway.ask(GET).status, gateway.ask(GET).status], [200, 200]);
    assert_eq!(asked.lock().unwrap().len(), 2);
}

#[test]
fn without_a_session_the_function_is_not_called() {
    let function = Upstream::echo();
    let refusing = Upstream::answering("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\n{}");
    let strange = Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n<xml>");
    for tokens in [refusing.address, strange.address, closed_port()] {
        let gateway = calling(&function, &with_role(tokens));
        assert_eq!([gateway.ask(GET).status, gateway.ask(GET).status], [500, 500]);
    }
    assert_eq!((function.connections(), refusing.connections()), (0, 1));
}

#[test]
fn what_cannot_be_called_is_refused() {
    let gateway = Gateway::with(&with_plugins(closed_port(), &[]));
    for (config, field) in [
        (json!({"aws_key": null}), "config.aws_key"),
        (json!({"aws_secret": null}), "config.aws_secret"),
        (json!({"aws_key": "a\r\nb: c"}), "config.aws_key"),
        (json!({"function_name": null}), "config.function_name"),
        (json!({"aws_region": null}), "config.aws_region"),
        (json!({"proxy_url": "http://proxy.test"}), "config.proxy_url"),
        (json!({"host": "a b"}), "config.host"),
        (json!({"aws_assume_role_arn": "r", "aws_sts_endpoint_url": "ftp://a.test"}), "config.aws_sts_endpoint_url"),
    ] {
        let mut configuration = with_plugins(closed_port(), &[lambda(closed_port(), &config)]);
        configuration["version"] = json!(2);
        let report = gateway.apply(&configuration);
        assert_eq!((&report["accepted"], &report["errors"][0]["field"]), (&json!(false), &json!(field)), "{report}");
    }
}

fn azure(domain: &str, config: &Value) -> Value {
    let defaults = json!({
        "timeout": 600_000, "keepalive": 60000, "https": false, "https_verify": true, "apikey": null, "clientid": null,
        "appname": "127.0", "hostdomain": domain, "routeprefix": "api", "functionname": "f",
    });
    plugin("azure-functions", defaults, config)
}

/// `127.0` and `0.1:port` together are an address.
fn at(upstream: &Upstream, config: &Value) -> Gateway {
    let domain = format!("0.1:{}", upstream.address.port());
    orderly(&with_plugins(closed_port(), &[azure(&domain, config)]))
}

#[test]
fn a_function_of_azure_gets_the_request_and_not_what_belongs_to_its_connection() {
    let gateway = at(&Upstream::echo(), &json!({"apikey": "key", "clientid": "me"}));
    let told = gateway
        .ask(
            "POST /a?b=1 HTTP/1.1\r\nHost: h.test\r\nX-Own: 1\r\nX-Functions-Key: mine\r\nConnection: x-hop\r\nX-Hop: 1\r\n\
             Expect: 100-continue\r\nContent-Length: 2\r\n\r\nhi",
        )
        .text();
    let told = told.strip_prefix("HTTP/1.1 100 Continue\r\n\r\n").unwrap_or(&told);
    assert!(told.starts_with("POST /api/f?b=1 HTTP/1.1\r\nHost: 127.0.0.1:"), "{told}");
    for line in ["X-Own: 1", "x-functions-key: key", "x-functions-clientid: me", "Content-Length: 2"] {
        assert!(told.contains(&format!("\r\n{line}\r\n")), "{line}: {told}");
    }
    for gone in ["mine", "X-Hop", "Expect", "h.test"] {
        assert!(!told.contains(gone), "{gone}: {told}");
    }
    assert!(told.ends_with("\r\n\r\nhi"), "{told}");
}

#[test]
fn a_function_of_azure_answers_as_it_likes() {
    let answer = "HTTP/1.1 404 Not Found\r\nContent-Type: text/x\r\nVia: 1.1 a\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\
                  Keep-Alive: timeout=5\r\nContent-Length: 4\r\n\r\nnone";
    let response = at(&Upstream::answering(answer), &json!({})).ask(GET);
    assert_eq!((response.status, &*response.text()), (404, "none"));
    assert_eq!((response.header("content-type"), response.header("via")), (Some("text/x"), Some("1.1 a, 1.1 sluice")));
    assert_eq!(response.head.matches("Set-Cookie: ").count(), 2);
    assert_eq!(response.header("keep-alive"), None);
    let head = at(&Upstream::echo(), &json!({})).ask("HEAD / HTTP/1.1\r\nHost: h.test\r\nConnection: close\r\n\r\n");
    assert_eq!((head.status, head.body.len()), (200, 0));
}

#[test]
fn a_function_of_azure_that_cannot_be_had_is_an_error() {
    let silent = Upstream::new(|mut client, _| drop(client.rest()));
    assert_eq!(at(&silent, &json!({"timeout": 50})).ask(GET).status, 500);
    let garbage = Upstream::answering("garbage\r\n\r\n");
    let response = at(&garbage, &json!({})).ask(GET);
    assert_eq!((response.status, &*response.text()), (500, FAILED));
    let domain = format!("0.1:{}", closed_port().port());
    let down = orderly(&with_plugins(closed_port(), &[azure(&domain, &json!({}))]));
    assert_eq!(down.ask(GET).status, 500);
    for (config, field) in [
        (json!({"appname": "a b"}), "config"),
        (json!({"appname": "user@a"}), "config"),
        (json!({"functionname": "f g"}), "config"),
        (json!({"apikey": "a\r\nb: c"}), "config.apikey"),
    ] {
        let mut configuration = with_plugins(closed_port(), &[azure("azure.test", &config)]);
        configuration["version"] = json!(2);
        let report = down.apply(&configuration);
        assert_eq!((&report["accepted"], &report["errors"][0]["field"]), (&json!(false), &json!(field)), "{report}");
    }
}
