//! Targets that leave their upstream, and targets at IPv6 addresses.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use serde_json::json;

use crate::balancing::{GET, at, balanced, count, health, named, next, set_health};
use crate::support::{Gateway, PATIENCE, Upstream, eventually, route, service, snapshot};

/// A backend that answers `old` when it is told to, and tells when its connection ends.
fn told() -> (Upstream, Sender<()>, Receiver<()>) {
    let ((go, wait), (ended, end)) = (channel::<()>(), channel());
    let wait = Mutex::new(wait);
    let upstream = Upstream::new(move |mut client, _| {
        while client.head().is_some() {
            wait.lock().unwrap().recv().unwrap();
            client.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nold");
        }
        ended.send(()).unwrap();
    });
    (upstream, go, end)
}

#[test]
fn a_target_that_leaves_finishes_what_it_has_and_loses_its_connections() {
    for is_idle in [false, true] {
        let ((old, go, end), new) = (told(), named("new"));
        let mut configuration = balanced(&json!({}), &[at(&old, 1)]);
        let gateway = Gateway::with(&configuration);
        let mut client = gateway.client();
        client.send(GET);
        eventually(|| old.connections() == 1);
        if is_idle {
            go.send(()).unwrap();
            assert_eq!(client.response().text(), "old");
        }
        let entities = balanced(&json!({}), &[at(&new, 1)])["entities"].clone();
        configuration["entities"] = entities;
        gateway.apply(next(&mut configuration));
        assert_eq!(count(&gateway, 3, "new"), 3);
        if !is_idle {
            go.send(()).unwrap();
            assert_eq!(client.response().text(), "old");
        }
        end.recv_timeout(PATIENCE).unwrap();
        assert_eq!(old.connections(), 1);
    }
}

#[test]
fn connections_do_not_outlive_their_tenant() {
    let ((idle, go, idle_end), (busy, answer, busy_end)) = (told(), told());
    let gateway = Gateway::to(idle.address);
    let mut other = snapshot(1, &[service(busy.address)], &[route("/")]);
    (other["control_plane_id"], other["hosts"]) = (json!("other"), json!(["other"]));
    assert_eq!(gateway.apply(&other)["accepted"], true);
    let (mut first, mut second) = (gateway.client(), gateway.client());
    first.send(GET);
    go.send(()).unwrap();
    assert_eq!(first.response().text(), "old");
    second.send("GET / HTTP/1.1\r\nHost: other\r\n\r\n");
    eventually(|| busy.connections() == 1);
    assert!(gateway.engine.remove("cp") && gateway.engine.remove("other"));
    // What is under way goes on, and leaves nothing behind.
    answer.send(()).unwrap();
    assert_eq!(second.response().text(), "old");
    for end in [idle_end, busy_end] {
        end.recv_timeout(PATIENCE).unwrap();
    }
}

#[test]
fn targets_may_be_at_ipv6_addresses() {
    let six = Upstream::at("[::1]:0", |mut client, _| {
        while let Some(head) = client.head() {
            client.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{head}", head.len()));
        }
    });
    let four = named("four");
    let target = six.address.to_string();
    let mut configuration = balanced(&json!({}), &[at(&six, 1), at(&four, 1)]);
    configuration["limits"]["allow_upstream"] = json!(["127.0.0.0/8", "::1/128"]);
    let gateway = Gateway::with(&configuration);
    assert_eq!(count(&gateway, 4, "four"), 2);
    set_health(&gateway, &four.address.to_string(), false);
    assert!(gateway.ask(GET).text().contains(&format!("\r\nHost: {target}\r\n")));
    assert_eq!(health(&gateway)["targets"][&target]["addresses"][0]["ip"], "::1");

    let before = six.connections();
    configuration["limits"]["allow_upstream"] = json!(["127.0.0.0/8"]);
    let gateway = Gateway::with(&configuration);
    assert_eq!(count(&gateway, 4, "four"), 4);
    assert_eq!(six.connections(), before);
}
