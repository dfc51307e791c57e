//! Names to addresses.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;

/// How long an answer is used.
const FRESH: Duration = Duration::from_secs(10);
/// How long a failure is remembered.
const FAILED: Duration = Duration::from_secs(1);

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The addresses; none if the name has none or nobody knows.
    pub records: Vec<Record>,
    /// When it is to be looked up again, by the engine's clock.
    pub expires: Duration,
}

/// One address of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The address.
    pub address: IpAddr,
    /// Port of an SRV record.
    pub port: Option<u16>,
    /// Weight of an SRV record.
    pub weight: Option<u32>,
    /// Name in an SRV record.
    pub name: Option<Box<str>>,
}

/// The resolver of the process.
#[derive(Debug, Default)]
pub struct Dns {}

impl Dns {
    /// Looks a name up for a tenant.
    pub async fn look_up(&self, clock: &Clock, _tenant: u64, name: &str) -> Arc<Answer> {
        let found = tokio::net::lookup_host((name, 0)).await;
        let mut records: Vec<Record> = Vec::new();
        for address in found.into_iter().flatten() {
            let record = Record { address: address.ip(), port: None, weight: None, name: None };
            if !records.contains(&record) {
                records.push(record);
            }
        }
        let lifetime = if records.is_empty() { FAILED } else { FRESH };
        Arc::new(Answer { records, expires: clock.elapsed() + lifetime })
    }
}
