//! Plugins that count on a server, and servers that are down, slow or mad.

mod server;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::{ServerConnection, StreamOwned};
use serde_json::{Value, json};

use self::server::{Reaction, Server};
use crate::identities::Authority;
use crate::logs::{orderly, plugin, with_plugins};
use crate::support::{Gateway, Response, Upstream, closed_port, eventually};
use crate::upstream_tls::server_config;

const GET: &str = "GET /a HTTP/1.1\r\nHost: h.test\r\nConnection: close\r\n\r\n";

fn redis(at: SocketAddr, config: &Value) -> Value {
    let mut whole = json!({
        "host": at.ip().to_string(), "port": at.port(), "timeout": 5000, "username": null, "password": null, "database": 0,
        "ssl": false, "ssl_verify": true, "server_name": null, "cloud_authentication": null,
    });
    whole.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
    whole
}

fn rate_limiting(redis: &Value, config: &Value) -> Value {
    let defaults = json!({
        "second": null, "minute": null, "hour": null, "day": null, "month": null, "year": 3, "limit_by": "ip",
        "header_name": null, "path": null, "policy": "redis", "sync_rate": -1, "fault_tolerant": false, "redis": redis,
        "hide_client_headers": false, "error_code": 429, "error_message": "no more",
    });
    plugin("rate-limiting", defaults, config)
}

fn response_ratelimiting(redis: &Value, config: &Value) -> Value {
    let defaults = json!({
        "limits": {"video": {"year": 5}}, "header_name": "x-kong-limit", "limit_by": "ip", "policy": "redis",
        "fault_tolerant": false, "redis": redis, "block_on_first_violation": false, "hide_client_headers": false,
    });
    plugin("response-ratelimiting", defaults, config)
}

fn gateway(plugin: Value) -> Gateway {
    orderly(&with_plugins(Upstream::echo().address, &[plugin]))
}

fn statuses(gateway: &Gateway, count: usize) -> Vec<u16> {
    (0..count).map(|_| gateway.ask(GET).status).collect()
}

fn left(response: &Response) -> (u16, Option<&str>, Option<&str>) {
    (response.status, response.header("x-ratelimit-remaining-year"), response.header("ratelimit-remaining"))
}

#[test]
fn one_round_trip_on_one_connection_counts_a_request() {
    let server = Server::new();
    let gateway = gateway(rate_limiting(
        &redis(server.address, &json!({})),
        &json!({"second": 1000, "month": 3000, "year": 3001}),
    ));
    for remaining in [2999, 2998, 2997] {
        let response = gateway.ask(GET);
        assert_eq!(response.header("x-ratelimit-remaining-month"), Some(remaining.to_string().as_str()));
        assert!(response.header("x-ratelimit-remaining-second").is_some());
    }
    assert_eq!((server.commands("EVALSHA").len(), server.commands("EVAL").len(), server.connections()), (3, 1, 1));
    let keys = &server.commands("EVALSHA")[0][3..6];
    assert!(keys.iter().all(|key| key.starts_with("ratelimit:{cp:") && key.contains(":ip:127.0.0.1}:")), "{keys:?}");
    assert_eq!((server.counted(":month"), server.counted(":year")), (vec![3], vec![3]));
}

#[test]
fn a_refused_request_counts_nowhere() {
    let server = Server::new();
    let limits = json!({"month": 2, "year": 10});
    let gateway = gateway(rate_limiting(&redis(server.address, &json!({})), &limits));
    assert_eq!(statuses(&gateway, 4), [200, 200, 429, 429]);
    let response = gateway.ask(GET);
    assert_eq!(left(&response), (429, Some("8"), Some("0")));
    assert!(response.header("retry-after").is_some() && response.text().contains("no more"));
    assert_eq!(server.counted(":year"), [2]);
}

#[test]
fn gateways_and_configurations_share_counters_and_control_planes_do_not() {
    let server = Server::new();
    let one = rate_limiting(&redis(server.address, &json!({})), &json!({}));
    let (first, second) = (gateway(one.clone()), gateway(one.clone()));
    assert_eq!([statuses(&first, 2), statuses(&second, 2)], [[200, 200], [200, 429]]);
    let mut other = with_plugins(Upstream::echo().address, &[one]);
    other["control_plane_id"] = json!("cp2");
    assert_eq!(statuses(&orderly(&other), 1), [200]);
}

#[test]
fn whoever_signs_in_says_so_first_and_once() {
    let server = Server::new();
    let account = json!({"username": "me", "password": "p w\r\nx", "database": 7});
    let gateway = gateway(rate_limiting(&redis(server.address, &account), &json!({})));
    assert_eq!(statuses(&gateway, 2), [200, 200]);
    assert_eq!(server.commands("AUTH"), [["AUTH", "me", "p w\r\nx"]]);
    assert_eq!(server.commands("SELECT"), [["SELECT", "7"]]);
}

#[test]
fn a_server_that_is_of_no_use_is_tolerated_or_not() {
    let refuses = |name: &'static str, reply: &'static str| {
        Server::reacting(move |command, _| if command[0] == name { Reaction::Says(reply) } else { Reaction::Usual })
            .address
    };
    let says = |reply| refuses("EVALSHA", reply);
    let broken = [
        ("down", closed_port()),
        ("wrong password", refuses("AUTH", "-WRONGPASS invalid username-password pair\r\n")),
        ("no such database", refuses("SELECT", "-ERR DB index is out of range\r\n")),
        ("no right to run scripts", refuses("EVALSHA", "-NOPERM this user has no permissions\r\n")),
        ("a replica", says("-READONLY You can't write against a read only replica.\r\n")),
        ("a cluster", says("-MOVED 3999 169.254.169.254:80\r\n")),
        (
            "a script that nobody knows",
            Server::reacting(|command, _| {
                if command[0].starts_with("EVAL") { Reaction::Says("-NOSCRIPT No\r\n") } else { Reaction::Usual }
            })
            .address,
        ),
        ("a web server", says("HTTP/1.1 400 Bad Request\r\n\r\n")),
        ("too few numbers", says("*0\r\n")),
        ("too many numbers", says("*2\r\n:0\r\n:0\r\n")),
        ("a negative number", says("*1\r\n:-1\r\n")),
        ("no number", says("*1\r\n$1\r\n0\r\n")),
        ("a status", says("+OK\r\n")),
        ("two answers", says("*1\r\n:0\r\n*1\r\n:0\r\n")),
        ("a list without end", says("*4097\r\n:0\r\n")),
        (
            "silence",
            Server::reacting(|command, _| if command[0] == "EVALSHA" { Reaction::Silent } else { Reaction::Usual })
                .address,
        ),
        (
            "an early end",
            Server::reacting(|command, _| if command[0] == "EVALSHA" { Reaction::Ends } else { Reaction::Usual })
                .address,
        ),
    ];
    for (what, address) in broken {
        let redis = redis(address, &json!({"password": "x", "database": 1, "timeout": 300}));
        for (tolerant, expected) in [(true, 200), (false, 500)] {
            let gateway = gateway(rate_limiting(&redis, &json!({"fault_tolerant": tolerant})));
            let response = gateway.ask(GET);
            assert_eq!(response.status, expected, "{what}");
            assert_eq!(response.header("x-ratelimit-remaining-year"), None, "{what}");
            assert_eq!(gateway.counter("requests_not_counted_total"), 1, "{what}");
            if !tolerant {
                assert!(response.text().contains("An unexpected error occurred"), "{what}");
            }
        }
    }
}

#[test]
fn a_server_that_drops_what_lies_idle_is_asked_again() {
    let asked = Arc::new(Mutex::new(0));
    let server = Server::reacting(move |command, number| {
        if !command[0].starts_with("EVAL") {
            return Reaction::Usual;
        }
        *asked.lock().unwrap() += 1;
        // The first connection takes one request; of the second one it only takes notice.
        if number == 0 && *asked.lock().unwrap() > 2 { Reaction::Ends } else { Reaction::Usual }
    });
    let gateway = gateway(rate_limiting(&redis(server.address, &json!({})), &json!({})));
    assert_eq!(statuses(&gateway, 3), [200, 200, 200]);
    assert_eq!(server.connections(), 2);
}

#[test]
fn an_address_that_the_tenant_may_not_reach_is_not_asked() {
    let server = Server::new();
    let plugin = rate_limiting(&redis(server.address, &json!({})), &json!({}));
    let mut configuration = with_plugins(Upstream::echo().address, &[plugin]);
    let gateway = orderly(&configuration);
    assert_eq!(gateway.ask(GET).status, 200);
    // Nor on the connection that is still there, once it may not any more.
    configuration["version"] = json!(2);
    configuration["limits"]["allow_upstream"] = json!([]);
    assert_eq!(gateway.apply(&configuration)["accepted"], true);
    assert_eq!(gateway.ask(GET).status, 500);
    assert!(gateway.counter("upstream_refused_total") > 0);
    assert_eq!(server.commands("EVALSHA").len(), 1);
}

#[test]
fn tls_has_to_lead_to_a_trusted_root() {
    let plain = Server::new();
    let gateway = gateway(rate_limiting(&redis(plain.address, &json!({"ssl": true})), &json!({})));
    assert_eq!(statuses(&gateway, 1), [500]);
    assert!(plain.commands("EVALSHA").is_empty());
}

#[test]
fn tls_is_spoken_by_the_name_that_the_configuration_says() {
    let server = Server::new();
    let identity = Authority::new("a").identity(&["redis.test"]);
    let config = server_config(&identity, None, "redis");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, names) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
    let (noted, behind) = (names.clone(), server.address);
    thread::spawn(move || {
        while let Ok((socket, _)) = listener.accept() {
            let mut outer = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), socket);
            let mut inner = TcpStream::connect(behind).unwrap();
            let mut piece = [0; 4096];
            while let Ok(count @ 1..) = outer.read(&mut piece) {
                inner.write_all(&piece[..count]).unwrap();
                let count = inner.read(&mut piece).unwrap();
                outer.write_all(&piece[..count]).unwrap();
            }
            noted.lock().unwrap().push(outer.conn.server_name().map(str::to_owned));
        }
    });
    let redis = redis(address, &json!({"ssl": true, "ssl_verify": false, "server_name": "redis.test"}));
    let gateway = gateway(rate_limiting(&redis, &json!({})));
    assert_eq!(statuses(&gateway, 4), [200, 200, 200, 429]);
    drop(gateway);
    eventually(|| *names.lock().unwrap() == [Some("redis.test".to_owned())]);
}

#[test]
fn with_a_sync_rate_requests_do_not_wait_and_gateways_learn_of_each_other() {
    let server = Server::new();
    let often = json!({"sync_rate": 0.02, "year": 5});
    let one = rate_limiting(&redis(server.address, &json!({})), &often);
    let (first, second) = (gateway(one.clone()), gateway(one));
    assert_eq!(left(&first.ask(GET)), (200, Some("4"), Some("4")));
    eventually(|| server.counted(":year") == [1]);
    // What the second one adds tells it what the first one has added.
    assert_eq!(left(&second.ask(GET)), (200, Some("4"), Some("4")));
    eventually(|| server.counted(":year") == [2]);
    eventually(|| second.counter("records_sent_total") == 1);
    assert_eq!(left(&second.ask(GET)), (200, Some("2"), Some("2")));
    eventually(|| server.counted(":year") == [3]);
    assert_eq!(statuses(&second, 3)[2], 429, "it knows of five");
}

#[test]
fn with_a_sync_rate_a_server_that_is_down_keeps_nobody_waiting_and_nobody_out() {
    let redis = redis(closed_port(), &json!({}));
    let gateway = gateway(rate_limiting(&redis, &json!({"sync_rate": 0.02, "fault_tolerant": false})));
    assert_eq!(statuses(&gateway, 4), [200, 200, 200, 429]);
}

/// An upstream whose every response uses up so much.
fn using(amount: &'static str) -> SocketAddr {
    Upstream::new(move |mut client, _| {
        while let Some(head) = client.head() {
            let told = head.lines().find(|line| line.starts_with("X-RateLimit")).unwrap_or("nothing").to_owned();
            let length = told.len();
            client.send(format!("HTTP/1.1 200 OK\r\nX-Kong-Limit: {amount}\r\nContent-Length: {length}\r\n\r\n{told}"));
        }
    })
    .address
}

#[test]
fn what_responses_use_up_is_counted_on_the_server() {
    let server = Server::new();
    let plugin = response_ratelimiting(&redis(server.address, &json!({})), &json!({}));
    let gateway = orderly(&with_plugins(using("video=3"), &[plugin]));
    let ask = || {
        let response = gateway.ask(GET);
        let header = response.header("x-ratelimit-remaining-video-year").map(str::to_owned);
        (response.status, header, response.text(), response.header("x-kong-limit").is_some())
    };
    let told = |remaining: u64| format!("X-RateLimit-Remaining-video: {remaining}");
    assert_eq!(ask(), (200, Some("2".into()), told(5), false));
    eventually(|| server.counted(":video:").is_empty() && server.counted(":year") == [3]);
    assert_eq!(ask(), (200, Some("0".into()), told(2), false));
    eventually(|| server.counted(":year") == [6]);
    assert_eq!(ask(), (429, Some("0".into()), String::new(), false));
    assert_eq!(server.counted(":year"), [6]);
}

#[test]
fn an_amount_beyond_measure_is_the_most_that_can_be_counted() {
    let server = Server::new();
    let plugin = response_ratelimiting(&redis(server.address, &json!({})), &json!({}));
    let gateway = orderly(&with_plugins(using("video=18446744073709551615"), &[plugin]));
    assert_eq!(gateway.ask(GET).status, 200);
    eventually(|| server.counted(":year") == [1 << 53]);
    assert_eq!(gateway.ask(GET).status, 429);
}

#[test]
fn responses_whose_limits_nobody_knows_pass_or_not() {
    for (tolerant, expected) in [(true, 200), (false, 500)] {
        let plugin = response_ratelimiting(&redis(closed_port(), &json!({})), &json!({"fault_tolerant": tolerant}));
        let gateway = orderly(&with_plugins(using("video=3"), &[plugin]));
        let response = gateway.ask(GET);
        assert_eq!((response.status, response.header("x-kong-limit")), (expected, None));
        assert_eq!(response.header("x-ratelimit-remaining-video-year"), None);
    }
}

#[test]
fn configurations_that_cannot_be_are_refused() {
    let at = closed_port();
    let with = |redis: Value| rate_limiting(&redis, &json!({}));
    let broken = [
        with(redis(at, &json!({"host": null}))),
        with(redis(at, &json!({"host": "a b"}))),
        with(redis(at, &json!({"ssl": true, "server_name": "a b"}))),
        with(redis(at, &json!({"cloud_authentication": {"auth_provider": "aws"}}))),
        rate_limiting(&redis(at, &json!({})), &json!({"policy": "cluster"})),
        response_ratelimiting(&redis(at, &json!({})), &json!({"policy": "cluster"})),
        response_ratelimiting(&redis(at, &json!({"host": null})), &json!({})),
    ];
    let gateway = Gateway::to(at);
    for plugin in broken {
        let mut configuration = with_plugins(at, std::slice::from_ref(&plugin));
        configuration["version"] = json!(2);
        assert_eq!(gateway.apply(&configuration)["accepted"], false, "{plugin}");
    }
}
