//! Each kind of condition by itself.

use serde_json::json;

use super::{Sent, compiled};

#[test]
fn methods_are_equal_to_the_letter() {
    let router = compiled(&[json!({"methods": ["GET", "PURGE"]})]);
    for (method, expected) in [("GET", true), ("PURGE", true), ("get", false), ("GETX", false), ("POST", false)] {
        let sent = Sent { method, ..Sent::get("h", "/") };
        assert_eq!(sent.winner(&router).is_some(), expected, "{method}");
    }
}

#[test]
fn prefixes_do_not_stop_at_segments() {
    let router = compiled(&[json!({"paths": ["/rou", "/x/"]})]);
    for (path, expected) in [
        ("/rou", true),
        ("/route", true),
        ("/rou/te", true),
        ("/ro", false),
        ("/Rou", false),
        ("/x", false),
        ("/x/y", true),
    ] {
        assert_eq!(Sent::get("h", path).winner(&router).is_some(), expected, "{path}");
    }
}

#[test]
fn paths_are_compared_normalised() {
    let router = compiled(&[json!({"paths": ["/a/b", "/sp%20ace", "/x%2Fy", "/caf%C3%A9"]})]);
    for (path, expected) in [
        ("//a///b", true),
        ("/z/../a/./b", true),
        ("/%61/%62", true),
        ("/sp%20ace", true),
        ("/caf%c3%a9", true),
        ("/café", true),
        ("/x%2fy", true),
        ("/x/y", false),
        ("/a%2Fb", false),
        ("/a/b/../c", false),
    ] {
        assert_eq!(Sent::get("h", path).winner(&router).is_some(), expected, "{path}");
    }
}

#[test]
fn hosts_and_ports() {
    let router = compiled(&[json!({"hosts": ["Exact.com", "*.wild.com", "pre.*", "port.com:81"]})]);
    for (host, port, expected) in [
        ("exact.com", 8000, true),
        ("x.wild.com", 8000, true),
        ("y.x.wild.com", 8000, true),
        ("wild.com", 8000, false),
        ("pre.org", 8000, true),
        ("port.com", 81, true),
        ("port.com", 8000, false),
        ("", 8000, false),
    ] {
        let sent = Sent { port, ..Sent::get(host, "/") };
        assert_eq!(sent.winner(&router).is_some(), expected, "{host}:{port}");
    }
}

#[test]
fn header_values() {
    let router = compiled(&[json!({"headers": {"X-Version": ["One", "two", "~*^v[0-9]+$"], "x-b": ["1"]}})]);
    let both = |value: &str| Sent::get("h", "/").with("x-B", "1").with("X-VERSION", value);
    for (value, expected) in
        [("one", true), ("TWO", true), ("v12", true), ("V12", true), ("v", false), ("one,two", false), ("", false)]
    {
        assert_eq!(both(value).winner(&router).is_some(), expected, "{value}");
    }
    assert!(both("no").with("x-version", "two").winner(&router).is_some(), "any line counts");
    assert!(Sent::get("h", "/").with("x-version", "two").winner(&router).is_none(), "every name must be there");
}

#[test]
fn header_regexes_are_not_anchored() {
    let router = compiled(&[json!({"headers": {"user-agent": ["~*Chrome/\\d+"]}})]);
    assert!(Sent::get("h", "/").with("User-Agent", "Mozilla (chrome/120)").winner(&router).is_some());
    assert!(Sent::get("h", "/").with("User-Agent", "curl/8").winner(&router).is_none());
}

#[test]
fn server_names_only_bind_tls() {
    let router = compiled(&[json!({"snis": ["a.com.", "*.b.com"]})]);
    for (sni, expected) in [(Some("a.com"), true), (Some("x.b.com"), true), (Some("b.com"), false), (None, false)] {
        assert_eq!(Sent::get("h", "/").over_tls(sni).winner(&router).is_some(), expected, "{sni:?}");
    }
    assert!(Sent::get("h", "/").winner(&router).is_some());
}

#[test]
fn all_kinds_must_hold() {
    let router = compiled(&[json!({"methods": ["GET"], "hosts": ["a.com"], "paths": ["/x"], "headers": {"h": ["1"]}})]);
    let fine = Sent::get("a.com", "/x").with("h", "1");
    assert!(fine.winner(&router).is_some());
    for wrong in [
        Sent { method: "PUT", ..fine.clone() },
        Sent { host: "b.com".to_owned(), ..fine.clone() },
        Sent { path: "/y".to_owned(), ..fine.clone() },
        Sent { headers: Vec::new(), ..fine },
    ] {
        assert!(wrong.winner(&router).is_none(), "{wrong:?}");
    }
}
