//! The engine's clock: real time plus an offset that tests move.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Time for everything that has a configured lifetime (caches, windows). Socket timeouts do not follow it: they
/// measure the network, not the calendar. Clones share the offset.
#[derive(Debug, Clone)]
pub struct Clock {
    started: Instant,
    offset_millis: Arc<AtomicU64>,
}

impl Clock {
    /// A clock at the present time.
    #[must_use]
    pub fn new() -> Self {
        Self { started: Instant::now(), offset_millis: Arc::default() }
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        self.offset_millis.fetch_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Time since the clock was made, including what it was moved by; never goes back.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed() + self.offset()
    }

    /// The same for a moment that was looked at already.
    #[must_use]
    pub fn at(&self, moment: Instant) -> Duration {
        moment.saturating_duration_since(self.started) + self.offset()
    }

    /// Wall time since the Unix epoch, including what it was moved by.
    #[must_use]
    pub fn since_epoch(&self) -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + self.offset()
    }

    fn offset(&self) -> Duration {
        Duration::from_millis(self.offset_millis.load(Ordering::Relaxed))
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

/// Writes a point in time the way that `Date` wants it (RFC 9110 section 5.6.7), 29 bytes.
#[must_use]
pub fn http_date(since_epoch: Duration) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let seconds = since_epoch.as_secs();
    let days = seconds / 86_400;
    // Civil date from a day count with years that begin in March, so that the leap day is the last one.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let name = |list: &[&'static str], index: u64| list[usize::try_from(index).unwrap_or(0) % list.len()];
    format!(
        "{}, {day:02} {} {year:04} {:02}:{:02}:{:02} GMT",
        name(&DAYS, days % 7),
        name(&MONTHS, month - 1),
        seconds / 3600 % 24,
        seconds / 60 % 60,
        seconds % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(http_date(Duration::ZERO), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(http_date(Duration::from_secs(784_111_777)), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(http_date(Duration::from_secs(1_709_164_800)), "Thu, 29 Feb 2024 00:00:00 GMT");
    }

    #[test]
    fn advances_all_clones() {
        let clock = Clock::new();
        let other = clock.clone();
        clock.advance(Duration::from_secs(100));
        assert!(other.elapsed() >= Duration::from_secs(100));
    }
}
