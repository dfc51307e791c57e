//! Which of several matching routes wins.

use serde_json::{Value, json};

use super::{Sent, compiled, route};
use crate::router::{Flavor, Router};

/// The winner must not depend on the order in which routes are given, nor on their ids.
fn assert_beats(better: &Value, worse: &Value, sent: &Sent) {
    assert_eq!(sent.winner(&compiled(&[better.clone(), worse.clone()])), Some(0), "{better} over {worse}");
    assert_eq!(sent.winner(&compiled(&[worse.clone(), better.clone()])), Some(1), "{better} over {worse}");
    assert_eq!(sent.winner(&compiled(std::slice::from_ref(worse))), Some(0), "{worse} matches at all");
}

#[test]
fn worked_examples() {
    let get = |host: &str, path: &str| Sent::get(host, path);
    for (better, worse, sent) in [
        (json!({"hosts": ["a.com"], "paths": ["/x"]}), json!({"hosts": ["a.com"]}), get("a.com", "/x")),
        (json!({"paths": ["/foo"]}), json!({"paths": ["/"]}), get("h", "/foobar")),
        (json!({"paths": ["~/foo"]}), json!({"paths": ["/foo/bar/baz"]}), get("h", "/foo/bar/baz")),
        (json!({"paths": ["~/a"], "regex_priority": 10}), json!({"paths": ["~/a"]}), get("h", "/a")),
        (json!({"hosts": ["www.a.com"]}), json!({"hosts": ["*.a.com"]}), get("www.a.com", "/")),
        (json!({"hosts": ["*.a.com"], "paths": ["/x"]}), json!({"hosts": ["a.com", "*.a.com"]}), get("x.a.com", "/x")),
        (json!({"headers": {"x": ["1"]}}), json!({"methods": ["GET"]}), get("h", "/").with("x", "1")),
    ] {
        assert_beats(&better, &worse, &sent);
    }
}

#[test]
fn every_bit_outranks_all_below_it() {
    let long = "/x".repeat(1000);
    let sent = Sent::get("a.com", &long).with("h1", "1").with("h2", "1");
    let ladder = [
        json!({"methods": ["GET"], "paths": ["/"], "headers": {"h1": ["1"]}}),
        json!({"hosts": ["a.com"], "headers": {"h1": ["1"], "h2": ["1"]}}),
        json!({"hosts": ["a.com"], "headers": {"h1": ["1"]}}),
        json!({"hosts": ["a.com"], "paths": ["~/x"], "regex_priority": 1}),
        json!({"hosts": ["a.com"], "paths": ["~/x/x"]}),
        json!({"hosts": ["a.com"], "paths": [&long]}),
        json!({"hosts": ["a.com"], "paths": ["/x"]}),
        json!({"hosts": ["a.com"], "methods": ["GET"]}),
        json!({"hosts": ["a.com", "*.com"], "paths": ["~/x"], "regex_priority": 1_000_000}),
        json!({"hosts": ["a.com"]}),
        json!({"headers": {"h1": ["1"], "h2": ["1"]}}),
        json!({"headers": {"h1": ["1"]}}),
        json!({"paths": ["~/x/x/x"], "regex_priority": 2}),
        json!({"paths": ["~/x"]}),
        json!({"paths": ["~/x"], "regex_priority": -1}),
        json!({"paths": [&long]}),
        json!({"paths": ["/x"]}),
        json!({"methods": ["GET"]}),
    ];
    for pair in ladder.windows(2) {
        assert_beats(&pair[0], &pair[1], &sent);
    }
    assert_eq!(sent.winner(&compiled(&ladder)), Some(0));
}

#[test]
fn server_names_count_on_plain_http_too() {
    assert_beats(
        &json!({"snis": ["a.com"], "paths": ["/"]}),
        &json!({"paths": ["/longer"]}),
        &Sent::get("h", "/longer"),
    );
}

#[test]
fn each_path_of_a_route_ranks_by_its_own_length() {
    let router = compiled(&[
        json!({"paths": ["/", "/very/long/path", "~/re"]}),
        json!({"paths": ["/very", "/very/long/path/indeed"]}),
        json!({"paths": ["/re/gex/path"]}),
    ]);
    for (path, winner) in
        [("/very/lon", 1), ("/very/long/path", 0), ("/very/long/path/indeed", 1), ("/re/gex/path", 0), ("/x", 0)]
    {
        assert_eq!(Sent::get("h", path).winner(&router), Some(winner), "{path}");
    }
}

#[test]
fn equal_rank_goes_to_the_higher_id() {
    let with_id = |id: &str, paths: Value| route(0, &json!({"id": id, "paths": paths}));
    let low = with_id("0aaaaaaa-0000-4000-8000-000000000000", json!(["/a", "/b"]));
    let high = with_id("0BBBBBBB-0000-4000-8000-000000000000", json!(["/a", "/c"]));
    for (pair, winner) in [([low.clone(), high.clone()], 1), ([high, low], 0)] {
        let router = Router::compile(Flavor::default(), &pair).unwrap();
        assert_eq!(Sent::get("h", "/a").winner(&router), Some(winner));
    }
    let regexes = [json!({"paths": ["~/longer/path"]}), json!({"paths": ["~/l"]})];
    assert_eq!(Sent::get("h", "/longer/path").winner(&compiled(&regexes)), Some(1), "the length of a regex is nothing");
}

#[test]
fn protocols_are_no_condition() {
    let router = compiled(&[
        json!({"paths": ["/"], "protocols": ["https"]}),
        json!({"hosts": ["a.com"], "protocols": ["http"]}),
    ]);
    assert_eq!(Sent::get("other", "/").winner(&router), Some(0));
    assert_eq!(Sent::get("a.com", "/").over_tls(None).winner(&router), Some(1));
}
