//! A gateway with probes, and servers, for tests.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::engine::Engine;

/// A server whose connections are handled by threads of their own; they are numbered from 0.
pub(super) fn serve(handle: impl Fn(TcpStream, usize) + Send + Sync + 'static) -> SocketAddr {
    serve_at("127.0.0.1:0", handle)
}

/// The same at an address of loopback.
pub(super) fn serve_at(address: &str, handle: impl Fn(TcpStream, usize) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind(address).unwrap();
    let address = listener.local_addr().unwrap();
    let handle = Arc::new(handle);
    thread::spawn(move || {
        for (number, stream) in listener.incoming().map_while(Result::ok).enumerate() {
            let handle = handle.clone();
            thread::spawn(move || handle(stream, number));
        }
    });
    address
}

/// A head with its empty line; shorter at the end of the connection.
pub(super) fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count > 0) {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// An engine with probes, in front of an upstream.
pub(super) struct Gateway {
    pub(super) engine: Engine,
    pub(super) address: SocketAddr,
}

impl Gateway {
    /// The upstream always sends the same response.
    pub(super) fn new(response: &'static str, plugins: &[Value]) -> Self {
        let upstream = serve(move |mut stream, _| {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(response.as_bytes());
        });
        Self::with(&update(upstream.port(), plugins), &json!({}))
    }

    /// With further options.
    pub(super) fn with(update: &Value, further: &Value) -> Self {
        let mut options = json!({
            "listeners": [{"address": "127.0.0.1:0", "tls": false}], "threads": 1, "default_certificate": null, "version": "1",
        });
        options.as_object_mut().unwrap().extend(further.as_object().cloned().unwrap_or_default());
        let engine = Engine::new(options.to_string().as_bytes()).unwrap();
        let report = engine.apply(update.to_string().as_bytes());
        assert!(report.accepted, "{:?}", report.errors);
        let address = engine.start().unwrap()[0];
        Self { engine, address }
    }

    pub(super) fn ask(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.to_ascii_lowercase()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.engine.stop(Duration::from_secs(1));
    }
}

pub(super) fn update(port: u16, plugins: &[Value]) -> Value {
    let service = json!({
        "id": "s", "name": null, "protocol": "http", "host": "127.0.0.1", "port": port, "path": null, "retries": 0,
        "connect_timeout": 5000, "write_timeout": 5000, "read_timeout": 5000, "client_certificate": null,
        "tls_verify": null, "tls_verify_depth": null, "ca_certificates": null, "enabled": true,
    });
    let route = json!({
        "id": "r", "name": null, "protocols": ["http"], "methods": null, "hosts": null, "paths": ["/a"], "headers": null,
        "snis": null, "sources": null, "destinations": null, "regex_priority": 0, "path_handling": "v0",
        "strip_path": true, "preserve_host": false, "https_redirect_status_code": 426, "service": {"id": "s"},
        "request_buffering": true, "response_buffering": true,
    });
    json!({
        "format": 1, "kind": "snapshot", "organization_id": "o", "control_plane_id": "c", "version": 1, "hosts": ["*"],
        "settings": {
            "router_flavor": "traditional_compatible", "trusted_ips": [], "real_ip_header": "X-Real-IP", "headers": [],
        },
        "limits": {"allow_upstream": ["127.0.0.0/8"]},
        "entities": {"services": [service], "routes": [route], "plugins": plugins},
    })
}

/// A probe: which one, its configuration, and what else the entity says.
pub(super) fn probe(name: &str, config: &Value, entity: &Value) -> Value {
    let mut whole = json!({
        "id": name, "name": name, "instance_name": null, "config": config, "enabled": true, "protocols": ["http"],
        "service": null, "route": null, "consumer": null, "consumer_group": null,
    });
    let fields = entity.as_object().cloned().unwrap_or_default();
    whole.as_object_mut().unwrap().extend(fields);
    whole
}

pub(super) const GET: &str = "GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
pub(super) const POST: &str = "POST /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc";
pub(super) const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
pub(super) const CHUNKED: &str =
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n";
