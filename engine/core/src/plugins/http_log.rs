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

use super::logging::{CustomFields, millis, policy};
use super::{Compiled, Place, read};
use crate::base64;
use crate::error::FieldError;
use crate::logs::queue::{Queue, QueueConfig};
use crate::logs::sender::{Delivering, Delivery, Line, Undelivered};
use crate::message::Headers;
use crate::phases::outside::{Call, Outside};
use crate::phases::{Phases, Plugin, Record};
use crate::query::unescape;
use crate::router::Reference;
use crate::upstream::destination::{Destination, NoDestination};

/// Largest answer that is read. Nobody looks at it, but a connection is only of further use if it was read.
const LARGEST_ANSWER: u64 = 64 * 1024;
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

struct Posting {
    to: Destination,
    target: String,
    method: String,
    headers: Headers,
    timeout: Duration,
    keep_alive: bool,
    /// Whether several records travel together, in a list.
    is_list: bool,
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
    let posting = Posting {
        target,
        to,
        method: config.method,
        headers,
        timeout: millis(config.timeout).max(LEAST),
        keep_alive: config.keepalive > 0.0,
        is_list: queue.max_batch_size > 1,
    };
    Ok(Arc::new(HttpLog { queue: Queue::new(&queue, Box::new(posting)) }))
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
}

impl Delivery for Posting {
    fn deliver<'a>(&'a self, batch: &'a [Bytes], _: &'a mut Line, outside: Outside<'a>) -> Delivering<'a> {
        Box::pin(async move {
            let list;
            let body: &[u8] = match batch {
                [only] if !self.is_list => only,
                _ => {
                    list = [b"[", &*batch.join(&b","[..]), b"]"].concat();
                    &list
                }
            };
            let call = Call {
                to: &self.to,
                method: &self.method,
                target: &self.target,
                headers: &self.headers,
                body,
                connect: self.timeout,
                answer: self.timeout,
                keep_alive: self.keep_alive,
                largest: LARGEST_ANSWER,
            };
            match outside.ask(&call).await {
                Ok(answer) if answer.head.status < 300 => Ok(0),
                Ok(_) | Err(_) => Err(Undelivered),
            }
        })
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
