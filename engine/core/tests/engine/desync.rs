//! Thousands of broken and hostile byte streams through the engine to an upstream that writes down what arrives. The
//! upstream must get what a strict reader makes of the stream, in that order, and nothing more; where the reader gives
//! up, the client must be told so and the connection must end.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::json;

use crate::strict::{self, Rest, Seen};
use crate::support::{Gateway, PATIENCE, Upstream, route, service, snapshot};

/// Streams per run, and threads that send them.
const STREAMS: u64 = 6000;
const THREADS: u64 = 4;
/// The first one. Every run sends the same streams, so that a failure can be looked at.
const SEED: u64 = 20_261_123;

/// `SplitMix64`.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    fn one_in(&mut self, odds: usize) -> bool {
        self.below(odds) == 0
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    /// Mostly one of the first few, which are sound.
    fn favour<'a>(&mut self, sound: usize, from: &[&'a str]) -> &'a str {
        if self.one_in(6) { self.pick(from) } else { self.pick(&from[..sound]) }
    }
}

const LENGTHS: &[&str] = &[
    "5",
    "0",
    "+5",
    "-5",
    "-0",
    "05",
    "5 ",
    " 5",
    "5,5",
    "5, 5",
    "0x5",
    "5.0",
    "",
    "5\t",
    "5\x0b",
    "4",
    "6",
    "1000",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999999",
    "5;",
    "\"5\"",
    "5 5",
    "5\r",
];
const CODINGS: &[&str] = &[
    "chunked",
    "Chunked",
    "CHUNKED",
    "chunked ",
    " chunked",
    "\tchunked",
    "xchunked",
    "chunked, chunked",
    "identity",
    "gzip, chunked",
    "chunked, identity",
    "chunked;a=b",
    "\"chunked\"",
    "\x0bchunked",
    "chunked\x0b",
    "chunked,",
    ",chunked",
    "cow",
    "",
    "chunk",
    "chunked\0",
    "\u{a0}chunked",
    "ch\tunked",
    "chunked\r",
];
const NAMES: &[&str] = &[
    "Content-Length",
    "content-length",
    "Transfer-Encoding",
    "TRANSFER-ENCODING",
    "Transfer-Encoding ",
    " Transfer-Encoding",
    "Transfer_Encoding",
    "Content_Length",
    "Content-Length\t",
    "Transfer\tEncoding",
    "Transfer-Encoding\0",
    "X-Transfer-Encoding",
    "Transfer-Encoding:",
    "\x0bTransfer-Encoding",
    "Content-Length\r",
    "content-length\u{a0}",
];
const BODIES: &[&str] = &[
    "0\r\n\r\n",
    "5\r\nhello\r\n0\r\n\r\n",
    "05\r\nhello\r\n0\r\n\r\n",
    "5;a=b\r\nhello\r\n0;c\r\n\r\n",
    "5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n",
    "A\r\nGET / HTTP\r\n0\r\n\r\n",
    "hello",
    "",
    "5\nhello\n0\n\n",
    "5 \r\nhello\r\n0\r\n\r\n",
    " 5\r\nhello\r\n0\r\n\r\n",
    "0x5\r\nhello\r\n0\r\n\r\n",
    "+5\r\nhello\r\n0\r\n\r\n",
    "-5\r\nhello\r\n0\r\n\r\n",
    "5;\n\r\nhello\r\n0\r\n\r\n",
    "5\r\nhello0\r\n\r\n",
    "5\r\nhelloXX0\r\n\r\n",
    "5\r\nhello\r\n0\r\nX\r\n\r\n",
    "5\r\nhello\r\n0\r\n X: 1\r\n\r\n",
    "5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n",
    "fffffffffffffffff\r\n",
    "ffffffffffffffff\r\nhello",
    "5\r\nhello\r\n00\r\n\r\n",
    "5\r\nhello\r\n0\r\nX: a\rb\r\n\r\n",
    "5\r\nhello\r\n0\r\n\r",
    "00000000000000005\r\nhello\r\n0\r\n\r\n",
    "5\r\n\r\nhello0\r\n\r\n",
    "5;a=\"\r\n\"\r\nhello\r\n0\r\n\r\n",
    "5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "5\r\r\nhello\r\n0\r\n\r\n",
];
const EXTRAS: &[&str] = &[
    "",
    "Connection: keep-alive\r\n",
    "Connection: Content-Length\r\n",
    "Connection: Transfer-Encoding\r\n",
    "Connection: Host, X-A\r\nX-A: 1\r\n",
    "Expect: 100-continue\r\n",
    "Connection: Upgrade\r\nUpgrade: websocket\r\n",
    "TE: trailers\r\nConnection: TE\r\n",
    "Content-Type: application/json\r\n",
    "X:\r\n",
    "Connection: close\r\n",
    "Expect: 200-ok\r\n",
    "X: a\r\n b\r\n",
    "X: a\r\n\tb\r\n",
    "X: a\nY: b\r\n",
    "X: a\rb\r\n",
    "X: a\0b\r\n",
    "X\r\n",
    ": x\r\n",
    "X : y\r\n",
    "Host: b\r\n",
    "host: a\r\n",
    "Host : a\r\n",
    "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n",
    "X-Long: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n",
    "X: \u{ff}\r\n",
    "Content-Encoding: gzip\r\n",
    "X-HTTP-Method-Override: DELETE\r\n",
    "Proxy-Connection: close\r\n",
];
const LINES: &[&str] = &[
    "POST {} HTTP/1.1",
    "POST {} HTTP/1.1",
    "GET {} HTTP/1.1",
    "HEAD {} HTTP/1.1",
    "OPTIONS {} HTTP/1.1",
    "POST http://a{} HTTP/1.1",
    "get {} HTTP/1.1",
    "BREW {}?x=1?y HTTP/1.1",
    "PUT {} HTTP/1.0",
    "GET {} HTTP/1.0",
    "GET HTTP://A{} HTTP/1.1",
    "GET http://b{} HTTP/1.1",
    "GET http://a@a{} HTTP/1.1",
    "GET  {} HTTP/1.1",
    "GET {}  HTTP/1.1",
    " GET {} HTTP/1.1",
    "GET {} HTTP/1.1 ",
    "GET\t{} HTTP/1.1",
    "GET {} HTTP/1.2",
    "GET {} HTTP/2.0",
    "GET {} http/1.1",
    "GET {}",
    "GET {} HTTP/1.1\r",
    "GET {} HTTP/01.1",
    "G{}T / HTTP/1.1",
    "CONNECT {} HTTP/1.1",
    "TRACE {} HTTP/1.1",
    "GET * HTTP/1.1",
    "GET {}#x HTTP/1.1",
    "GET {}\0 HTTP/1.1",
    "PRI {} HTTP/2.0",
];
const HOSTS: &[&str] = &[
    "Host: a\r\n",
    "Host: a\r\n",
    "Host: a\r\n",
    "Host: a\r\n",
    "Host: a\r\n",
    "HOST:a\r\n",
    "",
    "Host:\r\n",
    "Host: a b\r\n",
    "Host: a:80\r\n",
    "Host: a:x\r\n",
];
const NASTY: &[u8] = b"\r\n\0 \t:;,\x0b\x7f\x80a05-+\"/?";

/// One request that may be broken in any of its parts.
fn request(dice: &mut Dice, path: &str) -> Vec<u8> {
    let mut text = dice.favour(8, LINES).replace("{}", path) + "\r\n" + dice.favour(1, HOSTS);
    let extra = dice.favour(10, EXTRAS);
    let early = dice.one_in(2);
    if early {
        text += extra;
    }
    let body = match dice.below(8) {
        0 => "",
        1..3 => {
            let body = dice.pick(BODIES);
            write!(text, "Content-Length: {}\r\n", body.len()).unwrap();
            body
        }
        3..5 => {
            text += "Transfer-Encoding: chunked\r\n";
            dice.favour(6, BODIES)
        }
        5 => {
            write!(text, "Content-Length: {}\r\n", dice.pick(LENGTHS)).unwrap();
            dice.pick(BODIES)
        }
        6 => {
            write!(text, "Transfer-Encoding: {}\r\n", dice.pick(CODINGS)).unwrap();
            dice.pick(BODIES)
        }
        _ => {
            for _ in 0..2 {
                let value = if dice.one_in(2) { dice.pick(CODINGS) } else { dice.pick(LENGTHS) };
                write!(text, "{}: {value}\r\n", dice.pick(NAMES)).unwrap();
            }
            dice.pick(BODIES)
        }
    };
    if !early {
        text += extra;
    }
    text += "\r\n";
    text += body;
    // A request within what may or may not be the body of the one before.
    if dice.one_in(4) {
        text += "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    }
    text.into_bytes()
}

fn mutate(dice: &mut Dice, bytes: &mut Vec<u8>) {
    let at = dice.below(bytes.len());
    let nasty = NASTY[dice.below(NASTY.len())];
    match dice.below(6) {
        0 => bytes.insert(at, nasty),
        1 => bytes[at] = nasty,
        2 => drop(bytes.remove(at)),
        3 => bytes[at] ^= 1 << dice.below(8),
        4 => {
            let end = (at + 1 + dice.below(20)).min(bytes.len());
            let copy = bytes[at..end].to_vec();
            bytes.splice(at..at, copy);
        }
        _ => {
            let end = (at + 1 + dice.below(4)).min(bytes.len());
            bytes.drain(at..end);
        }
    }
}

/// A connection's worth of requests; the last one is sound and asks for the end.
fn stream(number: u64) -> Vec<u8> {
    let mut dice = Dice(SEED.wrapping_add(number.wrapping_mul(0x1234_5678_9abc_def1)));
    let prefix = if dice.one_in(3) { "/whole/" } else { "/" };
    let mut bytes = Vec::new();
    for index in 0..=dice.below(3) {
        bytes.extend(request(&mut dice, &format!("{prefix}r{index}")));
    }
    if dice.one_in(3) {
        for _ in 0..=dice.below(2) {
            mutate(&mut dice, &mut bytes);
        }
    }
    bytes.extend_from_slice(b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    bytes
}

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
    let mut configuration = snapshot(1, &[service(upstream.address)], &[route("/"), whole]);
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
