//! What reads untrusted bytes, each as a function of bytes that panics when something does not hold.
//!
//! The fuzz targets call these with whatever the fuzzer comes up with; the engine's own tests call them with the seeds,
//! so that they go on compiling and holding.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};

use sluice_engine_core::config::store::Store;
use sluice_engine_core::expr::{Budget, Key, Sandbox, Scope, Template, Value, Variables};
use sluice_engine_core::http1::body::{Decoder, Step, write_chunk, write_last_chunk};
use sluice_engine_core::http1::head::{Framing, Malformed, find_end, find_end_lenient};
use sluice_engine_core::http1::request::{self, RequestFraming};
use sluice_engine_core::http1::response::{self, ResponseFraming};
use sluice_engine_core::message::{Headers, Request, RequestHead, ResponseHead, Scheme, Version};
use sluice_engine_core::plugins::request_transformer::transform;
use sluice_engine_core::router::{normalise, upstream_path};

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
    upstream_path(&mut sent, None, &normal, None, false);
    assert!(sent.iter().all(|byte| (0x21..0x7f).contains(byte) && *byte != b'?'), "{sent:?}");
    let again = normalise(&sent).map(Cow::into_owned);
    assert_eq!(again.as_deref(), Ok(&*normal), "the upstream would read another path");
    for matched in 0..normal.len().min(64) {
        upstream_path(&mut sent, Some("/service"), &normal, Some(matched), true);
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
    let store = Store::new(1, std::sync::Arc::default());
    let report = store.apply(data);
    let again = store.apply(data);
    assert!(serde_json::to_vec(&report).is_ok() && serde_json::to_vec(&again).is_ok());
}
