//! loggly: sends records of requests as datagrams in the format of syslog (RFC 5424).
//!
//! Source: the behaviour of Kong Gateway's plugin of the same name.

use std::fmt::Write;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use super::logging::receivers::Datagrams;
use super::logging::{CustomFields, Severities, Severity, millis};
use super::{Compiled, Place, read};
use crate::clock::iso_date;
use crate::logs::queue::{Queue, QueueConfig};
use crate::phases::{Noted, Phases, Plugin, Record, StreamRecord};

/// Messages of programs of users, as syslog numbers facilities.
const FACILITY: u8 = 1;
/// The number that the service has among the enterprises of the world.
const ENTERPRISE: &str = "41058";

/// The configuration as the control plane sends it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    host: String,
    port: u16,
    key: String,
    tags: Vec<String>,
    log_level: Severity,
    successful_severity: Severity,
    client_errors_severity: Severity,
    server_errors_severity: Severity,
    timeout: f64,
    custom_fields_by_lua: CustomFields,
}

struct Loggly {
    queue: Queue,
    severities: Severities,
    /// Key and tags, as structured data.
    account: String,
}

/// Compiles an instance.
pub(super) fn compile(config: Value, _: &Place) -> Compiled {
    let config: Config = read(config)?;
    config.custom_fields_by_lua.check()?;
    let queue = Datagrams::queue(&config.host, config.port, millis(config.timeout), 0, &QueueConfig::of_lines(64))?;
    let severities = Severities {
        least: config.log_level,
        successful: config.successful_severity,
        client_errors: config.client_errors_severity,
        server_errors: config.server_errors_severity,
    };
    Ok(Arc::new(Loggly { queue, severities, account: account(&config.key, &config.tags) }))
}

/// `[key@41058 tag="a" tag="b"]`, whatever key and tags hold.
fn account(key: &str, tags: &[String]) -> String {
    let is_plain = |char: &char| char.is_ascii_graphic() && !matches!(char, '=' | ']' | '"' | '@');
    let mut text = format!("[{}@{ENTERPRISE}", key.chars().filter(is_plain).collect::<String>());
    for tag in tags {
        text.push_str(" tag=\"");
        for char in tag.chars().filter(|char| !char.is_control()) {
            if matches!(char, '"' | '\\' | ']') {
                text.push('\\');
            }
            text.push(char);
        }
        text.push('"');
    }
    text + "]"
}

impl Loggly {
    fn send<'d>(&self, noted: &impl Noted, status: u16, document: impl FnOnce() -> &'d Bytes) {
        let Some(severity) = self.severities.of(status) else { return };
        let document = document();
        let mut text = String::with_capacity(self.account.len() + 64);
        let priority = 8 * FACILITY + severity;
        let date = iso_date(noted.of().0.shared.clock.since_epoch());
        // Writing to a string never fails.
        let _ = write!(text, "<{priority}>1 {date} - kong - - {} ", self.account);
        let mut entry = text.into_bytes();
        entry.extend_from_slice(document);
        self.queue.push(noted, entry.into());
    }
}

impl Plugin for Loggly {
    fn phases(&self) -> Phases {
        Phases::LOG
    }

    fn log(&self, record: &Record<'_>) {
        self.send(record, record.status, || record.document());
    }

    fn log_stream(&self, record: &StreamRecord<'_>) {
        self.send(record, record.status, || record.document());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_breaks_out_of_the_account() {
        let tags = ["a".to_owned(), "b\"] c\\\n".to_owned()];
        assert_eq!(account("k-1] @x=\"", &tags), r#"[k-1x@41058 tag="a" tag="b\"\] c\\"]"#);
    }
}
