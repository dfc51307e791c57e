//! tcp-log: writes a line per request to a TCP connection, with TLS or without.
//!
//! Source: the behaviour of Kong Gateway's plugin of the same name.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::logging::{CustomFields, lines, millis, policy};
use super::{Compiled, Place, read};
use crate::error::FieldError;
use crate::logs::queue::{Queue, QueueConfig};
use crate::logs::sender::{Delivering, Delivery, Line, Undelivered};
use crate::phases::outside::Outside;
use crate::phases::{Phases, Plugin, Record};
use crate::upstream::destination::{Destination, NoDestination};

/// Records that are written at once.
const BATCH: usize = 256;
/// Longest time of each wait, and for which an idle connection is kept.
const LONGEST: Duration = Duration::from_secs(60);

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

struct Writing {
    to: Destination,
    timeout: Duration,
    keepalive: Duration,
}

/// Compiles an instance.
pub(super) fn compile(config: Value, _: &Place) -> Compiled {
    let config: Config = read(config)?;
    config.custom_fields_by_lua.check()?;
    let policy = config.tls.then(|| policy(config.ssl_verify));
    let wrong = |field: &'static str| move |NoDestination(why)| vec![FieldError::new(field, why)];
    let mut to = Destination::at(&config.host, config.port, policy.as_ref()).map_err(wrong("host"))?;
    if let Some(name) = &config.tls_sni {
        to = to.called(name).map_err(wrong("tls_sni"))?;
    }
    let time = |number| millis(number).min(LONGEST);
    let writing = Writing { to, timeout: time(config.timeout), keepalive: time(config.keepalive) };
    Ok(Arc::new(TcpLog { queue: Queue::new(&QueueConfig::of_lines(BATCH), Box::new(writing)) }))
}

impl Plugin for TcpLog {
    fn phases(&self) -> Phases {
        Phases::LOG
    }

    fn log(&self, record: &Record<'_>) {
        self.queue.push(record, record.document().clone());
    }
}

impl Delivery for Writing {
    fn deliver<'a>(&'a self, batch: &'a [Bytes], line: &'a mut Line, outside: Outside<'a>) -> Delivering<'a> {
        Box::pin(async move {
            let mut kept = line.socket.take();
            if let Some(socket) = &mut kept
                && !socket.is_quiet().await
            {
                kept = None;
            }
            let mut socket = match kept {
                Some(socket) => socket,
                None => outside.connect(&self.to, self.timeout).await.map_err(|_| Undelivered)?,
            };
            let text = lines(batch);
            let written = timeout(self.timeout, async {
                socket.write_all(&text).await?;
                socket.flush().await
            });
            written.await.map_err(|_| Undelivered)?.map_err(|_| Undelivered)?;
            if self.keepalive.is_zero() {
                let _ = timeout(self.timeout, socket.shutdown()).await;
            } else {
                line.socket = Some(socket);
            }
            Ok(0)
        })
    }

    fn keeps_line(&self) -> Duration {
        self.keepalive
    }
}
