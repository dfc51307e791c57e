//! What the plugins have in common that send records of requests.

pub(super) mod figures;
pub(super) mod posts;
pub(super) mod receivers;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;

use crate::error::FieldError;
use crate::upstream::tls::{Roots, TlsPolicy, Verification};

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
