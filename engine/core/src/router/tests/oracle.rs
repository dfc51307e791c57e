//! Matching and ranking once more, as plainly as it can be said: the measure for the index.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex};

use regex::Regex;

use super::Sent;
use crate::router::{Flavor, RouteSpec, normalise};

/// Bigger wins: what the flavour looks at, id; of one route's regexes the first.
type Rank<'a> = ([i64; 8], &'a str, std::cmp::Reverse<usize>);

/// The winning route and how much of the path matched.
pub(super) fn winner(
    flavor: Flavor,
    routes: &[std::sync::Arc<RouteSpec>],
    sent: &Sent,
) -> Option<(usize, Option<usize>)> {
    let mut best: Option<(Rank<'_>, (usize, Option<usize>))> = None;
    for (index, route) in routes.iter().enumerate().filter(|(_, route)| accepts(route, sent)) {
        for (rank, matched) in ranks(flavor, route, sent) {
            if best.as_ref().is_none_or(|(other, _)| rank > *other) {
                best = Some((rank, (index, matched)));
            }
        }
    }
    best.map(|(_, found)| found)
}

fn ranks<'a>(flavor: Flavor, route: &'a RouteSpec, sent: &Sent) -> Vec<(Rank<'a>, Option<usize>)> {
    let hosts: Vec<&String> = route.hosts.iter().flatten().collect();
    let headers = i64::try_from(route.headers.as_ref().map_or(0, std::collections::BTreeMap::len)).unwrap();
    let kinds = [!hosts.is_empty(), headers > 0, route.paths.is_some(), route.methods.is_some(), route.snis.is_some()]
        .map(i64::from);
    let number = kinds.iter().sum();
    let wild: Vec<&&String> = hosts.iter().filter(|host| host.contains('*')).collect();
    let plain = i64::from(!hosts.is_empty() && wild.is_empty());
    let with_port = i64::from(wild.iter().any(|host| host.contains(':')));
    let rank = |regex: bool, priority: i64, length: usize, order| {
        let (regex, length) = (i64::from(regex), i64::try_from(length).unwrap());
        let looked_at = match flavor {
            Flavor::TraditionalCompatible => [number, plain, headers, regex, priority, length, 0, 0],
            Flavor::Traditional => {
                let places = kinds.iter().fold(0, |sum, kind| sum * 2 + kind);
                let age = -route.created_at.map_or(i64::MAX, |created_at| format!("{created_at}").parse().unwrap());
                [number, places, regex, 2 * plain + with_port, headers, priority, length, age]
            }
        };
        (looked_at, route.id.as_str(), std::cmp::Reverse(order))
    };
    let Some(paths) = &route.paths else { return vec![(rank(false, 0, 0, 0), None)] };
    let path = String::from_utf8(normalise(sent.path.as_bytes()).unwrap().into_owned()).unwrap();
    let one = |(order, own): (usize, &String)| match own.strip_prefix('~') {
        None => path.starts_with(own).then(|| (rank(false, 0, own.len(), order), Some(own.len()))),
        Some(pattern) => {
            let found = regex(pattern).find_at(&path, 0).filter(|found| found.start() == 0);
            found.map(|found| (rank(true, route.regex_priority.unwrap(), 0, order), Some(found.end())))
        }
    };
    paths.iter().enumerate().filter_map(one).collect()
}

fn accepts(route: &RouteSpec, sent: &Sent) -> bool {
    let method = |methods: &Vec<String>| methods.iter().any(|method| method == sent.method);
    let host = |hosts: &Vec<String>| {
        hosts.iter().any(|host| match host.split_once(':') {
            Some((host, port)) => sent.port.to_string() == port && name_matches(host, &sent.host),
            None => name_matches(host, &sent.host),
        })
    };
    let sni = |names: &Vec<String>| {
        let name_of = |sni: &String| names.iter().any(|name| name_matches(name.trim_end_matches('.'), sni));
        !sent.tls || sent.sni.as_ref().is_some_and(name_of)
    };
    route.methods.as_ref().is_none_or(method)
        && route.hosts.as_ref().is_none_or(host)
        && route.snis.as_ref().is_none_or(sni)
        && route.headers.iter().flatten().all(|(name, values)| {
            sent.headers.iter().any(|(own, value)| {
                own == name && values.iter().any(|wanted| value_matches(wanted, &value.to_lowercase()))
            })
        })
}

fn name_matches(pattern: &str, name: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(suffix), _) => name.len() > suffix.len() && name.ends_with(suffix),
        (_, Some(prefix)) => name.starts_with(prefix),
        _ => pattern == name,
    }
}

fn value_matches(wanted: &str, value: &str) -> bool {
    match wanted.strip_prefix("~*") {
        Some(pattern) => regex(&pattern.to_lowercase()).is_match(value),
        None => wanted.to_lowercase() == value,
    }
}

/// There are few patterns, and compiling them takes longest.
fn regex(pattern: &str) -> Regex {
    static KNOWN: LazyLock<Mutex<HashMap<String, Regex>>> = LazyLock::new(Mutex::default);
    let mut known = KNOWN.lock().unwrap();
    known.entry(pattern.to_owned()).or_insert_with(|| Regex::new(pattern).unwrap()).clone()
}
