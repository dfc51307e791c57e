//! Plugins that send records of requests, with real receivers.

mod figures;
mod files;
mod http;
mod lines;
mod prometheus;
mod queue;
mod record;
mod traces;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::support::{Gateway, Upstream, eventually, route, service, snapshot};

pub const GET: &str = "GET /a HTTP/1.1\r\nHost: h.test\r\n\r\n";

/// An instance of a plugin: what its configuration says besides `defaults`.
pub fn plugin(name: &str, defaults: Value, config: &Value) -> Value {
    let mut whole = defaults;
    whole.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
    json!({
        "id": name, "name": name, "instance_name": null, "config": whole, "enabled": true,
        "protocols": ["http", "https"], "service": null, "route": null, "consumer": null, "consumer_group": null,
    })
}

pub fn http_log(config: &Value) -> Value {
    let defaults = json!({
        "method": "POST", "content_type": "application/json", "timeout": 10000, "keepalive": 60000, "headers": null,
        "ssl_verify": true, "client_certificate": null, "custom_fields_by_lua": null, "queue": queue(&json!({})),
        "retry_count": null, "queue_size": null, "flush_timeout": null,
    });
    plugin("http-log", defaults, config)
}

/// A queue that is impatient, as tests are.
pub fn queue(config: &Value) -> Value {
    let mut whole = json!({
        "max_batch_size": 1, "max_coalescing_delay": 0.05, "max_entries": 10000, "max_bytes": null, "max_retry_time": 60,
        "initial_retry_delay": 0.01, "max_retry_delay": 0.02, "concurrency_limit": 1,
    });
    whole.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
    whole
}

/// A configuration with plugins, whose route `/` leads to an upstream.
pub fn with_plugins(upstream: SocketAddr, plugins: &[Value]) -> Value {
    let mut snapshot = snapshot(1, &[service(upstream)], &[route("/")]);
    snapshot["entities"]["plugins"] = json!(plugins);
    snapshot
}

/// A gateway with plugins, in front of an upstream that answers everything.
pub fn gateway(plugins: &[Value]) -> Gateway {
    Gateway::with(&with_plugins(Upstream::echo().address, plugins))
}

/// A gateway of one thread: records come in the order of the requests, and connections are shared by all of them.
pub fn orderly(configuration: &Value) -> Gateway {
    let options = json!({"listeners": [{"address": "127.0.0.1:0", "tls": false}], "threads": 1, "version": "0.0"});
    Gateway::with_options(&options, configuration)
}

/// What a receiver was posted: heads and bodies.
pub type Posted = Arc<Mutex<Vec<(String, Value)>>>;

/// An HTTP server that takes records. `answer` gets the number of the post, from 0.
pub struct Receiver {
    pub upstream: Upstream,
    pub posted: Posted,
}

impl Receiver {
    pub fn new() -> Self {
        Self::answering(|_| "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".into())
    }

    pub fn answering(answer: impl Fn(usize) -> String + Send + Sync + 'static) -> Self {
        let posted = Posted::default();
        let noted = posted.clone();
        let upstream = Upstream::new(move |mut client, _| {
            while let Some(head) = client.head() {
                let body = serde_json::from_slice(&client.body(&head, false)).unwrap();
                let mut posted = noted.lock().unwrap();
                posted.push((head, body));
                let answer = answer(posted.len() - 1);
                drop(posted);
                client.send(answer);
            }
        });
        Self { upstream, posted }
    }

    pub fn url(&self) -> String {
        format!("http://{}/logs", self.upstream.address)
    }

    pub fn count(&self) -> usize {
        self.posted.lock().unwrap().len()
    }

    /// The bodies, once there are so many.
    pub fn bodies(&self, count: usize) -> Vec<Value> {
        eventually(|| self.count() >= count);
        self.posted.lock().unwrap().iter().map(|(_, body)| body.clone()).collect()
    }
}

/// Waits until a counter of the tenant has a value.
pub fn counted(gateway: &Gateway, name: &str, value: u64) {
    eventually(|| gateway.counter(name) == value);
}
