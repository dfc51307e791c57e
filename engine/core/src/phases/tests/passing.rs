//! Bodies that plugins see as they pass.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use super::gateway::{CHUNKED, GET, Gateway, OK, POST, head, probe, serve, update};
use crate::phases::probe::notes;

fn passing(journal: &str, label: &str, phases: &[&str], how: &str) -> Value {
    let name = if label == "a" { "probe-a" } else { "probe-b" };
    probe(name, &json!({"journal": journal, "label": label, "phases": phases, "passing": how}), &json!({}))
}

const RESPONSE: &[&str] = &["response_passage"];
const REQUEST: &[&str] = &["request_passage"];
const TRAILED: &str =
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\nok\r\n0\r\nX-T: 1\r\n\r\n";

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

#[test]
fn watching_a_response_leaves_it_as_it_is() {
    for (journal, upstream, framing) in
        [("watch", OK, "content-length: 2\r\n"), ("watch-chunked", CHUNKED, "transfer-encoding: chunked\r\n")]
    {
        let gateway = Gateway::new(upstream, &[passing(journal, "a", &["response_passage", "log"], "watch")]);
        let answer = gateway.ask(GET);
        assert!(answer.contains(framing) && answer.contains("x-passing: a\r\n"), "{answer}");
        assert!(!answer.contains("content-length: 1\r\n"), "{answer}");
        assert!(["ok", "1\r\no\r\n1\r\nk\r\n0\r\n\r\n"].contains(&body(&answer)), "{answer}");
        drop(gateway);
        assert_eq!(notes(journal), ["a saw 2 bytes, true", "a log 200 2 bytes"]);
    }
}

#[test]
fn a_changed_response_is_sent_in_chunks() {
    let gateway = Gateway::new(OK, &[passing("change", "a", &["response_passage", "log"], "hold")]);
    let answer = gateway.ask(GET);
    assert!(answer.contains("transfer-encoding: chunked\r\n") && !answer.contains("content-length"), "{answer}");
    assert_eq!(body(&answer), "6\r\nheld 2\r\n0\r\n\r\n");
    let answer = gateway.ask(&GET.replace("HTTP/1.1", "HTTP/1.0"));
    assert!(!answer.contains("transfer-encoding") && !answer.contains("content-length"), "{answer}");
    assert_eq!(body(&answer), "held 2");
    let answer = gateway.ask(&GET.replace("GET", "HEAD"));
    assert!(answer.contains("x-passing: a\r\n") && !answer.contains("content-length"), "{answer}");
    assert_eq!(body(&answer), "");
    drop(gateway);
    assert_eq!(notes("change"), ["a log 200 6 bytes", "a log 200 6 bytes", "a log 200 0 bytes"]);
}

#[test]
fn several_plugins_take_turns_and_trailers_follow() {
    let plugins = [passing("turns", "a", RESPONSE, "hold"), passing("turns", "b", RESPONSE, "upper")];
    let gateway = Gateway::new(TRAILED, &plugins);
    let with_trailers = GET.replace("Connection: close", "Connection: close, TE\r\nTE: trailers");
    let mut stream = TcpStream::connect(gateway.address).unwrap();
    stream.write_all(with_trailers.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(body(&answer), "e\r\nHELD 2 X-T=1\r\n0\r\nX-T: 1\r\nx-held: 2\r\n\r\n".replace("e\r\n", "c\r\n"));
    assert!(gateway.ask(GET).ends_with("0\r\n\r\n"), "whoever takes no trailers gets none");
}

#[test]
fn bodies_in_memory_pass_too() {
    let whole = passing("memory", "a", &["response_body", "response_passage"], "upper");
    let answer = Gateway::new(OK, &[whole]).ask(GET);
    assert!(answer.contains("content-length: 2\r\n"), "{answer}");
    let own = probe(
        "probe-a",
        &json!({"journal": "", "label": "a", "phases": ["access", "response_passage"], "status": 403, "passing": "hold"}),
        &json!({}),
    );
    let answer = Gateway::new(OK, &[own]).ask(GET);
    let text = body(&answer);
    assert!(text.starts_with("held ") && answer.contains(&format!("content-length: {}\r\n", text.len())), "{answer}");
}

#[test]
fn what_is_unfit_or_swells_breaks_off() {
    for how in ["refuse", "swell"] {
        let gateway = Gateway::new(OK, &[passing("", "a", RESPONSE, how)]);
        let answer = gateway.ask(GET);
        assert!(!answer.contains("0\r\n\r\n"), "{answer}");
        let gateway = Gateway::new(OK, &[passing("", "a", REQUEST, how)]);
        assert!(gateway.ask(POST).starts_with("http/1.1 400"));
        assert!(gateway.ask(GET).starts_with("http/1.1 200"), "there is no body to be unfit");
        // In a body that streams it is found out later.
        let chunked =
            "POST /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";
        let mut stream = TcpStream::connect(gateway.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(chunked.as_bytes()).unwrap();
        stream.write_all(b"0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
}

/// An upstream that answers with the request as it came, up to `end`.
fn echo(end: &'static str) -> u16 {
    let address = serve(move |mut stream, _| {
        let mut text = head(&mut stream);
        let mut byte = [0];
        while !text.ends_with(end) && stream.read(&mut byte).is_ok_and(|count| count > 0) {
            text.push(char::from(byte[0]));
        }
        let answer = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{text}", text.len());
        let _ = stream.write_all(answer.as_bytes());
    });
    address.port()
}

#[test]
fn requests_in_memory_keep_a_length_and_streams_get_chunks() {
    let plugins = |how: &str| [passing("request", "a", REQUEST, how)];
    let gateway = Gateway::with(&update(echo("held 3"), &plugins("hold")), &json!({}));
    let answer = gateway.ask(POST);
    assert!(answer.contains("x-passing: a\r\n") && answer.ends_with("held 3"), "{answer}");
    assert!(answer.contains("content-length: 6\r\n") && !answer.contains("transfer-encoding"), "{answer}");

    let length = 300 * 1024;
    let large = format!(
        "POST /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{}",
        "x".repeat(length)
    );
    let gateway = Gateway::with(&update(echo("0\r\nx-held: 307200\r\n\r\n"), &plugins("hold")), &json!({}));
    let answer = gateway.ask(&large);
    assert!(answer.contains("transfer-encoding: chunked\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nb\r\nheld 307200\r\n0\r\nx-held: 307200\r\n\r\n"), "{answer}");

    let gateway = Gateway::with(&update(echo("xxx!"), &plugins("watch")), &json!({}));
    let mut watched = large.clone();
    watched.replace_range(watched.len() - 1.., "!");
    let answer = gateway.ask(&watched);
    assert!(answer.contains(&format!("content-length: {length}\r\n")), "{}", &answer[..500]);
    drop(gateway);
    assert_eq!(notes("request").last().unwrap(), "a saw 307200 bytes, true");
}

#[test]
fn a_slow_reader_slows_the_source_down() {
    // Far more than all buffers on the way hold, sockets included, would come if nobody waited.
    let sent = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = sent.clone();
    let upstream = serve(move |mut stream, _| {
        head(&mut stream);
        let total = 64 * 1024 * 1024;
        let _ = stream
            .write_all(format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {total}\r\n\r\n").as_bytes());
        let piece = vec![b'x'; 64 * 1024];
        for _ in 0..total / piece.len() {
            if stream.write_all(&piece).is_err() {
                return;
            }
            counted.fetch_add(piece.len(), std::sync::atomic::Ordering::SeqCst);
        }
    });
    let gateway = Gateway::with(&update(upstream.port(), &[passing("", "a", RESPONSE, "upper")]), &json!({}));
    let mut stream = TcpStream::connect(gateway.address).unwrap();
    stream.write_all(GET.as_bytes()).unwrap();
    let mut before = usize::MAX;
    loop {
        std::thread::sleep(Duration::from_millis(100));
        let now = sent.load(std::sync::atomic::Ordering::SeqCst);
        if now == before && now > 0 {
            break;
        }
        before = now;
    }
    assert!(before < 60 * 1024 * 1024, "{before}");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert_eq!(memchr::memchr_iter(b'X', &rest).count(), 64 * 1024 * 1024);
    assert!(rest.ends_with(b"0\r\n\r\n"));
}
