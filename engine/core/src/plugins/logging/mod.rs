//! What the plugins have in common that send records of requests.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use tokio::time::timeout;

use crate::error::FieldError;
use crate::logs::queue::{Queue, QueueConfig};
use crate::logs::sender::{Delivering, Delivery, Line, Undelivered};
use crate::phases::outside::Outside;
use crate::upstream::destination::{Destination, NoDestination};
use crate::upstream::tls::{Roots, TlsPolicy, Verification};

/// Longest time for which anything is waited.
const LONGEST: Duration = Duration::from_secs(60);

/// Fields of a record that are expressions of Lua. There are none here: the control plane refuses them.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct CustomFields(Option<BTreeMap<String, String>>);

impl CustomFields {
    pub(super) fn check(&self) -> Result<(), Vec<FieldError>> {
        match &self.0 {
            Some(fields) if !fields.is_empty() => {
                Err(vec![FieldError::new("custom_fields_by_lua", "this gateway runs no Lua")])
            }
            _ => Ok(()),
        }
    }
}

/// A time in milliseconds, as users write it.
pub(super) fn millis(number: f64) -> Duration {
    Duration::try_from_secs_f64(number / 1000.0).unwrap_or_default()
}

/// Entries as lines.
pub(super) fn lines(batch: &[Bytes]) -> Vec<u8> {
    let mut text = Vec::with_capacity(batch.iter().map(|entry| entry.len() + 1).sum());
    for entry in batch {
        text.extend_from_slice(entry);
        text.push(b'\n');
    }
    text
}

/// How TLS is spoken with a receiver.
pub(super) fn policy(verify: bool) -> Arc<TlsPolicy> {
    let verification = if verify { Verification::On(Roots::default()) } else { Verification::Off };
    Arc::new(TlsPolicy::new(verification, None))
}

/// Datagrams to a host, one per line of each entry. Nobody answers them, so none that was sent is tried again.
pub(super) struct Datagrams {
    to: Destination,
    timeout: Duration,
}

impl Datagrams {
    /// A queue whose entries become datagrams.
    pub(super) fn queue(
        host: &str,
        port: u16,
        timeout: Duration,
        config: &QueueConfig,
    ) -> Result<Queue, Vec<FieldError>> {
        let to = Destination::at(host, port, None).map_err(|NoDestination(why)| vec![FieldError::new("host", why)])?;
        let datagrams = Self { to, timeout: timeout.min(LONGEST) };
        Ok(Queue::new(config, Box::new(datagrams)))
    }
}

impl Delivery for Datagrams {
    fn deliver<'a>(&'a self, batch: &'a [Bytes], _: &'a mut Line, outside: Outside<'a>) -> Delivering<'a> {
        Box::pin(async move {
            let sent = timeout(self.timeout, async {
                let socket = outside.datagrams(&self.to).await.ok()?;
                let mut lost = 0;
                for entry in batch {
                    // One that is too large, or that nobody took, keeps the others from nothing.
                    let mut is_lost = false;
                    for datagram in entry.split(|byte| *byte == b'\n') {
                        is_lost |= socket.send(datagram).await.is_err();
                    }
                    lost += usize::from(is_lost);
                }
                Some(lost)
            });
            sent.await.ok().flatten().ok_or(Undelivered)
        })
    }
}

/// How much a message matters, as syslog numbers it: the more, the lower.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    Emerg,
    Alert,
    Crit,
    Err,
    Warning,
    Notice,
    Info,
    Debug,
}

/// Severities of records by their status.
pub(super) struct Severities {
    /// The least that is sent.
    pub(super) least: Severity,
    pub(super) successful: Severity,
    pub(super) client_errors: Severity,
    pub(super) server_errors: Severity,
}

impl Severities {
    /// The number of a status's severity, if it is sent.
    pub(super) fn of(&self, status: u16) -> Option<u8> {
        let severity = match status {
            500.. => self.server_errors,
            400.. => self.client_errors,
            _ => self.successful,
        };
        (severity <= self.least).then_some(severity as u8)
    }
}

/// What kind of figure something is for a server of statistics.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum StatType {
    Counter,
    Distribution,
    Gauge,
    Histogram,
    Meter,
    Set,
    Timer,
}

impl StatType {
    /// As it is written.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "c",
            Self::Distribution => "d",
            Self::Gauge => "g",
            Self::Histogram => "h",
            Self::Meter => "m",
            Self::Set => "s",
            Self::Timer => "ms",
        }
    }
}
