//! Routes of TCP and TLS connections.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::{compiled, refusals, route};
use crate::router::{Router, StreamInput};

fn winner(router: &Router, protocol: &str, sni: Option<&str>, source: &str, destination: &str) -> Option<usize> {
    let address = |text: &str| text.parse::<SocketAddr>().unwrap();
    router
        .find_stream(&StreamInput { protocol, sni, source: address(source), destination: address(destination) })
        .unwrap()
}

fn tcp(fields: &Value) -> Value {
    let mut route = json!({"protocols": ["tcp", "tls"]});
    for (name, value) in fields.as_object().unwrap() {
        route[name] = value.clone();
    }
    route
}

#[test]
fn conditions() {
    let places = |text: &str| {
        let (ip, port) = text.split_once(' ').unwrap_or((text, ""));
        json!([{"ip": (!ip.is_empty()).then_some(ip), "port": port.parse::<u16>().ok()}])
    };
    for (field, value, matching, other) in [
        ("destinations", places(" 9000"), "127.0.0.1:9000", "127.0.0.1:9001"),
        ("destinations", places("127.0.0.1"), "127.0.0.1:1", "127.0.0.2:1"),
        ("destinations", places("127.0.0.0/24 5"), "127.0.0.9:5", "127.0.1.9:5"),
        ("destinations", places("::1"), "[::1]:1", "127.0.0.1:1"),
        ("destinations", places("127.0.0.1"), "[::ffff:127.0.0.1]:1", "[::1]:1"),
        ("sources", places("10.0.0.0/8"), "10.9.9.9:1", "11.0.0.1:1"),
        ("sources", places("10.0.0.1 77"), "10.0.0.1:77", "10.0.0.1:78"),
    ] {
        let router = compiled(&[tcp(&json!({field: value}))]);
        for (address, expected) in [(matching, Some(0)), (other, None)] {
            let (source, destination) =
                if field == "sources" { (address, "127.0.0.1:1") } else { ("10.0.0.1:1", address) };
            assert_eq!(winner(&router, "tcp", None, source, destination), expected, "{field} {value} {address}");
        }
    }
}

#[test]
fn server_names() {
    let router = compiled(&[
        json!({"protocols": ["tls"], "snis": ["a.test.", "B.test"]}),
        json!({"protocols": ["tls"], "snis": ["*.a.test"]}),
        json!({"protocols": ["tls_passthrough"], "snis": ["c.*"]}),
    ]);
    for (protocol, sni, expected) in [
        ("tls", Some("a.test"), Some(0)),
        ("tls", Some("b.test"), Some(0)),
        ("tls", Some("x.a.test"), Some(1)),
        ("tls", Some("c.test"), None),
        ("tls", None, None),
        ("tls_passthrough", Some("c.test"), Some(2)),
        ("tls_passthrough", Some("a.test"), None),
        ("tcp", Some("a.test"), None),
    ] {
        assert_eq!(winner(&router, protocol, sni, "10.0.0.1:1", "127.0.0.1:1"), expected, "{protocol} {sni:?}");
    }
}

/// Each route beats all that follow it, whatever their ids.
#[test]
fn ranking() {
    let router = compiled(&[
        tcp(&json!({"sources": [{"ip": "10.0.0.0/8", "port": null}], "destinations": [{"ip": null, "port": 9}]})),
        tcp(&json!({"protocols": ["tls"], "snis": ["a.test"]})),
        tcp(&json!({"sources": [{"ip": "10.0.0.1", "port": null}]})),
        tcp(&json!({"sources": [{"ip": null, "port": 77}]})),
        tcp(&json!({"sources": [{"ip": "10.0.0.0/8", "port": null}]})),
        tcp(&json!({"destinations": [{"ip": "0.0.0.0/0", "port": null}]})),
    ]);
    for (sni, source, destination, expected) in [
        (Some("a.test"), "10.0.0.1:77", "127.0.0.1:9", 0),
        (Some("a.test"), "10.0.0.1:77", "127.0.0.1:1", 1),
        (None, "10.0.0.1:77", "127.0.0.1:1", 2),
        (None, "10.0.0.2:77", "127.0.0.1:1", 3),
        (None, "11.0.0.2:7", "127.0.0.1:1", 5),
    ] {
        assert_eq!(winner(&router, "tls", sni, source, destination), Some(expected), "{sni:?} {source} {destination}");
    }
}

#[test]
fn expressions_come_first() {
    let router = compiled(&[
        tcp(&json!({"snis": ["a.test"], "sources": [{"ip": "10.0.0.1", "port": 1}]})),
        tcp(&json!({"expression": r#"net.src.ip in 10.0.0.0/8 && tls.sni =^ ".test""#, "priority": 0})),
    ]);
    assert_eq!(winner(&router, "tls", Some("a.test"), "10.0.0.1:1", "127.0.0.1:1"), Some(1));
    assert_eq!(winner(&router, "tls", None, "10.0.0.1:1", "127.0.0.1:1"), None);
}

#[test]
fn updates() {
    let router = compiled(&[tcp(&json!({"destinations": [{"ip": null, "port": 1}]})), json!({"paths": ["/"]})]);
    let other = (2, route(2, &tcp(&json!({"destinations": [{"ip": null, "port": 2}]}))));
    let after = router.updated(&[other, (0, route(0, &json!({"paths": ["/a"]})))], &[1]).unwrap();
    let asked = |router: &Router, port: u16| winner(router, "tcp", None, "10.0.0.1:1", &format!("127.0.0.1:{port}"));
    assert_eq!(
        [asked(&router, 1), asked(&router, 2), asked(&after, 1), asked(&after, 2)],
        [Some(0), None, None, Some(2)]
    );
    assert_eq!(asked(&after.updated(&[], &[2]).unwrap(), 2), None);
}

#[test]
fn bad_addresses_are_reported() {
    let errors = refusals(&[tcp(&json!({"sources": [{"ip": "10.0.0.1", "port": null}, {"ip": "x", "port": null}]}))]);
    assert_eq!(errors[0].field.as_deref(), Some("sources[1].ip"));
}
