//! Which of several matching routes wins in the traditional flavour.

use serde_json::{Value, json};

use super::{Sent, routes};
use crate::router::{Flavor, Router, StreamInput};

fn compiled(fields: &[Value]) -> Router {
    Router::compile(Flavor::Traditional, &routes(fields)).unwrap()
}

/// The winner must not depend on the order in which routes are given, nor on their ids.
fn assert_beats(better: &Value, worse: &Value, sent: &Sent) {
    assert_eq!(sent.winner(&compiled(&[better.clone(), worse.clone()])), Some(0), "{better} over {worse}");
    assert_eq!(sent.winner(&compiled(&[worse.clone(), better.clone()])), Some(1), "{better} over {worse}");
    assert_eq!(sent.winner(&compiled(std::slice::from_ref(worse))), Some(0), "{worse} matches at all");
}

#[test]
fn every_rule_outranks_all_below_it() {
    let long = "/x".repeat(1000);
    let sent = Sent { port: 81, ..Sent::get("a.com", &long) };
    let sent = sent.with("h1", "1").with("h2", "1").over_tls(Some("a.com"));
    let ladder = [
        // More kinds.
        json!({"methods": ["GET"], "paths": ["/"], "snis": ["a.com"]}),
        // Of two kinds: host before header before path before method before server name.
        json!({"hosts": ["*.com"], "headers": {"h1": ["1"]}}),
        json!({"hosts": ["*.com"], "paths": ["/"]}),
        json!({"hosts": ["*.com"], "methods": ["GET"]}),
        json!({"hosts": ["*.com"], "snis": ["a.com"]}),
        json!({"headers": {"h1": ["1"]}, "paths": ["/"]}),
        json!({"headers": {"h1": ["1"]}, "methods": ["GET"]}),
        json!({"headers": {"h1": ["1"]}, "snis": ["a.com"]}),
        json!({"paths": ["/"], "methods": ["GET"]}),
        json!({"paths": ["/"], "snis": ["a.com"]}),
        json!({"methods": ["GET"], "snis": ["a.com"]}),
        // Of one kind.
        json!({"hosts": ["a.com"]}),
        json!({"hosts": ["*.com:81"]}),
        json!({"hosts": ["*.com", "a.com:81"]}),
        json!({"headers": {"h1": ["1"], "h2": ["1"]}}),
        json!({"headers": {"h1": ["1"]}}),
        json!({"paths": ["~/x"], "regex_priority": 2}),
        json!({"paths": ["~/x/x/x"]}),
        json!({"paths": [&long]}),
        json!({"paths": ["/x"]}),
        json!({"methods": ["GET"], "created_at": 1}),
        json!({"methods": ["GET"], "created_at": 2}),
        json!({"methods": ["GET"]}),
        json!({"snis": ["a.com"]}),
    ];
    for pair in ladder.windows(2) {
        assert_beats(&pair[0], &pair[1], &sent);
    }
    assert_eq!(sent.winner(&compiled(&ladder)), Some(0));
}

#[test]
fn a_regex_counts_more_than_plain_hosts_and_these_more_than_headers() {
    let sent = Sent::get("a.com", "/x/y").with("h1", "1").with("h2", "1");
    for (better, worse) in [
        (json!({"hosts": ["*.com"], "paths": ["~/x"]}), json!({"hosts": ["a.com"], "paths": ["/x/y"]})),
        (
            json!({"hosts": ["a.com"], "headers": {"h1": ["1"]}}),
            json!({"hosts": ["*.com"], "headers": {"h1": ["1"], "h2": ["1"]}}),
        ),
        (
            json!({"headers": {"h1": ["1"], "h2": ["1"]}, "paths": ["~/x"]}),
            json!({"headers": {"h1": ["1"]}, "paths": ["~/x"], "regex_priority": 9}),
        ),
        (json!({"paths": ["/x/y"], "created_at": 2}), json!({"paths": ["/x"], "created_at": 1})),
    ] {
        assert_beats(&better, &worse, &sent);
    }
}

#[test]
fn expressions_outrank_all_others_here_too() {
    let classic = json!({"hosts": ["a.com"], "paths": ["~/x"], "methods": ["GET"], "headers": {"h": ["1"]}});
    let expression = json!({"expression": r#"http.path ^= "/""#, "regex_priority": null});
    assert_beats(&expression, &classic, &Sent::get("a.com", "/x").with("h", "1"));
}

#[test]
fn streams_rank_by_their_kinds_of_conditions() {
    let ladder = [
        json!({"snis": ["a.com"], "sources": [{"port": 1}]}),
        json!({"snis": ["a.com"], "destinations": [{"port": 2}]}),
        json!({"sources": [{"port": 1}], "destinations": [{"port": 2}]}),
        json!({"snis": ["a.com"]}),
        json!({"sources": [{"ip": "10.0.0.0/8"}], "created_at": 1}),
        json!({"sources": [{"ip": "10.0.0.1"}], "created_at": 2}),
        json!({"destinations": [{"ip": "10.0.0.2"}]}),
    ];
    let ladder: Vec<Value> = ladder
        .into_iter()
        .map(|mut fields| {
            fields["protocols"] = json!(["tls"]);
            fields
        })
        .collect();
    let (source, destination) = ("10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap());
    let input = StreamInput { protocol: "tls", sni: Some("a.com"), source, destination };
    for pair in ladder.windows(2) {
        assert_eq!(compiled(pair).find_stream(&input), Ok(Some(0)), "{pair:?}");
        let turned = [pair[1].clone(), pair[0].clone()];
        assert_eq!(compiled(&turned).find_stream(&input), Ok(Some(1)), "{pair:?}");
    }
}
