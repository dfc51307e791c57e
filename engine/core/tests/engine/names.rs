//! Names as a name server of our own answers them.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use simple_dns::rdata::{A, CNAME, RData, SRV};
use simple_dns::{CLASS, Name, Packet, PacketFlag, QTYPE, RCODE, ResourceRecord, TYPE};

use crate::balancing::{GET, balanced, count, health};
use crate::support::{Gateway, Upstream, closed_port, eventually, route, service, snapshot};

/// What the server says of a name: address, service (priority, weight, port, name) or alias, with its lifetime.
#[derive(Clone)]
enum Said {
    Address(Ipv4Addr, u32),
    Service(u16, u16, u16, &'static str),
    Alias(&'static str),
}

struct Server {
    address: SocketAddr,
    zone: Arc<Mutex<HashMap<&'static str, Vec<Said>>>>,
    questions: Arc<AtomicUsize>,
}

impl Server {
    fn new(zone: &[(&'static str, &[Said])]) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let zone: HashMap<_, _> = zone.iter().map(|(name, said)| (*name, said.to_vec())).collect();
        let server = Self { address, zone: Arc::new(Mutex::new(zone)), questions: Arc::default() };
        let (zone, questions) = (server.zone.clone(), server.questions.clone());
        thread::spawn(move || {
            let mut buffer = [0; 2048];
            while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
                questions.fetch_add(1, Ordering::SeqCst);
                let reply = answer(&buffer[..length], &zone.lock().unwrap());
                socket.send_to(&reply, peer).unwrap();
            }
        });
        server
    }

    fn say(&self, name: &'static str, said: &[Said]) {
        self.zone.lock().unwrap().insert(name, said.to_vec());
    }

    fn gateway(&self, configuration: &Value) -> Gateway {
        let dns = json!({"nameservers": [self.address.to_string()], "search": [], "timeout_ms": 500});
        let options = json!({
            "listeners": [{"address": "127.0.0.1:0", "tls": false}], "threads": 2, "version": "0.0", "dns": dns,
        });
        Gateway::with_options(&options, configuration)
    }
}

fn answer(message: &[u8], zone: &HashMap<&'static str, Vec<Said>>) -> Vec<u8> {
    let asked = Packet::parse(message).unwrap();
    let question = asked.questions[0].clone();
    let name = question.qname.to_string();
    let mut reply = Packet::new_reply(asked.id());
    reply.set_flags(PacketFlag::RECURSION_AVAILABLE);
    match zone.get(name.as_str()) {
        None => *reply.rcode_mut() = RCODE::NameError,
        Some(all) => {
            for said in all {
                let (kind, ttl, data) = match said {
                    Said::Address(address, ttl) => (TYPE::A, *ttl, RData::A(A { address: address.to_bits() })),
                    Said::Service(priority, weight, port, target) => {
                        let target = Name::new(target).unwrap();
                        let srv = SRV { priority: *priority, weight: *weight, port: *port, target };
                        (TYPE::SRV, 60, RData::SRV(srv))
                    }
                    Said::Alias(target) => (TYPE::CNAME, 60, RData::CNAME(CNAME(Name::new(target).unwrap()))),
                };
                if question.qtype == QTYPE::TYPE(kind) || kind == TYPE::CNAME {
                    reply.answers.push(ResourceRecord::new(question.qname.clone(), CLASS::IN, ttl, data));
                }
            }
        }
    }
    reply.questions.push(question.clone());
    reply.build_bytes_vec().unwrap()
}

/// A backend at an address of loopback and the port of another one, if there is to be one.
fn backend(name: &'static str, address: &str) -> Upstream {
    Upstream::at(address, move |mut client, _| {
        while client.head().is_some() {
            client.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len()));
        }
    })
}

const FIRST: Ipv4Addr = Ipv4Addr::LOCALHOST;
const SECOND: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

#[test]
fn every_address_of_a_name_has_its_weight_and_lifetimes_are_kept() {
    let a = backend("a", "127.0.0.1:0");
    let port = a.address.port();
    let _b = backend("b", &format!("127.0.0.2:{port}"));
    let server = Server::new(&[("x.test", &[Said::Address(FIRST, 30), Said::Address(SECOND, 30)])]);
    let gateway = server.gateway(&balanced(&json!({}), &[(format!("x.test:{port}"), 10)]));
    assert_eq!(count(&gateway, 10, "a"), 5);
    assert_eq!(health(&gateway)["weight"]["total"], 20);

    server.say("x.test", &[Said::Address(SECOND, 30)]);
    let asked = server.questions.load(Ordering::SeqCst);
    gateway.engine.advance_clock(Duration::from_secs(20));
    assert_eq!(count(&gateway, 10, "a"), 5);
    assert_eq!(server.questions.load(Ordering::SeqCst), asked, "the answer is still good");
    gateway.engine.advance_clock(Duration::from_secs(11));
    // The old answer serves until the new one is there.
    assert_eq!(gateway.ask(GET).status, 200);
    eventually(|| health(&gateway)["weight"]["total"] == 10);
    assert_eq!(count(&gateway, 10, "b"), 10);
}

#[test]
fn services_bring_ports_and_weights_of_the_best_priority() {
    let (a, b) = (backend("a", "127.0.0.1:0"), backend("b", "127.0.0.1:0"));
    let records = [
        Said::Service(1, 3, a.address.port(), "a.test"),
        Said::Service(1, 0, b.address.port(), "b.test"),
        Said::Service(2, 100, 1, "a.test"),
    ];
    let alias = [Said::Alias("b.test")];
    let server = Server::new(&[
        ("srv.test", &records),
        ("a.test", &[Said::Address(FIRST, 60)]),
        ("b.test", &[Said::Address(FIRST, 60)]),
        ("alias.test", &alias),
    ]);
    let gateway = server.gateway(&balanced(&json!({}), &[("srv.test:1".into(), 10)]));
    assert_eq!(count(&gateway, 8, "a"), 6);

    let echo = Upstream::echo();
    server.say("srv.test", &[Said::Service(1, 1, echo.address.port(), "a.test")]);
    for (use_srv_name, name) in [(false, "srv.test"), (true, "a.test")] {
        let spec = json!({"use_srv_name": use_srv_name});
        let gateway = server.gateway(&balanced(&spec, &[("srv.test:1".into(), 10)]));
        assert!(gateway.ask(GET).text().contains(&format!("\r\nHost: {name}:{}\r\n", echo.address.port())));
    }
    let port = b.address.port();
    let gateway = server.gateway(&balanced(&json!({}), &[(format!("alias.test:{port}"), 1)]));
    assert_eq!(count(&gateway, 2, "b"), 2);
}

/// A configuration whose service is at a name of its own.
fn at_name(name: &str, port: u16) -> Value {
    let mut configuration = snapshot(1, &[service(SocketAddr::new(FIRST.into(), port))], &[route("/")]);
    configuration["entities"]["services"][0]["host"] = json!(name);
    configuration
}

#[test]
fn a_service_is_where_the_services_of_its_host_are() {
    let (a, b, echo) = (backend("a", "127.0.0.1:0"), backend("b", "127.0.0.1:0"), Upstream::echo());
    let one = |upstream: &Upstream| Said::Service(1, 1, upstream.address.port(), "a.test");
    let rarely = Said::Service(2, 100, echo.address.port(), "a.test");
    let server = Server::new(&[
        ("srv.test", &[one(&a), one(&b), rarely]),
        ("echo.test", &[one(&echo)]),
        ("half.test", &[Said::Service(1, 1, closed_port().port(), "a.test"), one(&echo)]),
        ("a.test", &[Said::Address(FIRST, 60)]),
    ]);
    // The service's own port is that of nobody.
    let gateway = server.gateway(&at_name("srv.test", 1));
    let of_a = count(&gateway, 64, "a");
    assert!((1..64).contains(&of_a), "{of_a}");

    let wanted = |name: &str| format!("\r\nHost: {name}:{}\r\n", echo.address.port());
    assert!(server.gateway(&at_name("echo.test", 1)).ask(GET).text().contains(&wanted("echo.test")));
    let gateway = server.gateway(&at_name("half.test", 80));
    for _ in 0..64 {
        assert!(gateway.ask(GET).text().contains(&wanted("half.test")), "another try goes to the other one");
    }
    assert!(gateway.counter("upstream_retries_total") > 0);

    // The name without services is at its address, with the service's port.
    let gateway = server.gateway(&at_name("a.test", a.address.port()));
    assert_eq!(count(&gateway, 4, "a"), 4);
}

#[test]
fn what_the_system_says_is_followed() {
    let hosts = std::env::temp_dir().join(format!("sluice-hosts-{}", std::process::id()));
    let say = |address: Ipv4Addr| std::fs::write(&hosts, format!("{address} Moving.test # here\n")).unwrap();
    let a = backend("a", "127.0.0.1:0");
    let _b = backend("b", &format!("127.0.0.2:{}", a.address.port()));
    say(FIRST);
    let options = json!({
        "listeners": [{"address": "127.0.0.1:0", "tls": false}], "threads": 1, "version": "0.0",
        "dns": {"hosts_file": hosts, "timeout_ms": 100},
    });
    let gateway = Gateway::with_options(&options, &at_name("moving.test", a.address.port()));
    assert_eq!(gateway.ask(GET).text(), "a");
    say(SECOND);
    eventually(|| {
        // What a file said is used for a minute.
        gateway.engine.advance_clock(Duration::from_secs(61));
        gateway.ask(GET).text() == "b"
    });
    std::fs::remove_file(&hosts).unwrap();
}

#[test]
fn what_is_not_there_is_not_asked_for_again_at_once() {
    let server = Server::new(&[]);
    let mut configuration = snapshot(1, &[service(server.address)], &[route("/")]);
    configuration["entities"]["services"][0]["host"] = json!("gone.test");
    let gateway = server.gateway(&configuration);
    let fails = || {
        let response = gateway.ask(GET);
        response.status == 503 && response.text().contains("name resolution failed")
    };
    assert!(fails());
    let asked = server.questions.load(Ordering::SeqCst);
    for _ in 0..5 {
        assert!(fails());
    }
    gateway.engine.advance_clock(Duration::from_secs(29));
    assert!(fails());
    assert_eq!(server.questions.load(Ordering::SeqCst), asked);
    server.say("gone.test", &[Said::Address(FIRST, 30)]);
    gateway.engine.advance_clock(Duration::from_secs(2));
    gateway.ask(GET);
    assert!(server.questions.load(Ordering::SeqCst) > asked);
}

#[test]
fn a_name_that_turns_to_a_forbidden_address_is_not_followed() {
    let a = backend("a", "127.0.0.1:0");
    let port = a.address.port();
    let forbidden = backend("b", &format!("127.0.0.2:{port}"));
    let server = Server::new(&[("x.test", &[Said::Address(FIRST, 5)])]);
    let mut by_target = balanced(&json!({}), &[(format!("x.test:{port}"), 10)]);
    let mut by_service = snapshot(1, &[service(a.address)], &[route("/")]);
    by_service["entities"]["services"][0]["host"] = json!("x.test");
    for configuration in [&mut by_target, &mut by_service] {
        server.say("x.test", &[Said::Address(FIRST, 5)]);
        configuration["limits"]["allow_upstream"] = json!(["127.0.0.1/32"]);
        let gateway = server.gateway(configuration);
        assert_eq!(gateway.ask(GET).text(), "a");
        server.say("x.test", &[Said::Address(SECOND, 5)]);
        gateway.engine.advance_clock(Duration::from_secs(6));
        eventually(|| gateway.ask(GET).status == 503);
        assert!(gateway.counter("upstream_refused_total") > 0);
    }
    assert_eq!(forbidden.connections(), 0);
}
