//! A search costs no more than it may, and one that would has no result, never a wrong one.

use serde_json::{Value, json};

use super::equivalence::{Random, random_request, random_route};
use super::{Sent, compiled, oracle, routes};
use crate::router::work::Work;
use crate::router::{Flavor, Router, StreamInput, TooCostly};

/// Whatever may be spent: the route that a plain scan finds, or none at all because it was too much.
#[test]
fn a_broken_off_search_never_finds_another_route() {
    let mut random = Random(0xB0D6_2026);
    let (mut broken, mut found) = (0, 0);
    for round in 0..40 {
        let flavor = if round % 2 == 0 { Flavor::TraditionalCompatible } else { Flavor::Traditional };
        let given: Vec<Value> = (0..=random.below(120)).map(|_| random_route(&mut random)).collect();
        let given = routes(&given);
        let router = Router::compile(flavor, &given).unwrap();
        for _ in 0..40 {
            let sent = random_request(&mut random);
            let expected = oracle::winner(flavor, &given, &sent);
            let units = random.below(4_000);
            match sent.ask(|input| router.find_within(input, &Work::of(units))) {
                Err(TooCostly) => broken += 1,
                Ok(winner) => {
                    assert_eq!(winner.map(|winner| (winner.route, winner.matched)), expected, "{units}: {sent:?}");
                    found += usize::from(expected.is_some());
                }
            }
        }
    }
    assert!(broken > 200 && found > 200, "{broken} {found}");
}

#[test]
fn an_expression_that_is_broken_off_is_not_taken_for_its_negation() {
    let dear = format!(r#"!(http.path ~ "{}")"#, "(?:a|b)*c".repeat(20));
    let router = compiled(&[
        json!({"expression": dear, "priority": 1, "regex_priority": null}),
        json!({"paths": ["/"], "regex_priority": null}),
    ]);
    let sent = Sent::get("h", "/ab");
    let ask = |units| sent.ask(|input| router.find_within(input, &Work::of(units)));
    assert_eq!(ask(1_000), Err(TooCostly));
    assert_eq!(ask(1_000_000).unwrap().unwrap().route, 0);
}

/// Routes that only asking each of them can tell apart, and that all rank above `/`: the n-th, and how many are too many.
type Hostile = (&'static str, fn(usize) -> Value, usize);

const HOSTILE: [Hostile; 5] = [
    ("header regexes", |n| json!({"paths": ["/"], "headers": {"x-n": [format!("~*tenant-{n}-[a-z]")]}}), 200),
    ("regex paths", |n| json!({"paths": [format!("~/.*{n}.*x")]}), 300),
    ("expressions", |n| json!({"expression": format!(r#"http.path ~ "x{n}[a-z]""#), "regex_priority": null}), 300),
    ("numbers", |n| json!({"expression": format!("net.dst.port == {}", n + 10_000), "regex_priority": null}), 60_000),
    ("queries", |n| json!({"expression": format!(r#"http.queries.q{n} == "x""#), "regex_priority": null}), 300),
];

#[test]
fn too_many_routes_that_nothing_tells_apart_have_no_result() {
    for (kind, fields, too_many) in HOSTILE {
        let with_fallback = |count: usize| {
            let mut given = vec![json!({"paths": ["/"]})];
            given.extend((0..count).map(fields));
            compiled(&given)
        };
        let (path, query, value) = ("/some-path".repeat(200), "a=1&".repeat(500), "tenant".repeat(300));
        let sent = Sent::get("h", &format!("{path}?{query}")).with("X-N", &value);
        let ask = |router: &Router| sent.ask(|input| router.find(input)).map(|found| found.map(|found| found.route));
        assert_eq!(ask(&with_fallback(20)), Ok(Some(0)), "{kind}");
        assert_eq!(ask(&with_fallback(too_many)), Err(TooCostly), "{kind}");
    }
}

#[test]
fn one_route_of_endless_conditions_has_no_result() {
    let values: Vec<String> = (0..300).map(|n| format!("~*{n}[a-z]x")).collect();
    let router = compiled(&[json!({"paths": ["/"]}), json!({"headers": {"x-n": values}, "paths": ["/"]})]);
    let ask = |sent: &Sent| sent.ask(|input| router.find(input)).map(|found| found.map(|found| found.route));
    assert_eq!(ask(&Sent::get("h", "/").with("x-n", &"none".repeat(500))), Err(TooCostly));
    assert_eq!(ask(&Sent::get("h", "/").with("x-n", "none")), Ok(Some(0)));
    assert_eq!(ask(&Sent::get("h", "/")), Ok(Some(0)));
}

#[test]
fn a_regex_at_its_worst_has_no_result_on_a_long_text() {
    let router =
        compiled(&[json!({"paths": ["/"]}), json!({"headers": {"x-n": ["~*(?:a|b)*a(?:a|b){500}c"]}, "paths": ["/"]})]);
    let ask = |length: usize| {
        let sent = Sent::get("h", "/").with("x-n", &"ab".repeat(length / 2));
        sent.ask(|input| router.find(input)).map(|found| found.map(|found| found.route))
    };
    assert_eq!((ask(200), ask(8_000)), (Ok(Some(0)), Err(TooCostly)));
}

#[test]
fn many_regexes_that_nothing_tells_apart_are_compiled_before_a_request_comes() {
    let given: Vec<Value> = (0..150).map(|n| json!({"paths": [format!("~/.*{n}.*x")]})).collect();
    let router = compiled(&given);
    let sent = Sent::get("h", "/none");
    let units = 150 * 400;
    assert_eq!(sent.ask(|input| router.find_within(input, &Work::of(units))), Ok(None));
    // The same for one that was changed.
    let changed = super::route(7, &json!({"paths": ["~/.*seven.*y"]}));
    let router = router.updated(&[(7, changed)], &[]).unwrap();
    assert_eq!(sent.ask(|input| router.find_within(input, &Work::of(units + 5_000))), Ok(None));
}

#[test]
fn streams_are_bounded_as_well() {
    let stream = |n: usize| {
        json!({"protocols": ["tcp"], "regex_priority": null,
            "expression": format!("net.src.port == {n} && net.dst.port != 1")})
    };
    let any = json!({"protocols": ["tcp"], "sources": [{"ip": "10.0.0.0/8"}]});
    let ask = |count: usize| {
        let mut given = vec![any.clone()];
        given.extend((0..count).map(stream));
        let (source, destination) = ("10.1.2.3:65535".parse().unwrap(), "127.0.0.1:9000".parse().unwrap());
        compiled(&given).find_stream(&StreamInput { protocol: "tcp", sni: None, source, destination })
    };
    assert_eq!((ask(100), ask(40_000)), (Ok(Some(0)), Err(TooCostly)));
}
