//! http-log: posts records of requests to an HTTP server.
//!
//! Source: the behaviour of Kong Gateway's plugin of the same name.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::logging::posts::{Posts, list};
use super::logging::{CustomFields, millis, policy};
use super::{Compiled, Place, read};
use crate::base64;
use crate::error::FieldError;
use crate::logs::queue::{Queue, QueueConfig};
use crate::message::Headers;
use crate::phases::{Phases, Plugin, Record, StreamRecord};
use crate::query::unescape;
use crate::router::Reference;
use crate::upstream::destination::{Destination, NoDestination};

/// Longest wait for a connection where the configuration has no sensible one.
const LEAST: Duration = Duration::from_millis(1);

/// The configuration as the control plane sends it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    http_endpoint: String,
    method: String,
    content_type: String,
    timeout: f64,
    keepalive: f64,
    headers: Option<BTreeMap<String, String>>,
    ssl_verify: bool,
    client_certificate: Option<Reference>,
    custom_fields_by_lua: CustomFields,
    queue: QueueConfig,
    #[serde(rename = "retry_count", default)]
    _retry_count: Option<IgnoredAny>,
    #[serde(default)]
    queue_size: Option<usize>,
    #[serde(default)]
    flush_timeout: Option<f64>,
}

struct HttpLog {
    queue: Queue,
}

/// Compiles an instance.
pub(super) fn compile(config: Value, _: &Place) -> Compiled {
    let config: Config = read(config)?;
    config.custom_fields_by_lua.check()?;
    if config.client_certificate.is_some() {
        return Err(vec![FieldError::new(
            "client_certificate",
            "this gateway shows no certificate to servers of logs",
        )]);
    }
    let (url, user) = without_user(&config.http_endpoint);
    let to = Destination::of_url(&url, &policy(config.ssl_verify))
        .map_err(|NoDestination(why)| vec![FieldError::new("http_endpoint", why)])?;
    let mut headers = Headers::new();
    let mut add = |name: &str, value: &str| {
        let broken = |error| vec![FieldError::new(format!("headers.{name}"), format!("{error}"))];
        headers.append(name, value).map_err(broken)
    };
    add("Content-Type", &config.content_type)?;
    if let Some(user) = user {
        add("Authorization", &format!("Basic {}", base64::encode(&unescape(user.replace('+', "%2B").as_bytes()))))?;
    }
    for (name, value) in config.headers.iter().flatten() {
        add(name, value)?;
    }
    let queue = config.queue.with_old(config.queue_size, config.flush_timeout);
    let target = to.target().split('?').next().unwrap_or_default().to_owned();
    let timeout = millis(config.timeout).max(LEAST);
    // Several records travel together, in a list; so does one of those that might.
    let pack = if queue.max_batch_size > 1 { list } else { |batch: &[Bytes]| batch.concat() };
    let posts = Posts {
        target,
        to,
        method: config.method,
        headers,
        connect: timeout,
        answer: timeout,
        keep_alive: config.keepalive > 0.0,
        pack: Box::new(pack),
    };
    Ok(Arc::new(HttpLog { queue: Queue::new(&queue, Box::new(posts)) }))
}

/// A URL without the user information that it may have, and that.
fn without_user(url: &str) -> (String, Option<&str>) {
    let begin = url.find("://").map_or(0, |at| at + 3);
    let (scheme, rest) = url.split_at(begin);
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => (format!("{scheme}{}", &rest[at + 1..]), Some(&rest[..at])),
        None => (url.to_owned(), None),
    }
}

impl Plugin for HttpLog {
    fn phases(&self) -> Phases {
        Phases::LOG
    }

    fn log(&self, record: &Record<'_>) {
        self.queue.push(record, record.document().clone());
    }

    fn log_stream(&self, record: &StreamRecord<'_>) {
        self.queue.push(record, record.document().clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_information_is_taken_out() {
        assert_eq!(without_user("http://a.test/x@y"), ("http://a.test/x@y".to_owned(), None));
        assert_eq!(without_user("https://u:p@a.test:1/x"), ("https://a.test:1/x".to_owned(), Some("u:p")));
        assert_eq!(without_user("http://u@v@a.test?q"), ("http://a.test?q".to_owned(), Some("u@v")));
    }
}
