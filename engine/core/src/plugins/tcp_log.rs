//! tcp-log: writes a line per request to a TCP connection, with TLS or without.
//!
//! Source: the behaviour of Kong Gateway's plugin of the same name.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::logging::receivers::Lines;
use super::logging::{CustomFields, millis, policy};
use super::{Compiled, Place, read};
use crate::error::FieldError;
use crate::logs::queue::{Queue, QueueConfig};
use crate::phases::{Phases, Plugin, Record, StreamRecord};
use crate::upstream::destination::NoDestination;

/// Records that are written at once.
const BATCH: usize = 256;

/// The configuration as the control plane sends it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    host: String,
    port: u16,
    timeout: f64,
    keepalive: f64,
    tls: bool,
    tls_sni: Option<String>,
    ssl_verify: bool,
    custom_fields_by_lua: CustomFields,
}

struct TcpLog {
    queue: Queue,
}

/// Compiles an instance.
pub(super) fn compile(config: Value, _: &Place) -> Compiled {
    let config: Config = read(config)?;
    config.custom_fields_by_lua.check()?;
    let policy = config.tls.then(|| policy(config.ssl_verify));
    let (timeout, keepalive) = (millis(config.timeout), millis(config.keepalive));
    let mut lines = Lines::to((&config.host, config.port), policy.as_ref(), timeout, keepalive)?;
    if let Some(name) = &config.tls_sni {
        lines.to = lines.to.called(name).map_err(|NoDestination(why)| vec![FieldError::new("tls_sni", why)])?;
    }
    Ok(Arc::new(TcpLog { queue: Queue::new(&QueueConfig::of_lines(BATCH), Box::new(lines)) }))
}

impl Plugin for TcpLog {
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
