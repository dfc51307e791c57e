//! A version made from the one before behaves as one made from nothing, whatever happened in between.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::value::to_raw_value;
use serde_json::{Value, json};

use super::*;
use crate::config::directory::Consumer;
use crate::config::entities::Draft;
use crate::message::{Headers, Scheme};
use crate::phases::chain::{Chain, pick};
use crate::router::MatchInput;

type Documents = BTreeMap<(&'static str, String), Value>;

struct Random(u64);

impl Random {
    /// A number below `end`. Source: Vigna, "An experimental exploration of Marsaglia's xorshift generators", 2016.
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(bits).unwrap() % end
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// A reference; seldom to something that is not there.
    fn reference(&mut self, prefix: &str, count: usize, percent: usize) -> Value {
        if self.chance(percent) { json!({"id": format!("{prefix}{}", self.below(count + 1))}) } else { Value::Null }
    }

    fn entity(&mut self, plural: &str, id: &str) -> Value {
        match plural {
            "services" => json!({
                "id": id, "name": null, "protocol": if self.chance(20) { "udp" } else { "http" },
                "host": if self.chance(5) { "not a host" } else { "127.0.0.1" }, "port": 1 + self.below(3),
                "path": null, "retries": 5, "connect_timeout": 1, "write_timeout": 1, "read_timeout": 1,
                "enabled": self.chance(80),
            }),
            "routes" => json!({
                "id": id, "name": null, "protocols": if self.chance(10) { ["tcp"] } else { ["http"] },
                "hosts": if self.chance(50) { json!([format!("h{}", self.below(3))]) } else { Value::Null },
                "paths": [if self.chance(3) { "~(".to_owned() } else { format!("/{}", self.below(4)) }],
                "strip_path": self.chance(50), "preserve_host": false, "https_redirect_status_code": 426,
                "request_buffering": true, "response_buffering": true, "service": self.reference("s", 5, 80),
            }),
            "plugins" => {
                let (name, config) = match self.below(40) {
                    0 => ("unknown", json!({})),
                    1..20 => ("request-transformer", transformer(self.below(3))),
                    number => (["probe-a", "probe-b"][number % 2], json!({"journal": "", "label": "", "phases": []})),
                };
                let earlier = ["probe-a", "probe-b", "request-transformer"][self.below(3)];
                let after = json!({"after": {"access": [earlier]}});
                json!({
                    "id": id, "name": name, "instance_name": null, "config": config, "enabled": self.chance(85),
                    "protocols": if self.chance(20) { ["https"] } else { ["http"] },
                    "ordering": if self.chance(15) { after } else { Value::Null },
                    "service": self.reference("s", 5, 30), "route": self.reference("r", 8, 30),
                    "consumer": self.reference("c", 2, 30), "consumer_group": null,
                })
            }
            _ => json!({"id": id, "username": format!("u{}", self.below(9)), "custom_id": null}),
        }
    }
}

fn transformer(number: usize) -> Value {
    json!({"add": {"headers": [format!("x-number:{number}")]}})
}

fn settings() -> Settings {
    serde_json::from_value(json!({
        "router_flavor": "traditional_compatible", "trusted_ips": [], "real_ip_header": "X-Real-IP", "headers": [],
    }))
    .unwrap()
}

fn compile(parts: &Parts, draft: Draft) -> Result<(EntitySet, Parts), Vec<ConfigError>> {
    let limits = Limits::default();
    let (entities, changes) = draft.finish()?;
    let settings = settings();
    let upstreams = crate::upstream::balancer::registry::Proposed::default();
    let input = Input {
        entities: &entities,
        changes: &changes,
        upstreams: &upstreams,
        settings: &settings,
        limits: &limits,
        other_limits: false,
    };
    let parts = parts.updated(&input)?;
    Ok((entities, parts))
}

fn fresh(documents: &Documents) -> Result<(EntitySet, Parts), Vec<ConfigError>> {
    let mut by_type: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for ((plural, _), document) in documents {
        by_type.entry((*plural).to_owned()).or_default().push(to_raw_value(document).unwrap());
    }
    let mut draft = Draft::default();
    draft.replace_all(by_type);
    compile(&Parts::default(), draft)
}

/// What requests would see: the route found, its switches, its service, and the instances that it runs, in order.
fn behaviour(parts: &Parts) -> Vec<String> {
    let ids: BTreeMap<usize, &str> = parts.routes.numbers.iter().map(|(id, number)| (*number, id.as_ref())).collect();
    let consumers = ["c0", "c1"].map(|id| Consumer {
        id: id.into(),
        username: None,
        custom_id: None,
        groups: [].into(),
        acls: [].into(),
    });
    let chain = |chain: &Chain, place: Option<(&str, Option<&str>)>| {
        let asking = [None, Some(&consumers[0]), Some(&consumers[1])];
        let met = |consumer: Option<&Consumer>| {
            let slots = chain.slots.iter();
            let met = slots.map(|slot| pick(slot, &parts.plugins.scoped, consumer, place, chain.protocols));
            met.map(|instance| instance.map_or("none", |instance| &instance.id)).collect::<Vec<_>>().join(",")
        };
        asking.map(met).join(" or ")
    };
    let mut seen: Vec<_> = parts.plugins.unrouted.iter().map(|made| chain(made, None)).collect();
    for (host, path) in (0..4).flat_map(|host| (0..5).map(move |path| (format!("h{host}"), format!("/{path}")))) {
        let found = parts.routes.router.find(&MatchInput {
            method: b"GET",
            host: &host,
            port: 80,
            path: path.as_bytes(),
            headers: &Headers::new(),
            sni: None,
            scheme: Scheme::Http,
            query: None,
            source: ([10, 0, 0, 1], 40_000).into(),
            destination: ([127, 0, 0, 1], 80).into(),
        });
        seen.push(found.unwrap().map_or_else(String::new, |found| {
            let route = &parts.routes.by_number[found.route];
            let place = Some((route.id.as_ref(), route.service_id.as_deref()));
            let chains: Vec<_> = route.chains.iter().map(|made| chain(made, place)).collect();
            format!("{} {:?} {:?} {chains:?}", ids[&found.route], route.join, route.service)
        }));
    }
    seen
}

fn told(errors: &[ConfigError]) -> Vec<String> {
    let mut lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    lines.sort();
    lines
}

#[test]
fn increments_end_where_a_fresh_start_does() {
    let kinds = [("services", "s", 5), ("routes", "r", 8), ("plugins", "p", 8), ("consumers", "c", 2)];
    let (mut accepted, mut refused) = (0, 0);
    for seed in 1..40 {
        let mut random = Random(seed);
        let mut documents = Documents::new();
        let (mut entities, mut parts) = fresh(&documents).unwrap();
        for _ in 0..60 {
            let mut next = documents.clone();
            let mut draft = Draft::of(entities.clone());
            for _ in 0..=random.below(3) {
                let (plural, prefix, count) = kinds[random.below(kinds.len())];
                let id = format!("{prefix}{}", random.below(count));
                if random.chance(25) {
                    draft.delete(plural, &id);
                    next.remove(&(plural, id));
                } else {
                    let entity = random.entity(plural, &id);
                    draft.put(plural, &id, &entity.to_string());
                    next.insert((plural, id), entity);
                }
            }
            match (compile(&parts, draft), fresh(&next)) {
                (Ok(changed), Ok((_, expected))) => {
                    assert_eq!(behaviour(&changed.1), behaviour(&expected), "seed {seed}: {next:#?}");
                    (entities, parts) = changed;
                    documents = next;
                    accepted += 1;
                }
                (Err(errors), Err(expected)) => {
                    assert_eq!(told(&errors), told(&expected), "seed {seed}");
                    assert_eq!(behaviour(&parts), behaviour(&fresh(&documents).unwrap().1));
                    refused += 1;
                }
                (found, _) => panic!("seed {seed}: only one of them is fine: {:?}", found.err()),
            }
        }
    }
    assert!(accepted > 500 && refused > 100, "{accepted} accepted, {refused} refused");
}

fn plugin(id: &str, config: &Value, scope: &Value) -> Value {
    let mut plugin = json!({
        "id": id, "name": "request-transformer", "instance_name": null, "config": config, "enabled": true,
        "protocols": ["http", "https"],
    });
    plugin.as_object_mut().unwrap().extend(scope.as_object().unwrap().clone());
    plugin
}

fn put(held: &(EntitySet, Parts), changes: &[(&str, &str, Value)]) -> (EntitySet, Parts) {
    let mut draft = Draft::of(held.0.clone());
    for (plural, id, entity) in changes {
        draft.put(plural, id, &entity.to_string());
    }
    compile(&held.1, draft).unwrap()
}

/// Two routes of one service, and a third one.
fn start() -> (EntitySet, Parts) {
    let mut random = Random(1);
    let mut entity = |plural: &str, id: &str, fields: Value| {
        let mut entity = random.entity(plural, id);
        entity.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        entity
    };
    let service = json!({"enabled": true, "host": "127.0.0.1", "protocol": "http"});
    let mut changes = vec![("services", "s1", entity("services", "s1", service))];
    for (id, service) in [("r1", json!({"id": "s1"})), ("r2", json!({"id": "s1"})), ("r3", Value::Null)] {
        let fields = json!({"protocols": ["http"], "paths": [format!("/{id}")], "service": service});
        changes.push(("routes", id, entity("routes", id, fields)));
    }
    put(&Default::default(), &changes)
}

#[test]
fn what_did_not_change_is_taken_over() {
    let route = |held: &(EntitySet, Parts), id: &str| held.1.routes.by_number[held.1.routes.numbers[id]].clone();
    let plugin_of = |held: &(EntitySet, Parts), id: &str| {
        let slots = &route(held, id).chains[0].slots;
        slots.first().and_then(|slot| slot.fixed.as_ref()).map(|(instance, _)| instance.plugin.clone())
    };
    let same = |one: &(EntitySet, Parts), other: &(EntitySet, Parts)| {
        plugin_of(one, "r1").zip(plugin_of(other, "r2")).is_some_and(|(one, other)| Arc::ptr_eq(&one, &other))
    };
    let of_service = json!({"service": {"id": "s1"}});
    let first = put(&start(), &[("plugins", "p", plugin("p", &transformer(1), &of_service))]);
    assert!(Arc::ptr_eq(&route(&first, "r1").chains[0], &route(&first, "r2").chains[0]));

    let second = put(&first, &[("plugins", "q", plugin("q", &transformer(1), &json!({"route": {"id": "r3"}})))]);
    assert!(Arc::ptr_eq(&route(&first, "r1"), &route(&second, "r1")) && same(&first, &second));
    assert!(!Arc::ptr_eq(&route(&first, "r3"), &route(&second, "r3")));

    let off = json!({"service": {"id": "s1"}, "enabled": false});
    let third = put(&second, &[("plugins", "p", plugin("p", &transformer(1), &off))]);
    assert!(plugin_of(&third, "r1").is_none());
    let fourth = put(&third, &[("plugins", "p", plugin("p", &transformer(1), &of_service))]);
    assert!(same(&first, &fourth));
    let fifth = put(&fourth, &[("plugins", "p", plugin("p", &transformer(2), &of_service))]);
    assert!(plugin_of(&fifth, "r1").is_some() && !same(&first, &fifth));
}

#[test]
fn chains_that_nobody_runs_are_forgotten() {
    let mut held = start();
    for number in 0..200 {
        let config = transformer(number);
        held = put(&held, &[("plugins", "p", plugin("p", &config, &json!({})))]);
    }
    assert!(held.1.plugins.known_chains() < 20, "{}", held.1.plugins.known_chains());
}
