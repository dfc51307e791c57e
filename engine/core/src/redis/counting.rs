//! Counting in one round trip: all counters of a request, or none if one of them has reached its limit.

use std::fmt::Write;
use std::sync::LazyLock;

use super::{NoReply, Server, array, bulk};
use crate::phases::outside::Outside;

/// Looks at all counters, counts unless one has reached its limit, and says what was counted before. For each counter there
/// are a limit, the seconds after which it is forgotten, and how much is counted. The server runs a script alone, so
/// nothing happens in between. A counter begins to be forgotten when it begins: nobody has to, and nothing stays for ever.
const SCRIPT: &str = "\
local used, full = {}, false
for i, key in ipairs(KEYS) do
  used[i] = tonumber(redis.call('GET', key) or 0)
  full = full or used[i] >= tonumber(ARGV[3 * i - 2])
end
for i, key in ipairs(KEYS) do
  local amount = ARGV[3 * i]
  if not full and amount ~= '0' then
    redis.call('INCRBY', key, amount)
    if used[i] == 0 then redis.call('EXPIRE', key, ARGV[3 * i - 1]) end
  end
end
return used";

/// Counters of one round trip, at most.
pub(crate) const MOST_COUNTERS: usize = super::reply::MOST_NUMBERS;

/// What the server knows the script by.
static DIGEST: LazyLock<String> = LazyLock::new(|| {
    let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, SCRIPT.as_bytes());
    digest.as_ref().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
});

/// A counter, and what is to be done with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Counter {
    /// Its name on the server.
    pub(crate) key: String,
    /// Nothing is counted once so much has been.
    pub(crate) most: u64,
    /// Seconds after which a new one is forgotten.
    pub(crate) seconds: u64,
    /// How much is counted; 0 only looks.
    pub(crate) amount: u64,
}

impl Server {
    /// What was counted before, in the order of the counters.
    pub(crate) async fn count(&self, outside: Outside<'_>, counters: &[Counter]) -> Result<Vec<u64>, NoReply> {
        let write = |whole: bool| {
            let (name, script) = if whole { ("EVAL", SCRIPT) } else { ("EVALSHA", DIGEST.as_str()) };
            let mut to = Vec::with_capacity(256);
            array(&mut to, 3 + 4 * counters.len());
            let count = counters.len().to_string();
            let head = [name, script, &count].into_iter().map(str::as_bytes);
            for part in head.chain(counters.iter().map(|counter| counter.key.as_bytes())) {
                bulk(&mut to, part);
            }
            for Counter { most, seconds, amount, .. } in counters {
                for number in [most, seconds, amount] {
                    bulk(&mut to, number.to_string().as_bytes());
                }
            }
            to
        };
        let used = self.ask(outside, write, counters.len()).await?;
        used.into_iter().map(|used| u64::try_from(used).map_err(|_| NoReply)).collect()
    }
}
