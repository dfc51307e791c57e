//! A router that is updated finds what one finds that is compiled from the same routes.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use super::equivalence::{Random, random_request, random_route};
use super::{Sent, compiled, oracle, route, routes};
use crate::router::{Flavor, RouteSpec, Router};

#[test]
fn updates_agree_with_a_scan_of_what_is_there() {
    let mut random = Random(0xC0FF_EE01);
    let mut most_levels = 0;
    for round in 0..8 {
        let flavor = if round % 2 == 0 { Flavor::TraditionalCompatible } else { Flavor::Traditional };
        let given: Vec<Arc<RouteSpec>> =
            (0..random.below(400)).map(|order| route(order, &random_route(&mut random))).collect();
        let mut router = Router::compile(flavor, &given).unwrap();
        let mut living: BTreeMap<usize, Arc<RouteSpec>> = given.into_iter().enumerate().collect();
        for step in 0..60 {
            let most = if random.one_in(8) { 60 } else { 3 };
            let put: Vec<(usize, Arc<RouteSpec>)> = (0..random.below(most))
                .map(|_| {
                    let key = random.below(500);
                    (key, route(key, &random_route(&mut random)))
                })
                .collect();
            let deleted: Vec<usize> = (0..random.below(most))
                .map(|_| random.below(500))
                .filter(|key| put.iter().all(|(own, _)| own != key))
                .collect();
            for key in &deleted {
                living.remove(key);
            }
            living.extend(put.iter().cloned());
            router = router.updated(&put, &deleted).unwrap();
            most_levels = most_levels.max(router.levels.count());
            let (keys, specs): (Vec<usize>, Vec<Arc<RouteSpec>>) = living.clone().into_iter().unzip();
            for _ in 0..6 {
                let sent = random_request(&mut random);
                let expected = oracle::winner(flavor, &specs, &sent).map(|(index, matched)| (keys[index], matched));
                let found = sent.find(&router).map(|found| (found.route, found.matched));
                assert_eq!(found, expected, "round {round}, step {step}: {sent:?}");
            }
        }
    }
    assert_eq!(most_levels, 2);
}

#[test]
fn the_former_router_stays_as_it_was() {
    let before = compiled(&[json!({"paths": ["/a"]}), json!({"paths": ["/b"]})]);
    let after = before.updated(&[(7, route(7, &json!({"paths": ["/a/b"]})))], &[1]).unwrap();
    for (path, old, new) in [("/a/b", Some(0), Some(7)), ("/b", Some(1), None), ("/a", Some(0), Some(0))] {
        assert_eq!(Sent::get("h", path).winner(&before), old, "{path}");
        assert_eq!(Sent::get("h", path).winner(&after), new, "{path}");
    }
}

#[test]
fn of_two_routes_put_by_one_key_the_last_counts() {
    let last = [(0, route(0, &json!({"paths": ["/a"]}))), (0, route(0, &json!({"paths": ["/b"]})))];
    let router = Router::default().updated(&last, &[]).unwrap();
    assert_eq!((Sent::get("h", "/a").winner(&router), Sent::get("h", "/b").winner(&router)), (None, Some(0)));
}

#[test]
fn equal_ranks_are_told_apart_by_id_across_levels() {
    let many: Vec<_> = (0..200).map(|n| json!({"paths": [format!("/other-{n}")]})).collect();
    let router = Router::compile(Flavor::default(), &routes(&many)).unwrap();
    for (id, winner) in [(300, 301), (302, 302)] {
        let router = router.updated(&[(301, route(301, &json!({"paths": ["/same"]})))], &[]).unwrap();
        let router = router.updated(&[(id, route(id, &json!({"paths": ["/same"]})))], &[]).unwrap();
        assert_eq!(Sent::get("h", "/same").winner(&router), Some(winner));
    }
}

#[test]
fn a_bad_route_changes_nothing() {
    let router = compiled(&[json!({"paths": ["/a"]})]);
    let errors = router.updated(&[(0, route(0, &json!({"paths": ["~/("]})))], &[]).unwrap_err();
    assert_eq!(errors[0].field.as_deref(), Some("paths[0]"));
    assert_eq!(Sent::get("h", "/a").winner(&router), Some(0));
}

#[test]
fn deleting_everything_leaves_nothing_behind() {
    let many: Vec<_> = (0..100).map(|n| json!({"paths": [format!("/{n}/")]})).collect();
    let mut router = compiled(&many);
    for key in 0..100 {
        router = router.updated(&[], &[key]).unwrap();
    }
    assert_eq!((router.levels.count(), Sent::get("h", "/7/").winner(&router)), (0, None));
}

#[test]
fn levels_stay_few_however_many_changes_there_are() {
    let many: Vec<_> = (0..3000).map(|n| json!({"paths": [format!("/{n}/")]})).collect();
    let mut router = compiled(&many);
    let mut most_levels = 0;
    for step in 0..600 {
        let key = step * 7 % 4000;
        router = router.updated(&[(key, route(key, &json!({"paths": [format!("/new-{key}/")]})))], &[]).unwrap();
        most_levels = most_levels.max(router.levels.count());
        let earlier = step / 3 * 7;
        assert_eq!(Sent::get("h", &format!("/new-{earlier}/")).winner(&router), Some(earlier));
        assert_eq!(Sent::get("h", &format!("/{earlier}/")).winner(&router), None);
    }
    assert_eq!(most_levels, 3);
}
