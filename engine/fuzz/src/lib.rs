//! What reads untrusted bytes, each as a function of bytes that panics when something does not hold.
//!
//! The fuzz targets call these with whatever the fuzzer comes up with; the engine's own tests call them with the seeds,
//! so that they go on compiling and holding.

use std::borrow::Cow;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use sluice_engine_core::config::store::Store;
use sluice_engine_core::expr::{Budget, Key, Sandbox, Scope, Template, Value, Variables};
use sluice_engine_core::http1::body::{Decoder, Step, write_chunk, write_last_chunk};
use sluice_engine_core::http1::head::{Framing, Malformed, find_end, find_end_lenient};
use sluice_engine_core::http1::request::{self, RequestFraming};
use sluice_engine_core::http1::response::{self, ResponseFraming};
use sluice_engine_core::message::{Headers, Request, RequestHead, ResponseHead, Scheme, Version};
use sluice_engine_core::net::proxy_protocol;
use sluice_engine_core::plugins::request_transformer::transform;
use sluice_engine_core::router::{Flavor, Join, MatchInput, RouteSpec, Router, normalise, upstream_path};
use sluice_engine_core::streams::hello;
use tokio::io::{AsyncRead, ReadBuf};

/// A target and its name; seeds lie in the folder of that name.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[
    ("request_head", request_head),
    ("response_head", response_head),
    ("chunked", chunked),
    ("paths", paths),
    ("templates", templates),
    ("bodies", bodies),
    ("updates", updates),
    ("expressions", expressions),
    ("client_hello", client_hello),
    ("proxy_protocol", proxy_protocol),
];

/// Request heads: what is accepted means the same when it is written out again.
pub fn request_head(data: &[u8]) {
    let mut scanned = 0;
    let Ok(Some(end)) = find_end(data, &mut scanned) else { return };
    let Some((head, framing, host)) = read_request(&data[..end]) else { return };
    assert!(head.path().first() == Some(&b'/'), "only origin forms are left");
    let mut text = [head.method(), b" ", head.path()].concat();
    if let Some(query) = head.query() {
        text.extend([b"?", query].concat());
    }
    text.extend_from_slice(if head.version == Version::Http10 { b" HTTP/1.0\r\n" } else { b" HTTP/1.1\r\n" });
    for (name, value) in head.headers.iter() {
        assert!(!value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)), "a value that breaks its line");
        text.extend([name, b": ", value, b"\r\n"].concat());
    }
    if framing.framing == Framing::Chunked {
        text.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    // What `Connection` named is gone, even if it was the length or the host: the gateway writes both anew.
    if let Framing::Length(length) = framing.framing
        && !head.headers.contains("content-length")
    {
        text.extend(format!("Content-Length: {length}\r\n").into_bytes());
    }
    if !host.is_empty() && !head.headers.contains("host") {
        text.extend(format!("Host: {host}\r\n").into_bytes());
    }
    text.extend_from_slice(b"\r\n");
    let Some((again, reframed, rehost)) = read_request(&text) else {
        panic!("refuses its own head: {:?}", String::from_utf8_lossy(&text));
    };
    assert_eq!((head.method(), head.path(), head.query()), (again.method(), again.path(), again.query()));
    assert_eq!((framing.framing, host), (reframed.framing, rehost));
    assert!(head.headers.iter().eq(again.headers.iter().take(head.headers.len())), "other headers");
}

fn read_request(bytes: &[u8]) -> Option<(RequestHead, RequestFraming, String)> {
    let (mut head, mut framing, mut host) = Default::default();
    request::parse(bytes, &mut head, &mut framing, &mut host).ok()?;
    Some((head, framing, host))
}

/// Response heads: finding their end in pieces and at once is the same, and reading them has no surprises.
pub fn response_head(data: &[u8]) {
    let Some((flags, data)) = data.split_first() else { return };
    let (mut scanned, mut piecewise) = (0, None);
    for length in 0..=data.len().min(4096) {
        piecewise = piecewise.or_else(|| find_end_lenient(&data[..length], &mut scanned));
    }
    let end = find_end_lenient(&data[..data.len().min(4096)], &mut 0);
    assert_eq!(end, piecewise);
    let Some(end) = end else { return };
    let (mut head, mut framing): (ResponseHead, ResponseFraming) = Default::default();
    if response::parse(&data[..end], flags & 1 == 1, &mut head, &mut framing).is_err() {
        return;
    }
    assert!((100..=999).contains(&head.status));
    assert!(!head.reason.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)), "a reason that breaks its line");
    for (name, value) in head.headers.iter() {
        assert!(!name.is_empty() && !value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
    }
    let bodiless = flags & 1 == 1 || head.status < 200 || matches!(head.status, 204 | 304);
    assert!(!bodiless || framing.framing == Framing::None);
    assert!(framing.framing != Framing::UntilClose || !framing.keep_alive);
}

/// The chunked coding: in pieces of any size as at once, and what is decoded survives being coded again.
pub fn chunked(data: &[u8]) {
    let Some((piece, data)) = data.split_first() else { return };
    let whole = decode(data, data.len());
    assert_eq!(whole, decode(data, usize::from(*piece) + 1));
    let Ok(Some((body, trailers, _))) = whole else { return };
    let mut coded = Vec::new();
    if !body.is_empty() {
        write_chunk(&mut coded, &body);
    }
    write_last_chunk(&mut coded, &trailers);
    assert_eq!(decode(&coded, 7), Ok(Some((body, trailers, coded.len()))));
}

type Decoded = Option<(Vec<u8>, Vec<u8>, usize)>;

/// Body, trailers and how much of the input they took; `None` if more is needed.
fn decode(input: &[u8], piece: usize) -> Result<Decoded, Malformed> {
    let mut decoder = Decoder::new(Framing::Chunked);
    let (mut body, mut start, mut end) = (Vec::new(), 0, 0);
    loop {
        match decoder.step(&input[start..end])? {
            Step::More(used) => {
                start += used;
                assert_eq!(start, end, "more is asked for before all is used");
                if end == input.len() {
                    return Ok(None);
                }
                end = (end + piece).min(input.len());
            }
            Step::Data { skip, len } => {
                assert!(len > 0);
                body.extend_from_slice(&input[start + skip..start + skip + len]);
                start += skip + len;
            }
            Step::End(used) => return Ok(Some((body, decoder.trailers()?, start + used))),
        }
    }
}

/// Paths: an upstream that normalises what it gets arrives where the gateway's own reading did.
pub fn paths(data: &[u8]) {
    // The reader of the head lets nothing else through, and has cut the query off.
    if data.iter().any(|byte| *byte <= b' ' || matches!(byte, b'?' | b'#' | 0x7f)) {
        return;
    }
    let Ok(normal) = normalise(data) else { return };
    assert!(normal.first() == Some(&b'/') && !normal.contains(&0));
    let segments = || normal.split(|byte| *byte == b'/');
    assert!(!segments().any(|segment| matches!(segment, b"." | b"..")), "a dot segment is left");
    assert!(!normal.windows(2).any(|pair| pair == b"//"), "a double slash is left");
    let mut sent = Vec::new();
    upstream_path(&mut sent, None, &normal, None, Join::default());
    assert!(sent.iter().all(|byte| (0x21..0x7f).contains(byte) && *byte != b'?'), "{sent:?}");
    let again = normalise(&sent).map(Cow::into_owned);
    assert_eq!(again.as_deref(), Ok(&*normal), "the upstream would read another path");
    for matched in 0..normal.len().min(64) {
        upstream_path(&mut sent, Some("/service"), &normal, Some(matched), Join { strip: true, ..Join::default() });
        let kept = normalise(&sent).map(Cow::into_owned).unwrap_or_default();
        assert!(kept == b"/service" || kept.starts_with(b"/service/"), "{sent:?} climbs out of the service's path");
    }
}

struct Nothing;

impl Variables for Nothing {
    fn get<'a>(&'a self, _: Scope, key: Key<'_>) -> Value<'a> {
        match key {
            Key::Name([]) => Value::Nil,
            _ => Value::Str(Cow::Borrowed(b"a,b;c=1 %d .-")),
        }
    }
}

/// Template expressions: they end, whatever they are.
pub fn templates(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(template) = Template::compile(text, Sandbox::Standard) else { return };
    let mut out = Vec::new();
    let _ = template.render(&Nothing, &mut Budget::new(), &mut out);
    assert!(out.len() <= (1 << 20) + text.len());
}

/// Bodies as the request transformer reads them: forms, JSON, multipart.
pub fn bodies(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else { return };
    let media = match kind % 4 {
        0 => "application/x-www-form-urlencoded",
        1 => "application/json",
        2 => "multipart/form-data; boundary=x",
        _ => "multipart/form-data; boundary=\"a b\"",
    };
    let config = serde_json::json!({
        "remove": {"body": ["gone"], "querystring": ["q"]}, "rename": {"body": ["old:new"]},
        "replace": {"body": ["there:1"]}, "add": {"body": ["more:2"]}, "append": {"body": ["list:3"]},
    });
    let mut head = RequestHead::new(b"POST", b"/", Some(&b"q=1&x=2"[..]), Version::Http11);
    let mut headers = Headers::new();
    assert!(headers.append("Content-Type", media).is_ok());
    head.headers = headers;
    let mut request = Request::new(head, IpAddr::V4(Ipv4Addr::LOCALHOST), Scheme::Http, "a".to_owned());
    request.set_body(data.to_vec());
    transform(config, &mut request);
    assert!(request.body().is_some());
}

/// Updates of the configuration, and what was applied already stays.
pub fn updates(data: &[u8]) {
    let store = Store::new(1, Arc::default());
    let report = store.apply(data);
    let again = store.apply(data);
    assert!(serde_json::to_vec(&report).is_ok() && serde_json::to_vec(&again).is_ok());
}

/// Routing expressions: an expression decides the same alone as among others, whatever index it is found by.
pub fn expressions(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.split('\n');
    let Some(router) = lines.next().and_then(|text| compiled(&[text])) else { return };
    let Some(text) = text.split('\n').next() else { return };
    let crowded =
        ["http.path ^= \"/a\"", "http.host == \"a\"", "any(http.headers.x) == \"1\"", "http.path ~ \"^/[a-z]+/b\""];
    let others: Vec<&str> = std::iter::once(text).chain(crowded).collect();
    let Some(among) = compiled(&others) else { panic!("an expression that is refused beside others") };
    let path = lines.next().unwrap_or("/");
    let Ok(path) = normalise(path.as_bytes()) else { return };
    let (host, query) = (lines.next().unwrap_or("a"), lines.next());
    let mut headers = Headers::new();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        let _ = headers.append(name, value);
    }
    let address = SocketAddr::from(([127, 0, 0, 1], 80));
    let input = MatchInput {
        method: b"GET",
        host,
        port: 80,
        path: &path,
        headers: &headers,
        sni: None,
        scheme: Scheme::Http,
        query: query.map(str::as_bytes),
        source: address,
        destination: address,
    };
    // Where one of the searches costs too much, there is nothing to compare.
    let (Ok(alone), Ok(found)) = (router.find(&input), among.find(&input)) else { return };
    // The first of them outranks the others.
    assert_eq!(alone, found.filter(|found| found.route == 0));
    if let Some(matched) = alone.and_then(|found| found.matched) {
        assert!(
            std::str::from_utf8(&path).is_ok_and(|path| path.is_char_boundary(matched)),
            "a part of a letter is stripped"
        );
    }
}

fn compiled(texts: &[&str]) -> Option<Router> {
    let routes = texts.iter().enumerate().map(|(index, text)| {
        let route = serde_json::json!({
            "id": format!("r{index}"), "protocols": ["http"], "expression": text, "priority": 10 - index, "preserve_host": false,
            "https_redirect_status_code": 426, "request_buffering": true, "response_buffering": true,
        });
        serde_json::from_value(route).map(Arc::new)
    });
    let routes: Vec<Arc<RouteSpec>> = routes.collect::<Result<_, _>>().ok()?;
    Router::compile(Flavor::default(), &routes).ok()
}

/// First messages of TLS handshakes: in pieces of any size as at once, and nothing that came is lost.
pub fn client_hello(data: &[u8]) {
    let Some((piece, data)) = data.split_first() else { return };
    let whole = said_hello(data, data.len().max(1));
    let pieces = said_hello(data, usize::from(*piece) + 1);
    match (whole, pieces) {
        (Some((names, bytes)), Some((same, fewer))) => {
            assert_eq!(names, same);
            assert_eq!(bytes, data);
            assert!(data.starts_with(&fewer));
        }
        // Larger than a first message may be, or no message: at once it may be seen later, but never otherwise.
        (Some(_), None) => assert!(data.len() > 16 * 1024, "read at once only"),
        _ => {}
    }
}

/// What balancers say first: the same in whatever pieces it comes, and not a byte more is taken than belongs to it.
pub fn proxy_protocol(data: &[u8]) {
    let Some((piece, data)) = data.split_first() else { return };
    let whole = told(data, data.len().max(1));
    assert_eq!(whole, told(data, usize::from(*piece) + 1));
    let Some((address, taken)) = whole else { return };
    let header = &data[..taken];
    if header.starts_with(b"PROXY ") {
        assert!(header.ends_with(b"\r\n") && taken <= 107, "no line");
        assert!(!header[..taken - 1].contains(&b'\n'), "more than a line");
        assert!(address.is_some() || header.starts_with(b"PROXY UNKNOWN"), "an address is missing");
    } else {
        assert_eq!(taken, 16 + usize::from(header[14]) * 256 + usize::from(header[15]));
    }
}

/// The client's address if there is one, and how much was read for it; `None` if it is refused or cut off.
fn told(data: &[u8], piece: usize) -> Option<(Option<IpAddr>, usize)> {
    let mut stream = Pieces { data, piece };
    let address = {
        let mut reading = pin!(proxy_protocol::read(&mut stream));
        match reading.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(address) => address.ok()?,
            Poll::Pending => panic!("waits for what is there"),
        }
    };
    Some((address, data.len() - stream.data.len()))
}

/// Bytes that come in pieces.
struct Pieces<'a> {
    data: &'a [u8],
    piece: usize,
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let length = self.data.len().min(self.piece).min(buf.remaining());
        let (now, later) = self.data.split_at(length);
        buf.put_slice(now);
        self.data = later;
        Poll::Ready(Ok(()))
    }
}

/// Name and protocols that a client asks for.
type Asked = (Option<String>, Vec<Vec<u8>>);

/// What a client asks for, and all that was taken from it until then.
fn said_hello(data: &[u8], piece: usize) -> Option<(Asked, Vec<u8>)> {
    let mut reader = hello::Reader::default();
    for piece in data.chunks(piece) {
        reader.bytes.extend_from_slice(piece);
        if let Some(hello) = reader.look().ok()? {
            let said = hello.accepted.client_hello();
            let protocols = said.alpn().into_iter().flatten().map(<[u8]>::to_vec).collect();
            return Some(((said.server_name().map(str::to_owned), protocols), hello.bytes));
        }
    }
    None
}
