//! Expressions: what is valid, what matches, how they rank, and that the index finds them.

use serde_json::{Value, json};

use super::equivalence::Random;
use super::{Sent, compiled, refusals, routes};
use crate::router::{Flavor, Router};

fn corpus() -> Vec<Value> {
    serde_json::from_str(include_str!("../../../../../tests/corpus/route_expressions.json")).unwrap()
}

fn spec(entry: &Value) -> Value {
    let protocols = entry.get("protocols").cloned().unwrap_or_else(|| json!(["http", "https"]));
    json!({"expression": entry["expression"], "priority": 0, "regex_priority": null, "protocols": protocols})
}

/// The request of an entry; what is not given is a plain `GET http://example.com/`.
fn request(entry: &Value) -> Sent {
    let text = |name: &str| entry[name].as_str();
    let mut sent = Sent::get(text("host").unwrap_or("example.com"), text("path").unwrap_or("/"));
    sent.method = match text("method") {
        None => "GET",
        Some(method) => ["GET", "PUT", "POST", "get"].into_iter().find(|known| *known == method).unwrap(),
    };
    if entry["tls"] == true {
        sent = sent.over_tls(text("sni"));
    }
    for header in entry["headers"].as_array().into_iter().flatten() {
        sent = sent.with(header[0].as_str().unwrap(), header[1].as_str().unwrap());
    }
    if let Some(source) = text("source") {
        sent.source = source.parse().unwrap();
    }
    if let Some(destination) = text("destination") {
        sent.destination = destination.parse().unwrap();
    }
    sent
}

#[test]
fn the_corpus_is_judged_as_it_says() {
    for entry in corpus() {
        let given = routes(&[spec(&entry)]);
        let judged = Router::compile(Flavor::default(), &given)
            .map_err(|errors| (errors[0].field.clone(), errors[0].message.clone()));
        match judged {
            Ok(_) => assert_eq!(entry["valid"], true, "{entry}"),
            Err((field, message)) => {
                assert_eq!(
                    (&entry["valid"], field.as_deref()),
                    (&json!(false), Some("expression")),
                    "{entry}: {message}"
                );
                assert!(message.contains(entry["message_contains"].as_str().unwrap()), "{entry}: {message}");
            }
        }
    }
}

/// Each expression alone, and among many others that it has to be found between.
#[test]
fn the_corpus_matches_as_it_says() {
    let asked: Vec<Value> = corpus().into_iter().filter(|entry| entry["requests"].is_array()).collect();
    assert!(asked.len() > 90);
    for entry in asked {
        let mut crowd: Vec<Value> = (0..300)
            .map(|n| json!({"expression": format!(r#"http.path == "/crowd-{n}" && http.method == "PUT""#), "regex_priority": null}))
            .collect();
        crowd.insert(77, spec(&entry));
        let (alone, crowded) = (compiled(&[spec(&entry)]), compiled(&crowd));
        for sent in entry["requests"].as_array().unwrap() {
            let said = format!("{}: {sent}", entry["expression"]);
            for (router, place) in [(&alone, 0), (&crowded, 77)] {
                let found = request(sent).find(router).filter(|found| found.route == place);
                assert_eq!(json!(found.is_some()), sent["matches"], "{said}");
                let Some(found) = found else { continue };
                assert!(sent.get("matched").is_none_or(|length| *length == json!(found.matched)), "{said}: {found:?}");
                for (name, value) in sent["captures"].as_object().into_iter().flatten() {
                    let group = match name.parse() {
                        Ok(number) => found.captures.get(number),
                        Err(_) => found.captures.name(name),
                    };
                    assert_eq!(group, value.as_str().map(str::as_bytes), "{said}");
                }
            }
        }
    }
}

fn expression(text: &str, priority: u64) -> Value {
    json!({"expression": text, "priority": priority, "regex_priority": null})
}

#[test]
fn expressions_outrank_classic_routes_and_each_other_by_priority() {
    let router = compiled(&[
        json!({"hosts": ["a.com"], "paths": ["~/a"], "methods": ["GET"], "headers": {"x": ["1"]}, "regex_priority": 9}),
        expression(r#"http.path ^= "/""#, 0),
        expression(r#"http.path ^= "/a/b""#, 7),
        expression(r#"http.path ^= "/a/b/c""#, 3),
        expression(r#"http.path == "/top""#, (1 << 46) - 1),
        expression(r#"http.path == "/top""#, (1 << 46) - 2),
    ]);
    let winner = |path: &str| Sent::get("a.com", path).with("x", "1").winner(&router);
    for (path, expected) in [("/a", 1), ("/a/b/c", 2), ("/top", 4)] {
        assert_eq!(winner(path), Some(expected), "{path}");
    }
}

#[test]
fn equal_priorities_are_told_apart_by_id() {
    let router = compiled(&[expression(r#"http.path ^= "/a""#, 1), expression(r#"http.path ^= "/""#, 1)]);
    assert_eq!(Sent::get("a.com", "/a").winner(&router), Some(1));
}

#[test]
fn every_bad_expression_is_reported() {
    let errors = refusals(&[expression("x", 0), json!({"paths": ["/"]}), expression(r#"http.path ~ "(""#, 0)]);
    let fields: Vec<Option<&str>> = errors.iter().map(|error| error.field.as_deref()).collect();
    assert_eq!(fields, [Some("expression"), Some("expression")]);
}

#[test]
fn many_expressions_are_told_apart() {
    type Text = fn(usize) -> String;
    let kinds: [(&str, Text); 12] = [
        ("paths", |n| format!(r#"http.path == "/p{n}""#)),
        ("prefixes", |n| format!(r#"http.path ^= "/p{n}/" && http.method == "GET""#)),
        ("regexes", |n| format!(r#"http.path ~ "^/p{n}/[0-9]+$""#)),
        ("hosts", |n| format!(r#"http.host == "h{n}.com" && http.path ^= "/""#)),
        ("suffixes", |n| format!(r#"http.path ^= "/" && (http.host =^ ".h{n}.com" || http.host == "h{n}.com")"#)),
        ("headers", |n| format!(r#"http.headers.x_tenant == "t{n}""#)),
        ("lower headers", |n| format!(r#"any(lower(http.headers.x_tenant)) == "t{n}""#)),
        ("segments", |n| format!(r#"http.path ^= "/repos/" && http.path.segments.3 == "s{n}""#)),
        ("header regexes", |n| format!(r#"http.headers.x_tenant ~ "^t{n}-""#)),
        ("endings", |n| format!(r#"http.path =^ "/p{n}""#)),
        ("regexes at the end", |n| format!(r#"http.path ~ "/p{n}$""#)),
        ("server names", |n| format!(r#"tls.sni == "h{n}.com""#)),
    ];
    for (kind, text) in kinds {
        let router = compiled(&(0..500).map(|n| expression(&text(n), 0)).collect::<Vec<_>>());
        let mut sizes: Vec<usize> = router.levels.index().leaf_sizes().collect();
        sizes.sort_unstable();
        if kind == "server names" {
            sizes.pop();
        }
        assert!(sizes.pop().unwrap() <= 8, "{kind}");
    }
}

/// The index never hides an expression that a scan finds.
#[test]
fn index_and_scan_agree_on_random_expressions() {
    const TESTS: [&str; 23] = [
        r#"http.path ^= "/a""#,
        r#"http.path == "/a/b""#,
        r#"http.path == "/a/b/""#,
        r#"http.path ~ "^/a/[^/]+$""#,
        r#"http.path ~ "/b""#,
        r#"http.path =^ "b""#,
        r#"http.path ~ "(?:b|b/)$""#,
        r#"lower(http.path) =^ "B""#,
        r#"http.headers.x_b ~ "^(?:1|On)""#,
        r#"lower(http.path) ^= "/A""#,
        r#"http.path.segments.0 == "a""#,
        r#"http.path.segments.1 ^= "b""#,
        r#"http.path.segments.0_1 == "a/b""#,
        "http.path.segments.len == 2",
        r#"http.method == "GET""#,
        r#"http.method != "GET""#,
        r#"http.host == "a.com""#,
        r#"http.host =^ ".com""#,
        r#"http.headers.x_a == "1""#,
        r#"any(http.headers.x_a) != "1""#,
        r#"lower(http.headers.x_b) ^= "o""#,
        r#"tls.sni == "a.com""#,
        "net.src.port == 40000",
    ];
    fn text(random: &mut Random, depth: usize) -> String {
        if depth == 0 || random.one_in(3) {
            return random.pick(&TESTS).to_owned();
        }
        let parts: Vec<String> = (0..=random.below(3)).map(|_| text(random, depth - 1)).collect();
        let joined = parts.join(random.pick(&[" && ", " || "]));
        if random.one_in(8) { format!("!({joined})") } else { format!("({joined})") }
    }
    let mut random = Random(0xABCD_EF01);
    let mut hits = 0;
    for _ in 0..40 {
        let texts: Vec<String> = (0..120).map(|_| text(&mut random, 3)).collect();
        let given: Vec<Value> = texts.iter().map(|text| expression(text, 0)).collect();
        let router = compiled(&given);
        let alone: Vec<Router> = given.iter().map(|one| compiled(std::slice::from_ref(one))).collect();
        for _ in 0..25 {
            let mut sent = Sent::get(
                random.pick(&["a.com", "b.com", "a.org"]),
                random.pick(&["/", "/a", "/a/b", "/a/b/", "/a/bc", "/A/b", "/b/a/b"]),
            );
            sent.method = random.pick(&["GET", "PUT"]);
            for _ in 0..random.below(3) {
                sent = sent.with(random.pick(&["X-A", "x_a", "x-b"]), random.pick(&["1", "2", "One"]));
            }
            if random.one_in(2) {
                sent = sent.over_tls(Some(random.pick(&["a.com", "b.com"])));
            }
            let expected = alone.iter().rposition(|router| sent.winner(router).is_some());
            assert_eq!(sent.winner(&router), expected, "{sent:?} {texts:?}");
            hits += usize::from(expected.is_some());
        }
    }
    assert!(hits > 500, "{hits}");
}
