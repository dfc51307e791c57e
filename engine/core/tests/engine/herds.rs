//! Many clients at once for what takes long the first time.

use std::sync::Barrier;
use std::thread;

use serde_json::{Value, json};

use crate::support::{Gateway, Upstream, route, service, snapshot};

/// User `ada` with the password `p`, as control planes send it.
fn guarded(upstream: &Upstream) -> Value {
    let mut configuration = snapshot(1, &[service(upstream.address)], &[route("/")]);
    let entities = &mut configuration["entities"];
    entities["consumers"] = json!([{"id": "consumer-1", "username": "ada"}]);
    entities["basicauth_credentials"] = json!([{
        "id": "credential-1",
        "consumer": {"id": "consumer-1"},
        "username": "ada",
        "password_hash":
            "$pbkdf2-sha256$i=4096$6IuB+1xLC6dJ5QycrT1A5g$wfsKXy5b/buY723ChWeHUr8Xp/bykUcN8QDLM0OeRbQ",
    }]);
    entities["plugins"] = json!([{
        "id": "plugin-1",
        "name": "basic-auth",
        "config": {"anonymous": null, "hide_credentials": false, "realm": null},
        "enabled": true,
        "protocols": ["http"],
    }]);
    configuration
}

fn statuses(gateway: &Gateway, password: &str, count: usize) -> Vec<u16> {
    let credentials = match password {
        "right" => "YWRhOnA=",
        _ => "YWRhOng=",
    };
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic {credentials}\r\n\r\n");
    let together = Barrier::new(count);
    thread::scope(|scope| {
        let ask = || {
            let mut client = gateway.client();
            together.wait();
            client.send(&request);
            client.response().status
        };
        let asking: Vec<_> = (0..count).map(|_| scope.spawn(ask)).collect();
        asking.into_iter().map(|client| client.join().unwrap()).collect()
    })
}

#[test]
fn the_first_requests_of_a_user_wait_for_one_check() {
    let upstream = Upstream::echo();
    let gateway = Gateway::with(&guarded(&upstream));
    assert_eq!(statuses(&gateway, "right", 64), [200; 64]);
}

#[test]
fn guesses_are_all_answered() {
    let upstream = Upstream::echo();
    let gateway = Gateway::with(&guarded(&upstream));
    assert_eq!(statuses(&gateway, "wrong", 32), [401; 32]);
    assert_eq!(statuses(&gateway, "right", 1), [200]);
}
