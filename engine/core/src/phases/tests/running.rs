//! Phases of real requests.

use serde_json::{Value, json};

use super::gateway::{CHUNKED, GET, Gateway, OK, POST, probe, update};
use crate::engine::Engine;
use crate::phases::probe::notes;

#[test]
fn all_phases_of_a_proxied_request() {
    let all = ["rewrite", "access", "request_body", "response", "response_body", "log"];
    for (journal, upstream) in [("proxied", OK), ("proxied-chunked", CHUNKED)] {
        let a = json!({"journal": journal, "label": "a", "phases": all, "around": "<"});
        let b = json!({"journal": journal, "label": "b", "phases": ["access", "response_body"], "around": "!", "later": true});
        let gateway = Gateway::new(upstream, &[probe("probe-a", &a, &json!({})), probe("probe-b", &b, &json!({}))]);
        let answer = gateway.ask(POST);
        assert!(answer.ends_with("\r\n\r\n!<ok<!") && answer.contains("content-length: 6\r\n"), "{answer}");
        assert!(answer.contains("x-probe: a\r\n") && answer.contains("x-waited: b waited\r\n"), "{answer}");
        assert!(!answer.contains("transfer-encoding") && !answer.contains("content-length: 1\r\n"), "{answer}");
        drop(gateway);
        let expected =
            ["a rewrite", "a access abc", "b access abc", "b later", "a response 200 for nobody", "a log 200 6 bytes"];
        assert_eq!(notes(journal), expected);
    }
}

#[test]
fn the_first_response_wins_and_later_phases_run() {
    let phases = ["access", "response", "log"];
    let a = json!({"journal": "wins", "label": "a", "phases": phases, "status": 403});
    let b = json!({"journal": "wins", "label": "b", "phases": phases});
    let gateway = Gateway::new(OK, &[probe("probe-a", &a, &json!({})), probe("probe-b", &b, &json!({}))]);
    let answer = gateway.ask(GET);
    assert!(answer.starts_with("http/1.1 403 ") && answer.contains("x-probe: a\r\nx-probe: b\r\n"), "{answer}");
    assert_eq!(answer.matches("content-length").count(), 1);
    drop(gateway);
    let notes = notes("wins");
    assert_eq!(notes[..3], ["a access", "a response 403 for nobody", "b response 403 for nobody"]);
    assert!(notes[3].starts_with("a log 403") && notes[4].starts_with("b log 403") && notes.len() == 5, "{notes:?}");
}

#[test]
fn requests_without_a_route_meet_plugins_without_a_scope() {
    let phases = ["rewrite", "access", "response", "log"];
    let config = |label: &str| json!({"journal": "unrouted", "label": label, "phases": phases});
    let scoped = json!({"route": {"id": "r"}});
    let plugins = [probe("probe-a", &config("a"), &json!({})), probe("probe-b", &config("b"), &scoped)];
    let gateway = Gateway::new(OK, &plugins);
    let answer = gateway.ask("GET /none HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert!(answer.starts_with("http/1.1 404 ") && answer.contains("x-probe: a"), "{answer}");
    drop(gateway);
    let notes = notes("unrouted");
    assert_eq!(notes[..2], ["a rewrite", "a response 404 for nobody"]);
    assert!(notes[2].starts_with("a log 404 ") && notes.len() == 3, "{notes:?}");
}

#[test]
fn an_instance_for_a_consumer_applies_once_the_consumer_is_known() {
    let phases = ["access", "response"];
    let config = |label: &str| json!({"journal": "consumer", "label": label, "phases": phases});
    let finder = json!({"journal": "consumer", "label": "finder", "phases": ["access"], "consumer": "ann"});
    let mine = probe("probe-b", &config("ann's"), &json!({"id": "mine", "consumer": {"id": "ann"}}));
    let theirs = probe("probe-b", &config("bob's"), &json!({"id": "theirs", "consumer": {"id": "bob"}}));
    let plugins = [probe("probe-a", &finder, &json!({})), probe("probe-b", &config("all"), &json!({})), mine, theirs];
    let gateway = Gateway::new(OK, &plugins[..2]);
    assert!(gateway.ask(GET).contains("x-probe: all"));
    let mut with_consumers = update(1, &plugins);
    let consumer = |id: &str| json!({"id": id, "username": id, "custom_id": null});
    with_consumers["entities"]["consumers"] = json!([consumer("ann"), consumer("bob")]);
    assert!(gateway.engine.apply(with_consumers.to_string().as_bytes()).accepted);
    let answer = gateway.ask(GET);
    assert!(answer.starts_with("http/1.1 502") && answer.contains("x-probe: ann's"), "{answer}");
    drop(gateway);
    assert_eq!(notes("consumer")[4..], ["ann's access", "ann's response 502 for ann"]);
}

#[test]
fn the_order_is_that_of_priorities_unless_users_ask_for_another() {
    let config = |label: &str| json!({"journal": "order", "label": label, "phases": ["access", "response"]});
    let ask = |wish: Value| {
        let plugins = [
            probe("probe-a", &config("a"), &json!({})),
            probe("probe-b", &config("b"), &json!({"ordering": wish})),
            probe("probe-c", &config("c"), &json!({})),
        ];
        let before = notes("order").len();
        drop(Gateway::new(OK, &plugins).ask(GET));
        notes("order")[before..].iter().map(|note| note[..3].to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ask(json!(null)), ["a a", "c a", "b a", "a r", "c r", "b r"]);
    assert_eq!(ask(json!({"before": {"access": ["probe-a"]}})), ["b a", "a a", "c a", "a r", "c r", "b r"]);
    assert_eq!(ask(json!({"after": {"access": ["probe-a"]}})), ["a a", "c a", "b a", "a r", "c r", "b r"]);

    let circle = json!({"ordering": {"before": {"access": ["probe-a"]}, "after": {"access": ["probe-c"]}}});
    let other = json!({"ordering": {"after": {"access": ["probe-a"]}}});
    let plugins = [
        probe("probe-a", &config("a"), &json!({})),
        probe("probe-b", &config("b"), &circle),
        probe("probe-c", &config("c"), &other),
    ];
    let options = json!({"listeners": [], "threads": 1, "default_certificate": null, "version": "1"});
    let engine = Engine::new(options.to_string().as_bytes()).unwrap();
    let report = engine.apply(update(1, &plugins).to_string().as_bytes());
    let found: Vec<_> = report.errors.iter().map(|found| (&*found.error.id, found.error.field.as_deref())).collect();
    assert_eq!(found, [("probe-b", Some("ordering")), ("probe-c", Some("ordering"))]);
}

#[test]
fn what_one_plugin_leaves_another_one_finds() {
    let first =
        json!({"journal": "shared", "label": "a", "phases": ["access"], "shared": {"who": "ann", "other": "x"}});
    let second = json!({"journal": "shared", "label": "b", "phases": ["access"], "shared": {"other": "y"}});
    let transformer = json!({
        "add": {"headers": ["x-who:$(shared.who)-$(shared.other)-$(shared.none or 'nobody')"]},
    });
    let echo = super::gateway::serve(|mut stream, _| {
        let text = super::gateway::head(&mut stream);
        let answer = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{text}", text.len());
        std::io::Write::write_all(&mut stream, answer.as_bytes()).unwrap();
    });
    let plugins = [
        probe("probe-a", &first, &json!({})),
        probe("probe-b", &second, &json!({"ordering": {"before": {"access": ["request-transformer"]}}})),
        probe("request-transformer", &transformer, &json!({})),
    ];
    let gateway = Gateway::with(&update(echo.port(), &plugins), &json!({}));
    assert!(gateway.ask(GET).contains("x-who: ann-y-nobody\r\n"));
    // The next request begins with nothing.
    let none = [probe("request-transformer", &transformer, &json!({}))];
    let gateway = Gateway::with(&update(echo.port(), &none), &json!({}));
    assert!(gateway.ask(GET).contains("x-who: "), "an empty table is no failure");
}
