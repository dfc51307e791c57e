//! The index finds exactly what a plain scan of all routes finds, for random routes and requests.

use serde_json::{Map, Value, json};

use super::{Sent, compiled, oracle, routes};
use crate::router::index::Index;
use crate::router::{Flavor, Match, Router};

/// Xorshift: enough for picking values, and the same everywhere.
pub(in crate::router) struct Random(pub(in crate::router) u64);

impl Random {
    pub(in crate::router) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % bound
    }

    pub(in crate::router) fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }

    pub(in crate::router) fn pick<'a>(&mut self, values: &[&'a str]) -> &'a str {
        values[self.below(values.len())]
    }

    fn some<'a>(&mut self, values: &[&'a str]) -> Vec<&'a str> {
        (0..=self.below(3)).map(|_| self.pick(values)).collect()
    }
}

const METHODS: [&str; 5] = ["GET", "POST", "PUT", "DELETE", "GETTER"];
const HOSTS: [&str; 12] =
    ["a.com", "b.com", "x.a.com", "*.a.com", "*.com", "a.*", "x.*", "a.com:81", "*.a.com:81", "b.*:81", "com", "x.a.*"];
const SNIS: [&str; 5] = ["a.com", "b.com.", "*.a.com", "b.*", "x.a.com"];
const HEADERS: [&str; 3] = ["x-a", "x-b", "x-abc"];
const VALUES: [&str; 11] =
    ["1", "12", "One", "~*^1", "~*o", "", "~*2$", "~*^(on|T)", "~*^k", "~*^[12]{2}", "~*^One$|^1$"];
const PIECES: [&str; 6] = ["/", "/a", "/ab", "/a/b", "b", "é"];
const REGEXES: [&str; 13] = [
    "~/a",
    r"~/(a|b)/\w",
    "~/a/?b",
    "~/.*",
    "~/(?i)A",
    "~/(?<x>[^/]+)/b$",
    "~/a|/b",
    "~/ab",
    "~/[ab]{2}",
    "~/.*/b$",
    "~/.*(?:a|b)$",
    "~/.*é$|/a$",
    "~/.*ab",
];

fn path(random: &mut Random) -> String {
    let pieces: String = (0..=random.below(4)).map(|_| random.pick(&PIECES)).collect();
    let segments: Vec<&str> = pieces.split('/').filter(|segment| !segment.is_empty()).collect();
    let end = if pieces.ends_with('/') && !segments.is_empty() { "/" } else { "" };
    format!("/{}{end}", segments.join("/"))
}

pub(super) fn random_route(random: &mut Random) -> Value {
    let mut fields = Map::new();
    if random.one_in(3) {
        fields.insert("methods".to_owned(), json!(random.some(&METHODS)));
    }
    if random.one_in(2) {
        fields.insert("hosts".to_owned(), json!(random.some(&HOSTS)));
    }
    if random.one_in(4) {
        fields.insert("snis".to_owned(), json!(random.some(&SNIS)));
    }
    if random.one_in(3) {
        let headers: Map<String, Value> =
            random.some(&HEADERS).into_iter().map(|name| (name.to_owned(), json!(random.some(&VALUES)))).collect();
        fields.insert("headers".to_owned(), headers.into());
    }
    if !random.one_in(4) || fields.is_empty() {
        let some = |random: &mut Random| if random.one_in(4) { random.pick(&REGEXES).to_owned() } else { path(random) };
        let paths: Vec<String> = (0..=random.below(3)).map(|_| some(random)).collect();
        fields.insert("paths".to_owned(), json!(paths));
        fields.insert("regex_priority".to_owned(), json!(random.below(3)));
    }
    if random.one_in(2) {
        fields.insert("created_at".to_owned(), json!(random.below(3)));
    }
    fields.into()
}

pub(super) fn random_request(random: &mut Random) -> Sent {
    let host = random.pick(&["a.com", "b.com", "x.a.com", "y.x.a.com", "com", "a.org", "x.a.org", ".a.com", "a.", ""]);
    let mut sent = Sent { method: random.pick(&METHODS), ..Sent::get(host, &path(random)) };
    if random.one_in(3) {
        sent.port = 81;
    }
    for _ in 0..random.below(4) {
        sent = sent.with(random.pick(&HEADERS), random.pick(&["1", "12", "ONE", "two", "2", "", "K", "\u{212a}"]));
    }
    if random.one_in(2) {
        let sni = if random.one_in(4) { None } else { Some(random.pick(&["a.com", "b.com", "x.a.com", "b.org"])) };
        sent = sent.over_tls(sni);
    }
    sent
}

fn summary(found: &Match) -> (usize, Option<usize>) {
    (found.route, found.matched)
}

#[test]
fn index_and_scan_agree_on_random_routes() {
    let mut random = Random(0x5EED_2026);
    let mut hits = 0;
    for round in 0..100 {
        let flavor = if round % 2 == 0 { Flavor::TraditionalCompatible } else { Flavor::Traditional };
        let given: Vec<Value> = (0..=random.below(150)).map(|_| random_route(&mut random)).collect();
        let given = routes(&given);
        let router = Router::compile(flavor, &given).unwrap();
        for _ in 0..40 {
            let sent = random_request(&mut random);
            let expected = oracle::winner(flavor, &given, &sent);
            assert_eq!(sent.find(&router).as_ref().map(summary), expected, "round {round}: {sent:?}");
            hits += usize::from(expected.is_some());
        }
    }
    assert!(hits > 2_000, "most requests should match something, {hits} did");
}

/// Every candidate is asked a bounded number of times however many routes there are, whatever tells them apart.
#[test]
fn any_kind_of_condition_can_tell_many_routes_apart() {
    type Kind = (&'static str, fn(usize) -> Value);
    let kinds: [Kind; 11] = [
        ("paths", |n| json!({"paths": [format!("/service-{n}/")]})),
        ("regexes", |n| json!({"paths": [format!(r"~/service-{n}/(?<id>\d+)")]})),
        ("hosts", |n| json!({"hosts": [format!("h{n}.com")], "paths": ["/"]})),
        ("wildcard hosts", |n| json!({"hosts": [format!("*.h{n}.com")], "paths": ["/"]})),
        ("host prefixes", |n| json!({"hosts": [format!("h{n}.*")], "paths": ["/"]})),
        ("headers", |n| json!({"paths": ["/"], "headers": {"x-all": ["1"], "x-n": [format!("{n}-")]}})),
        ("header regexes", |n| json!({"paths": ["/"], "headers": {"x-n": [format!("~*^tasks-{n}-")]}})),
        ("sets of header regexes", |n| json!({"headers": {"x-n": [format!("~*^(?:k{n}-|S{n}-)"), format!("{n}")]}})),
        ("regexes without a literal start", |n| json!({"paths": [format!("~/.*/service-{n}$")]})),
        ("regexes with several ends", |n| json!({"paths": [format!("~/.*/(?:a{n}|b{n})$")]})),
        ("hosts and paths", |n| json!({"hosts": [format!("h{}.com", n / 50)], "paths": [format!("/p{}/", n % 50)]})),
    ];
    for (kind, fields) in kinds {
        let router = compiled(&(0..500).map(fields).collect::<Vec<_>>());
        assert!(largest_leaf(router.levels.index()) <= 8, "{kind}: {}", largest_leaf(router.levels.index()));
    }
}

#[test]
fn server_names_can_tell_many_routes_apart_on_tls() {
    let given: Vec<Value> = (0..500).map(|n| json!({"snis": [format!("h{n}.com")], "paths": ["/"]})).collect();
    let router = compiled(&given);
    let mut sizes: Vec<usize> = router.levels.index().leaf_sizes().collect();
    sizes.sort_unstable();
    // The one large leaf is for plain HTTP, where the first candidate always matches.
    assert_eq!(sizes.pop(), Some(500));
    assert_eq!(sizes.pop(), Some(1));
    assert_eq!(Sent::get("h", "/").over_tls(Some("h7.com")).winner(&router), Some(7));
    assert_eq!(Sent::get("h", "/").winner(&router), Some(499));
}

#[test]
fn a_route_with_many_hosts_and_paths_stays_small() {
    let many = |prefix: &str, suffix: &str| (0..600).map(|n| format!("{prefix}{n}{suffix}")).collect::<Vec<_>>();
    let given: Vec<Value> = (0..4)
        .map(|n| json!({"hosts": many(&format!("h{n}-"), ".com"), "paths": many("/p", "/"), "methods": ["GET"]}))
        .collect();
    let router = compiled(&given);
    let entries = router.levels.index().entries();
    assert!(entries < 200_000, "{entries}");
    assert_eq!(Sent::get("h2-599.com", "/p77/x").winner(&router), Some(2));
    assert_eq!(Sent::get("h4-599.com", "/p77/x").winner(&router), None);
}

#[test]
fn a_small_router_is_one_leaf() {
    let router = compiled(&[json!({"paths": ["/a"]}), json!({"hosts": ["a.com"]}), json!({"methods": ["GET"]})]);
    assert_eq!((router.levels.index().entries(), largest_leaf(router.levels.index())), (3, 3));
}

fn largest_leaf(index: &Index) -> usize {
    index.leaf_sizes().max().unwrap_or(0)
}
