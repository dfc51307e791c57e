//! udp-log: sends a datagram per request.
//!
//! Source: the behaviour of Kong Gateway's plugin of the same name.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::logging::receivers::Datagrams;
use super::logging::{CustomFields, millis};
use super::{Compiled, Place, read};
use crate::logs::queue::{Queue, QueueConfig};
use crate::phases::{Phases, Plugin, Record, StreamRecord};

/// The configuration as the control plane sends it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    host: String,
    port: u16,
    timeout: f64,
    custom_fields_by_lua: CustomFields,
}

struct UdpLog {
    queue: Queue,
}

/// Compiles an instance.
pub(super) fn compile(config: Value, _: &Place) -> Compiled {
    let config: Config = read(config)?;
    config.custom_fields_by_lua.check()?;
    let queue = Datagrams::queue(&config.host, config.port, millis(config.timeout), 0, &QueueConfig::of_lines(64))?;
    Ok(Arc::new(UdpLog { queue }))
}

impl Plugin for UdpLog {
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
