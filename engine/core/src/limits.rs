//! The bounds of a process: how much it takes on, and how long it waits.

use std::time::Duration;

use serde::Deserialize;

use crate::http1::pace::SlowestPace;

/// Descriptors left for listeners, timers, files and whatever else the process does.
const SPARE_DESCRIPTORS: usize = 256;
/// Most connections of a kind unless the options say otherwise; what they need in memory is a bound, too.
const MOST_CONNECTIONS: usize = 16 * 1024;
/// Descriptors that a process is taken to have where the system does not tell.
const USUAL_DESCRIPTORS: usize = 1024;

/// Bounds that hold for all tenants together. Times in milliseconds.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitOptions {
    /// Largest request head in bytes.
    pub max_head_bytes: usize,
    /// Client connections at once; 0 takes half of the process's descriptors, at most 16384.
    pub max_connections: usize,
    /// Connections to upstreams at once, idle ones included; 0 means the same.
    pub max_upstream_connections: usize,
    /// Memory in bytes for all request bodies that plugins want whole.
    pub max_buffered_bytes: u64,
    /// How long a ready connection may wait for its turn before requests are shed; 0 never sheds.
    pub max_delay_ms: u64,
    /// Silence between requests.
    pub idle_timeout_ms: u64,
    /// First byte to the end of a head.
    pub head_timeout_ms: u64,
    /// Silence within a body.
    pub body_timeout_ms: u64,
    /// Average bytes per second that a body must come at, over `body_timeout_ms`; 0 for any pace.
    pub min_body_rate: u64,
    /// A client that takes nothing.
    pub write_timeout_ms: u64,
    /// TLS handshake.
    pub handshake_timeout_ms: u64,
    /// Silence after which an HTTP/2 connection to an upstream is asked whether it is alive.
    pub upstream_ping_ms: u64,
    /// How long it has for an answer.
    pub upstream_pong_ms: u64,
}

impl Default for LimitOptions {
    fn default() -> Self {
        Self {
            max_head_bytes: 32 * 1024,
            max_connections: 0,
            max_upstream_connections: 0,
            max_buffered_bytes: 256 * 1024 * 1024,
            max_delay_ms: 250,
            idle_timeout_ms: 75_000,
            head_timeout_ms: 60_000,
            body_timeout_ms: 60_000,
            min_body_rate: 64,
            write_timeout_ms: 60_000,
            handshake_timeout_ms: 15_000,
            upstream_ping_ms: 10_000,
            upstream_pong_ms: 10_000,
        }
    }
}

/// The bounds as the workers use them.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Largest request head.
    pub head_bytes: usize,
    /// Client connections at once.
    pub connections: u64,
    /// Connections to upstreams at once.
    pub upstream_connections: u64,
    /// Bytes of all buffered request bodies.
    pub buffered_bytes: u64,
}

/// Bounds of time, as the workers use them.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// How long a ready connection may wait for its turn; zero means for ever.
    pub delay: Duration,
    /// Silence between requests.
    pub idle: Duration,
    /// First byte to the end of a head.
    pub head: Duration,
    /// Silence within a request body.
    pub body: Duration,
    /// The slowest that a request body may come.
    pub slowest_body: SlowestPace,
    /// A client that takes nothing.
    pub write: Duration,
    /// TLS handshake.
    pub handshake: Duration,
    /// Silence after which an HTTP/2 connection to an upstream is asked whether it is alive.
    pub ping: Duration,
    /// How long it has for an answer.
    pub pong: Duration,
}

impl LimitOptions {
    /// What the workers may take on.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        let usual = connections_for(descriptors().unwrap_or(USUAL_DESCRIPTORS));
        let or_usual = |wanted: usize| if wanted == 0 { usual } else { wanted } as u64;
        Bounds {
            head_bytes: self.max_head_bytes,
            connections: or_usual(self.max_connections),
            upstream_connections: or_usual(self.max_upstream_connections),
            buffered_bytes: self.max_buffered_bytes,
        }
    }

    /// How long they wait.
    #[must_use]
    pub fn timeouts(&self) -> Timeouts {
        Timeouts {
            delay: Duration::from_millis(self.max_delay_ms),
            idle: Duration::from_millis(self.idle_timeout_ms),
            head: Duration::from_millis(self.head_timeout_ms),
            body: Duration::from_millis(self.body_timeout_ms),
            slowest_body: SlowestPace {
                bytes_per_second: self.min_body_rate,
                window: Duration::from_millis(self.body_timeout_ms),
            },
            write: Duration::from_millis(self.write_timeout_ms),
            handshake: Duration::from_millis(self.handshake_timeout_ms),
            ping: Duration::from_millis(self.upstream_ping_ms),
            pong: Duration::from_millis(self.upstream_pong_ms),
        }
    }
}

/// Connections to clients, and as many to upstreams, that so many descriptors suffice for.
fn connections_for(descriptors: usize) -> usize {
    let spare = SPARE_DESCRIPTORS.min(descriptors / 4);
    ((descriptors - spare) / 2).clamp(1, MOST_CONNECTIONS)
}

/// The process's own limit of open files.
fn descriptors() -> Option<usize> {
    soft_limit(&std::fs::read_to_string("/proc/self/limits").ok()?)
}

fn soft_limit(table: &str) -> Option<usize> {
    let line = table.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(usize::MAX),
        number => number.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_shared_out() {
        assert_eq!(connections_for(1024), 384);
        assert_eq!(connections_for(usize::MAX), MOST_CONNECTIONS);
        assert_eq!(connections_for(0), 1);
        assert_eq!(connections_for(20), 7);
    }

    #[test]
    fn reads_the_table_of_limits() {
        let table =
            "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 524288    files\n";
        assert_eq!(soft_limit(table), Some(1024));
        assert_eq!(soft_limit("Max open files  unlimited unlimited files"), Some(usize::MAX));
        assert_eq!(soft_limit("Max processes 1 2"), None);
    }

    #[test]
    fn options_override_what_the_system_says() {
        let options = LimitOptions { max_connections: 7, ..LimitOptions::default() };
        let bounds = options.bounds();
        assert_eq!(bounds.connections, 7);
        assert!(bounds.upstream_connections >= 1);
    }
}
