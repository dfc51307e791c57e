//! A gateway, upstreams and a client for tests. Everything listens on port 0 of loopback.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sluice_engine_core::engine::Engine;

/// Longest wait for anything; only a failing test waits that long.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A running engine with one tenant for all hosts.
pub struct Gateway {
    pub engine: Arc<Engine>,
    pub address: SocketAddr,
    pub tls_address: SocketAddr,
}

impl Gateway {
    /// A gateway whose route `/` goes to the upstream's root.
    pub fn to(upstream: SocketAddr) -> Self {
        Self::with(&snapshot(1, &[service(upstream)], &[route("/")]))
    }

    pub fn with(snapshot: &Value) -> Self {
        Self::with_limits(snapshot, &json!({}))
    }

    pub fn with_limits(snapshot: &Value, limits: &Value) -> Self {
        let options = json!({
            "listeners": [{"address": "127.0.0.1:0", "tls": false}, {"address": "127.0.0.1:0", "tls": true}],
            "threads": 2, "version": "0.0", "limits": limits,
        });
        Self::with_options(&options, snapshot)
    }

    /// The first listener is the plain one, the last one that with TLS. Nothing is shed unless the limits say so: a busy
    /// machine delays the gateway, too.
    pub fn with_options(options: &Value, snapshot: &Value) -> Self {
        let mut options = options.clone();
        if options["limits"]["max_delay_ms"].is_null() {
            options["limits"]["max_delay_ms"] = json!(0);
        }
        let engine = Engine::new(options.to_string().as_bytes()).unwrap();
        let addresses = engine.start().unwrap();
        let gateway =
            Self { engine: Arc::new(engine), address: addresses[0], tls_address: addresses[addresses.len() - 1] };
        let report = gateway.apply(snapshot);
        assert_eq!(report["accepted"], true, "{report}");
        gateway
    }

    pub fn apply(&self, update: &Value) -> Value {
        serde_json::to_value(self.engine.apply(update.to_string().as_bytes())).unwrap()
    }

    pub fn client(&self) -> Client {
        Client::to(self.address)
    }

    /// One exchange on a connection of its own.
    pub fn ask(&self, request: &str) -> Response {
        let mut client = self.client();
        client.send(request);
        client.response()
    }

    pub fn stats(&self) -> Value {
        serde_json::from_slice(&self.engine.stats()).unwrap()
    }

    pub fn counter(&self, name: &str) -> u64 {
        self.stats()["tenants"]["cp"][name].as_u64().unwrap()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.engine.stop(Duration::ZERO);
    }
}

pub fn snapshot(version: u64, services: &[Value], routes: &[Value]) -> Value {
    json!({
        "format": 1, "kind": "snapshot", "organization_id": "org", "control_plane_id": "cp", "version": version,
        "hosts": ["*"],
        "settings": {
            "router_flavor": "traditional_compatible", "trusted_ips": [], "real_ip_header": "X-Real-IP",
            "headers": ["server_tokens", "latency_tokens", "X-Kong-Request-Id"],
        },
        "limits": {"allow_upstream": ["127.0.0.0/8"]},
        "entities": {"services": services, "routes": routes, "plugins": [], "consumers": []},
    })
}

pub fn service(upstream: SocketAddr) -> Value {
    json!({
        "id": "s", "name": "s", "protocol": "http", "host": upstream.ip().to_string(), "port": upstream.port(),
        "path": null, "retries": 5, "connect_timeout": 5000, "write_timeout": 5000, "read_timeout": 5000,
        "tags": null, "enabled": true, "created_at": 1, "updated_at": 1,
    })
}

pub fn route(path: &str) -> Value {
    json!({
        "id": "r", "name": "r", "protocols": ["http", "https"], "paths": [path], "regex_priority": 0,
        "strip_path": true, "path_handling": "v0", "preserve_host": false, "https_redirect_status_code": 426,
        "request_buffering": true, "response_buffering": true, "service": {"id": "s"},
    })
}

/// A response as read from the wire.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (own, value) = line.split_once(':')?;
            own.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A connection that speaks raw bytes.
pub struct Client {
    pub stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub fn to(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).unwrap())
    }

    pub fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::new() }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    fn read_more(&mut self) -> usize {
        let mut piece = [0; 16384];
        let count = self.stream.read(&mut piece).unwrap_or_else(|error| panic!("{error}"));
        self.buffer.extend_from_slice(&piece[..count]);
        count
    }

    /// A head with its empty line; `None` at the end of the connection.
    pub fn head(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                let head = self.buffer.drain(..end + 4).collect();
                return Some(String::from_utf8(head).unwrap());
            }
            if self.read_more() == 0 {
                assert!(self.buffer.is_empty(), "ended within a head: {:?}", self.buffer);
                return None;
            }
        }
    }

    pub fn exactly(&mut self, count: usize) -> Vec<u8> {
        while self.buffer.len() < count {
            assert_ne!(self.read_more(), 0, "ended within a body");
        }
        self.buffer.drain(..count).collect()
    }

    pub fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|bytes| bytes == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
                return String::from_utf8(line[..end].to_vec()).unwrap();
            }
            assert_ne!(self.read_more(), 0, "ended within a line");
        }
    }

    pub fn rest(&mut self) -> Vec<u8> {
        while self.read_more() > 0 {}
        std::mem::take(&mut self.buffer)
    }

    /// A chunked body with its trailer lines.
    pub fn chunks(&mut self) -> (Vec<u8>, Vec<String>) {
        let mut body = Vec::new();
        loop {
            let size = usize::from_str_radix(self.line().split(';').next().unwrap(), 16).unwrap();
            if size == 0 {
                break;
            }
            body.extend(self.exactly(size));
            assert_eq!(self.exactly(2), b"\r\n");
        }
        let mut trailers = Vec::new();
        loop {
            match self.line() {
                line if line.is_empty() => return (body, trailers),
                line => trailers.push(line),
            }
        }
    }

    /// The body that a head announces.
    pub fn body(&mut self, head: &str, until_close: bool) -> Vec<u8> {
        let lower = head.to_ascii_lowercase();
        if lower.contains("transfer-encoding: chunked") {
            return self.chunks().0;
        }
        match lower.split("content-length: ").nth(1) {
            Some(rest) => self.exactly(rest.lines().next().unwrap().trim().parse().unwrap()),
            None if until_close => self.rest(),
            None => Vec::new(),
        }
    }

    pub fn response(&mut self) -> Response {
        let head = self.head().expect("the connection ended without a response");
        let status = head[9..12].parse().unwrap();
        let bodiless = matches!(status, 100..200 | 204 | 304);
        let body = if bodiless { Vec::new() } else { self.body(&head, true) };
        Response { status, head, body }
    }

    /// Whether the gateway has closed the connection.
    pub fn is_closed(&mut self) -> bool {
        self.buffer.is_empty() && self.read_more() == 0
    }
}

/// A listener whose connections are handled by threads of their own.
pub struct Upstream {
    pub address: SocketAddr,
    pub connections: Arc<AtomicUsize>,
}

impl Upstream {
    /// `handle` gets the connection and its number, from 0.
    pub fn new(handle: impl Fn(Client, usize) + Send + Sync + 'static) -> Self {
        Self::at("127.0.0.1:0", handle)
    }

    /// The same at an address of loopback.
    pub fn at(address: &str, handle: impl Fn(Client, usize) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let (counted, handle) = (connections.clone(), Arc::new(handle));
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let number = counted.fetch_add(1, Ordering::SeqCst);
                let handle = handle.clone();
                thread::spawn(move || handle(Client::over(stream), number));
            }
        });
        Self { address, connections }
    }

    /// Answers every request with its own head and body as text.
    pub fn echo() -> Self {
        Self::new(|mut client, _| {
            while let Some(head) = client.head() {
                let body = client.body(&head, false);
                let text = [head.as_bytes(), &body].concat();
                let framing = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", text.len());
                if head.starts_with("HEAD ") {
                    client.send(framing);
                } else {
                    client.send([framing.as_bytes(), &text].concat());
                }
            }
        })
    }

    /// Answers every request, once its body has arrived, with these bytes.
    pub fn answering(response: &'static str) -> Self {
        Self::new(move |mut client, _| {
            while let Some(head) = client.head() {
                client.body(&head, false);
                client.send(response);
                if !response.contains("Content-Length") && !response.contains("chunked") {
                    let _ = client.stream.shutdown(Shutdown::Both);
                    return;
                }
            }
        })
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Waits until a fact holds.
pub fn eventually(mut fact: impl FnMut() -> bool) {
    let started = Instant::now();
    while !fact() {
        assert!(started.elapsed() < PATIENCE, "it never came true");
        thread::sleep(Duration::from_millis(10));
    }
}

/// An address that refuses connections.
pub fn closed_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
