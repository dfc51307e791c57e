//! Thousands of broken and hostile byte streams through the engine to an upstream that writes down what arrives. The
//! upstream must get what a strict reader makes of the stream, in that order, and nothing more; where the reader gives
//! up, the client must be told so and the connection must end.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::json;

use crate::hostile::stream;
use crate::strict::{self, Rest, Seen};
use crate::support::{Gateway, PATIENCE, Upstream, route, service, snapshot};

/// Streams per run, and threads that send them.
const STREAMS: u64 = 6000;
const THREADS: u64 = 4;

/// Writes down every complete request in the order of arrival, and whatever is none.
fn recorder(record: &Arc<Mutex<Vec<Seen>>>, broken: &Arc<Mutex<Vec<String>>>) -> Upstream {
    let (record, broken) = (record.clone(), broken.clone());
    Upstream::new(move |mut client, _| {
        let (mut bytes, mut piece, mut answered) = (Vec::new(), [0; 4096], 0);
        while let Ok(count @ 1..) = client.stream.read(&mut piece) {
            bytes.extend_from_slice(&piece[..count]);
            let (seen, rest) = strict::read(&bytes);
            if rest == Rest::Garbage {
                broken.lock().unwrap().push(String::from_utf8_lossy(&bytes).into_owned());
                return;
            }
            for request in seen.iter().skip(answered) {
                record.lock().unwrap().push(request.clone());
                let seen = String::from_utf8_lossy(&request.target).into_owned();
                client.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Seen: {seen}\r\n\r\n"));
            }
            answered = seen.len();
        }
    })
}

/// What the client got: the `X-Seen` of each 200, and the status of the answer that was none.
#[derive(Debug, Default)]
struct Got {
    seen: Vec<String>,
    refusal: Option<String>,
}

/// Sends a stream and reads until the engine closes. `complete` is how many requests to wait for before the client
/// says that nothing more comes, if the last one is cut short.
fn play(gateway: &Gateway, bytes: &[u8], pieces: usize, cut_after: Option<usize>) -> Result<Got, String> {
    let mut socket = TcpStream::connect(gateway.address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_nodelay(true).unwrap();
    for piece in bytes.chunks(bytes.len().div_ceil(pieces)) {
        // The engine may have refused the beginning already.
        if socket.write_all(piece).is_err() {
            break;
        }
    }
    let (mut text, mut piece, mut shut) = (Vec::new(), [0; 4096], false);
    loop {
        let got = responses(&text)?;
        if !shut && cut_after.is_some_and(|count| got.seen.len() >= count) {
            shut = true;
            let _ = socket.shutdown(Shutdown::Write);
        }
        match socket.read(&mut piece) {
            Ok(0) => return Ok(got),
            Ok(count) => text.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return Ok(got),
            Err(error) => return Err(format!("{error} after {:?}", String::from_utf8_lossy(&text))),
        }
    }
}

fn responses(text: &[u8]) -> Result<Got, String> {
    let mut got = Got::default();
    let text = String::from_utf8_lossy(text);
    let mut rest = &text[..];
    while let Some(end) = rest.find("\r\n\r\n") {
        let head = &rest[..end];
        rest = &rest[end + 4..];
        if head.starts_with("HTTP/1.1 100 ") {
            continue;
        }
        if got.refusal.is_some() {
            return Err(format!("an answer after the last one: {head}"));
        }
        if head.starts_with("HTTP/1.1 200 ") {
            let seen = head.lines().find_map(|line| line.strip_prefix("X-Seen: "));
            got.seen.push(seen.unwrap_or_default().to_owned());
        } else {
            got.refusal = Some(head.to_owned());
            return Ok(got);
        }
    }
    Ok(got)
}

/// Whether the engine sends a path on as it came.
fn is_plain(target: &[u8]) -> bool {
    let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
    target.iter().all(|byte| byte.is_ascii_alphanumeric() || b"/?=".contains(byte))
        && !path.windows(2).any(|pair| pair == b"//")
}

fn judge(bytes: &[u8], got: &Got, arrived: &[Seen]) -> Result<(), String> {
    let (expected, rest) = strict::read(bytes);
    if arrived.len() > expected.len() {
        return Err(format!("the upstream got {arrived:?}, a strict reader sees {expected:?}"));
    }
    for ((arrived, expected), seen) in arrived.iter().zip(&expected).zip(&got.seen) {
        let same = arrived.method == expected.method && arrived.body == expected.body;
        if !same || (is_plain(&expected.target) && arrived.target != expected.target) {
            return Err(format!("the upstream got {arrived:?} instead of {expected:?}"));
        }
        if seen.as_bytes() != arrived.target {
            return Err(format!("the client got the answer for {seen}, not for {arrived:?}"));
        }
    }
    let refused = got.refusal.as_ref().is_some_and(|head| {
        let status = &head["HTTP/1.1 ".len()..][..3];
        matches!(status, "400" | "405") && head.to_ascii_lowercase().contains("\r\nconnection: close")
    });
    if got.refusal.is_some() && !refused {
        return Err(format!("an odd answer: {:?}", got.refusal));
    }
    let answered = got.seen.len() == arrived.len();
    let complete = arrived.len() == expected.len();
    let right = match rest {
        _ if !answered => false,
        Rest::Garbage => refused,
        // How much of a beginning is needed to tell that it will never be a request is the reader's own affair.
        Rest::Part => complete || refused,
        Rest::Nothing | Rest::Closed => (complete && !refused) || (!complete && refused),
    };
    if right {
        return Ok(());
    }
    Err(format!("the client got {got:?}, the upstream {arrived:?}; a strict reader sees {expected:?}, then {rest:?}"))
}

fn run(thread: u64) -> (Vec<String>, usize) {
    let (record, broken) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
    let upstream = recorder(&record, &broken);
    let mut whole = route("/whole/");
    whole["id"] = json!("whole");
    whole["strip_path"] = json!(false);
    let mut patient = service(upstream.address);
    // A request that is sent again because of a busy machine would arrive twice.
    patient["read_timeout"] = json!(60_000);
    let mut configuration = snapshot(1, &[patient], &[route("/"), whole]);
    // Has bodies of this route read into memory first, and changes none of them.
    configuration["entities"]["plugins"] = json!([{
        "id": "p", "name": "request-transformer", "config": {"remove": {"body": ["none"]}}, "enabled": true,
        "protocols": ["http"], "service": null, "route": {"id": "whole"}, "consumer": null,
    }]);
    let gateway = Gateway::with(&configuration);
    let (mut wrong, mut understood) = (Vec::new(), 0);
    for number in (thread..STREAMS).step_by(usize::try_from(THREADS).unwrap()) {
        let bytes = stream(number);
        let (expected, rest) = strict::read(&bytes);
        let cut_after = (rest == Rest::Part).then_some(expected.len());
        let pieces = 1 + usize::try_from(number % 7).unwrap() / 4 * 3;
        let verdict = play(&gateway, &bytes, pieces, cut_after).and_then(|got| {
            let arrived = std::mem::take(&mut *record.lock().unwrap());
            understood += arrived.len();
            judge(&bytes, &got, &arrived)
        });
        if let Err(problem) = verdict {
            wrong.push(format!("stream {number}: {problem}\n  {:?}", String::from_utf8_lossy(&bytes)));
            record.lock().unwrap().clear();
        }
    }
    wrong.extend(broken.lock().unwrap().iter().map(|bytes| format!("the upstream got no request: {bytes:?}")));
    (wrong, understood)
}

#[test]
fn the_upstream_sees_what_a_strict_reader_sees() {
    let threads: Vec<_> = (0..THREADS).map(|thread| thread::spawn(move || run(thread))).collect();
    let (mut wrong, mut understood) = (Vec::new(), 0);
    for thread in threads {
        let (problems, count) = thread.join().unwrap();
        wrong.extend(problems);
        understood += count;
    }
    assert!(wrong.is_empty(), "{} streams:\n{}", wrong.len(), wrong[..wrong.len().min(8)].join("\n"));
    // Streams that are all refused at once would show nothing.
    assert!(understood > usize::try_from(STREAMS).unwrap() / 2, "only {understood} requests were sound");
}
