//! What plugins ask of other servers.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use simple_dns::rdata::{A, RData};
use simple_dns::{CLASS, Packet, PacketFlag, QTYPE, RCODE, ResourceRecord, TYPE};

use super::gateway::{GET, Gateway, OK, head, probe, serve, serve_at, update};

/// A gateway whose probe asks, and tells in its answer what it was told.
fn asking(asks: &Value) -> Gateway {
    asking_with(asks, &json!({}), &json!(["127.0.0.0/8"]))
}

fn asking_with(asks: &Value, options: &Value, allowed: &Value) -> Gateway {
    let config = json!({"journal": "", "label": "", "phases": ["access"], "later": true, "asks": asks});
    let mut update = update(1, &[probe("probe-a", &config, &json!({}))]);
    update["limits"]["allow_upstream"] = allowed.clone();
    Gateway::with(&update, options)
}

/// What the probe was told.
fn told(gateway: &Gateway) -> String {
    let answer = gateway.ask(GET);
    let message = answer.split("\"message\":\"").nth(1).unwrap_or_else(|| panic!("{answer}"));
    message.split("\",\n").next().unwrap().to_owned()
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}/x?y")
}

/// A server that sends the same response to every request of a connection.
fn answering(response: impl Into<String>) -> (SocketAddr, Arc<AtomicUsize>) {
    let (response, connections) = (response.into(), Arc::new(AtomicUsize::new(0)));
    let counted = connections.clone();
    let address = serve(move |mut stream, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        while !head(&mut stream).is_empty() && stream.write_all(response.as_bytes()).is_ok() {}
    });
    (address, connections)
}

#[test]
fn a_request_is_what_was_asked_for_and_its_connection_is_kept() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (heads, connections) = (seen.clone(), Arc::new(AtomicUsize::new(0)));
    let counted = connections.clone();
    let address = serve(move |mut stream, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        loop {
            let head = head(&mut stream);
            let mut body = [0; 3];
            if head.is_empty() || stream.read_exact(&mut body).is_err() {
                return;
            }
            heads.lock().unwrap().push(head + std::str::from_utf8(&body).unwrap());
            let early = "HTTP/1.1 103 Early\r\nLink: a\r\n\r\n";
            let answer = "HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\nx: y\r\n\r\n";
            stream.write_all([early, answer].concat().as_bytes()).unwrap();
        }
    });
    let gateway = asking(&json!({"url": url(address), "method": "POST", "body": "abc"}));
    assert_eq!([told(&gateway), told(&gateway)], ["404 no", "404 no"]);
    assert_eq!(connections.load(Ordering::SeqCst), 1);
    let expected = format!(
        "POST /x?y HTTP/1.1\r\nHost: {address}\r\nUser-Agent: sluice/1\r\nX-Asked: 1\r\nContent-Length: 3\r\n\r\nabc"
    );
    assert_eq!(*seen.lock().unwrap(), [expected.clone(), expected]);
}

#[test]
fn a_connection_that_has_ended_meanwhile_is_replaced() {
    let address = serve(move |mut stream, number| {
        assert!(!head(&mut stream).is_empty());
        let body = format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{number}");
        stream.write_all(body.as_bytes()).unwrap();
        // A second request is read, but not answered.
        head(&mut stream);
    });
    let gateway = asking(&json!({"url": url(address)}));
    assert_eq!([told(&gateway), told(&gateway)], ["200 0", "200 1"]);
    let gateway = asking(&json!({"url": url(address), "method": "POST", "body": ""}));
    assert_eq!(told(&gateway), "200 2");
    assert_eq!(told(&gateway), "failed: no valid response", "it may have been done already");
}

#[test]
fn of_two_answers_on_a_used_connection_neither_is_believed() {
    let address = serve(|mut stream, _| {
        let once = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na";
        assert!(!head(&mut stream).is_empty() && stream.write_all(once.as_bytes()).is_ok());
        assert!(!head(&mut stream).is_empty() && stream.write_all([once, once].concat().as_bytes()).is_ok());
        head(&mut stream);
    });
    let gateway = asking(&json!({"url": url(address)}));
    assert_eq!([told(&gateway), told(&gateway)], ["200 a", "failed: no valid response"]);
}

#[test]
fn forbidden_addresses_are_not_connected_to() {
    let (address, connections) = answering(OK);
    let mapped = format!("[::ffff:127.0.0.1]:{}", address.port());
    let port = address.port();
    for (host, raw) in [(address.to_string(), false), (address.to_string(), true), (mapped, false)] {
        let gateway = asking_with(&json!({"url": format!("http://{host}"), "raw": raw}), &json!({}), &json!([]));
        assert_eq!(told(&gateway), "failed: the address is not allowed", "{host}");
        let stats: Value = serde_json::from_slice(&gateway.engine.stats()).unwrap();
        assert_eq!(stats["tenants"]["c"]["upstream_refused_total"], 1);
    }
    for host in ["169.254.169.254", "10.0.0.1", "[fe80::1]", "[::1]", "0.0.0.0"] {
        let gateway = asking(&json!({"url": format!("http://{host}:{port}")}));

        assert_eq!(told(&gateway), "failed: the address is not allowed", "{host}");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 0);
}

#[test]
fn redirects_are_answers() {
    let (target, connections) = answering(OK);
    let (address, _) =
        answering(format!("HTTP/1.1 302 Found\r\nLocation: http://{target}/\r\nContent-Length: 0\r\n\r\n"));
    assert_eq!(told(&asking(&json!({"url": url(address)}))), format!("302 http://{target}/ "));
    assert_eq!(connections.load(Ordering::SeqCst), 0);
}

#[test]
fn what_comes_is_bounded_in_time_and_size() {
    let silent = serve(|mut stream, _| drop(stream.read_to_end(&mut Vec::new())));
    let slow = serve(|mut stream, _| {
        head(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
        while stream.write_all(b"x").is_ok() {
            thread::sleep(Duration::from_millis(20));
        }
    });
    for address in [silent, slow] {
        let gateway = asking(&json!({"url": url(address), "answer_ms": 200, "largest": 1_000_000}));
        assert_eq!(told(&gateway), "failed: timeout");
    }
    let large = "x".repeat(1001);
    for framing in
        ["Content-Length: 1001\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n3e9\r\n", "Connection: close\r\n\r\n"]
    {
        let (address, _) = answering(format!("HTTP/1.1 200 OK\r\n{framing}{large}"));
        assert_eq!(told(&asking(&json!({"url": url(address)}))), "failed: the response is too large", "{framing}");
    }
    let gateway = asking(&json!({"url": url(silent), "answer_ms": 200}));
    let stats: Value = serde_json::from_slice(&gateway.engine.stats()).unwrap();
    assert_eq!(stats["buffered_bytes"], 0);
}

#[test]
fn what_is_no_response_is_none() {
    for response in ["", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", "HTTP/1.1 200 OK\r\n", "SSH-2.0\r\n\r\n"] {
        let address = serve(move |mut stream, _| {
            head(&mut stream);
            stream.write_all(response.as_bytes()).unwrap();
        });
        assert_eq!(told(&asking(&json!({"url": url(address)}))), "failed: no valid response", "{response}");
    }
    let both = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n";
    assert_eq!(told(&asking(&json!({"url": url(answering(both).0)}))), "failed: no valid response");
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_eq!(told(&asking(&json!({"url": url(closed)}))), "failed: no connection");
}

#[test]
fn a_certificate_has_to_lead_to_a_trusted_root() {
    // Another gateway, whose certificate is its own and whose routes do not know the path.
    let options = json!({"listeners": [{"address": "127.0.0.1:0", "tls": true}]});
    let server = Gateway::with(&update(1, &[]), &options);
    let asks = |trusting| json!({"url": format!("https://{}/", server.address), "trusting": trusting});
    assert_eq!(told(&asking(&asks(false))), "failed: no connection");
    let trusting = told(&asking(&asks(true)));
    assert!(trusting.starts_with("404 ") && trusting.contains("no route"), "{trusting}");
    let plain = serve(|mut stream, _| stream.write_all(OK.as_bytes()).unwrap());
    assert_eq!(told(&asking(&json!({"url": format!("https://{plain}/"), "trusting": true}))), "failed: no connection");
}

#[test]
fn other_protocols_have_a_connection_of_their_own() {
    let address = serve(|mut stream, _| {
        let mut said = [0; 4];
        stream.read_exact(&mut said).unwrap();
        stream.write_all(b"+pong").unwrap();
    });
    assert_eq!(told(&asking(&json!({"url": url(address), "raw": true, "body": "ping"}))), "+pong");
}

#[test]
fn a_client_that_leaves_ends_what_is_asked_for_it() {
    let (begun, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counted = (begun.clone(), ended.clone());
    let address = serve(move |mut stream, _| {
        head(&mut stream);
        counted.0.fetch_add(1, Ordering::SeqCst);
        let _ = stream.read_to_end(&mut Vec::new());
        counted.1.fetch_add(1, Ordering::SeqCst);
    });
    let gateway = asking(&json!({"url": url(address), "answer_ms": 60_000}));
    let mut client = std::net::TcpStream::connect(gateway.address).unwrap();
    client.write_all(GET.as_bytes()).unwrap();
    wait_for(&begun);
    drop(client);
    wait_for(&ended);
}

fn wait_for(count: &AtomicUsize) {
    for _ in 0..1000 {
        if count.load(Ordering::SeqCst) > 0 {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("it never came");
}

/// A name server with one changing address of everything.
fn name_server(zone: Arc<Mutex<HashMap<&'static str, Ipv4Addr>>>) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
            let asked = Packet::parse(&buffer[..length]).unwrap();
            let question = asked.questions[0].clone();
            let mut reply = Packet::new_reply(asked.id());
            reply.set_flags(PacketFlag::RECURSION_AVAILABLE);
            match zone.lock().unwrap().get(question.qname.to_string().as_str()) {
                None => *reply.rcode_mut() = RCODE::NameError,
                Some(address) if question.qtype == QTYPE::TYPE(TYPE::A) => {
                    let data = RData::A(A { address: address.to_bits() });
                    reply.answers.push(ResourceRecord::new(question.qname.clone(), CLASS::IN, 5, data));
                }
                Some(_) => {}
            }
            reply.questions.push(question.clone());
            socket.send_to(&reply.build_bytes_vec().unwrap(), peer).unwrap();
        }
    });
    address
}

#[test]
fn a_name_that_turns_to_a_forbidden_address_is_not_followed() {
    let (address, _) = answering("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na");
    let port = address.port();
    let reached = Arc::new(AtomicUsize::new(0));
    let counted = reached.clone();
    serve_at(&format!("127.0.0.2:{port}"), move |_, _| {
        counted.fetch_add(1, Ordering::SeqCst);
    });
    let zone = Arc::new(Mutex::new(HashMap::from([("x.test", Ipv4Addr::LOCALHOST)])));
    let server = name_server(zone.clone());
    let options = json!({"dns": {"nameservers": [server.to_string()], "search": [], "timeout_ms": 500}});
    let asks = json!({"url": format!("http://x.test:{port}/")});
    let gateway = asking_with(&asks, &options, &json!(["127.0.0.1/32"]));
    assert_eq!(told(&gateway), "200 a");
    zone.lock().unwrap().insert("x.test", Ipv4Addr::new(127, 0, 0, 2));
    gateway.engine.advance_clock(Duration::from_secs(6));
    // The old answer serves until the new one is there.
    let refused = (0..1000).any(|_| told(&gateway) == "failed: the address is not allowed");
    assert!(refused && reached.load(Ordering::SeqCst) == 0);
    let gateway = asking_with(&json!({"url": "http://gone.test/"}), &options, &json!([]));
    assert_eq!(told(&gateway), "failed: name resolution failed");
}
