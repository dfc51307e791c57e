//! Which instance of a plugin a request meets.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::config::directory::{Consumer, Group};
use crate::config::entities::{Change, PluginSpec};
use crate::config::plugins::Plugins;
use crate::phases::chain::{Protocols, pick};

fn reference(id: Option<&str>) -> Value {
    id.map_or(Value::Null, |id| json!({ "id": id }))
}

fn spec(id: &str, scope: [Option<&str>; 4], protocols: &[&str]) -> PluginSpec {
    let [consumer, group, route, service] = scope.map(reference);
    serde_json::from_value(json!({
        "id": id, "name": "probe-a", "instance_name": null, "config": {"journal": "", "label": "", "phases": []},
        "enabled": true, "protocols": protocols, "consumer": consumer, "consumer_group": group, "route": route,
        "service": service,
    }))
    .unwrap()
}

/// The id of the instance that a consumer's request of route r and service s meets.
fn met(specs: &[PluginSpec], consumer: Option<&Consumer>, protocol: &str) -> Option<String> {
    let mut plugins = Plugins::default();
    let put =
        |spec: &PluginSpec| (spec.id.as_str().into(), Change { before: None, after: Some(Arc::new(spec.clone())) });
    let mut errors = Vec::new();
    plugins.update(&specs.iter().map(put).collect(), &mut errors);
    assert!(errors.is_empty(), "{errors:?}");
    let chain = plugins.chain(Some(("r", Some("s"))), Protocols::of([protocol]));
    let slot = chain.slots.first()?;
    pick(slot, &plugins.scoped, consumer, Some(("r", Some("s"))), chain.protocols).map(|found| found.id.to_string())
}

fn ann(groups: &[&str]) -> Consumer {
    let group = |name: &&str| Group { id: (*name).into(), name: (*name).into() };
    Consumer {
        id: "c".into(),
        username: None,
        custom_id: None,
        groups: groups.iter().map(group).collect(),
        acls: [].into(),
    }
}

#[test]
fn the_most_specific_instance_of_twelve() {
    let (c, g, r, s) = (Some("c"), Some("g"), Some("r"), Some("s"));
    let combinations = [
        [c, None, r, s],
        [None, g, r, s],
        [c, None, r, None],
        [c, None, None, s],
        [None, g, r, None],
        [None, g, None, s],
        [None, None, r, s],
        [c, None, None, None],
        [None, g, None, None],
        [None, None, r, None],
        [None, None, None, s],
        [None; 4],
    ];
    let ids: Vec<String> = (1..=12).map(|rank| rank.to_string()).collect();
    let all: Vec<_> = combinations.iter().zip(&ids).map(|(scope, id)| spec(id, *scope, &["http"])).collect();
    for first in 0..12 {
        assert_eq!(met(&all[first..], Some(&ann(&["g"])), "http"), Some(ids[first].clone()));
    }
    for (first, expected) in [(0, "7"), (7, "10"), (10, "11"), (11, "12")] {
        assert_eq!(met(&all[first..], None, "http").as_deref(), Some(expected));
    }
    assert_eq!(met(&all[..6], None, "http"), None);
    assert_eq!(met(&all, Some(&ann(&[])), "https"), None);
}

#[test]
fn scopes_of_others_and_other_protocols_do_not_count() {
    let others = [
        spec("consumer", [Some("d"), None, None, None], &["http"]),
        spec("group", [None, Some("h"), None, None], &["http"]),
        spec("route", [Some("c"), None, Some("q"), None], &["http"]),
        spec("service", [None, Some("g"), None, Some("t")], &["http"]),
        spec("fixed", [None, None, Some("q"), None], &["http"]),
        spec("protocol", [Some("c"), None, None, None], &["https"]),
        spec("global", [None; 4], &["http", "grpc"]),
    ];
    assert_eq!(met(&others, Some(&ann(&["g"])), "http").as_deref(), Some("global"));
    assert_eq!(met(&others, Some(&ann(&["g"])), "https").as_deref(), Some("protocol"));
    assert_eq!(met(&others, None, "https"), None);
}

#[test]
fn of_several_groups_the_first_by_name_counts() {
    let specs = [
        spec("beta", [None, Some("beta"), None, None], &["http"]),
        spec("gamma", [None, Some("gamma"), None, None], &["http"]),
    ];
    assert_eq!(met(&specs, Some(&ann(&["alpha", "beta", "gamma"])), "http").as_deref(), Some("beta"));
}
