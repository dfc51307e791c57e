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

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
pub(crate) const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Writes a point in time the way that `Date` wants it (RFC 9110 section 5.6.7), 29 bytes.
#[must_use]
pub fn http_date(since_epoch: Duration) -> String {
    let seconds = since_epoch.as_secs();
    let (year, month, day) = civil(seconds / 86_400);
    let name = |list: &[&'static str], index: u64| list[usize::try_from(index).unwrap_or(0) % list.len()];
    format!(
        "{}, {day:02} {} {year:04} {} GMT",
        name(&DAYS, seconds / 86_400 % 7),
        name(&MONTHS, month - 1),
        time_of_day(seconds)
    )
}

/// Writes a point in time as `2024-05-06T07:08:09Z` (RFC 3339).
#[must_use]
pub fn iso_date(since_epoch: Duration) -> String {
    let seconds = since_epoch.as_secs();
    let (year, month, day) = civil(seconds / 86_400);
    format!("{year:04}-{month:02}-{day:02}T{}Z", time_of_day(seconds))
}

pub(crate) fn time_of_day(seconds: u64) -> String {
    format!("{:02}:{:02}:{:02}", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60)
}

/// Year, month and day of a number of days since the Unix epoch.
pub(crate) fn civil(days: u64) -> (u64, u64, u64) {
    // In years that begin in March, so that the leap day is the last one.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

/// Reads a point in time in one of the forms of RFC 9110 section 5.6.7, as seconds since the Unix epoch.
#[must_use]
pub fn parse_http_date(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let parts: Vec<&str> = text.split([' ', '-']).filter(|part| !part.is_empty()).collect();
    let (day, month, year, time) = match parts[..] {
        [weekday, day, month, year, time, "GMT"] if weekday.ends_with(',') => (day, month, year, time),
        [_, month, day, time, year] => (day, month, year, time),
        _ => return None,
    };
    let number = |text: &str, digits: std::ops::RangeInclusive<usize>| -> Option<u64> {
        let fits = digits.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        fits.then(|| text.parse().ok()).flatten()
    };
    let month = MONTHS.iter().position(|known| *known == month)? as u64 + 1;
    let day = number(day, 1..=2).filter(|day| (1..=31).contains(day))?;
    let year = match number(year, 2..=4)? {
        short @ 0..70 if year.len() == 2 => 2000 + short,
        short if year.len() == 2 => 1900 + short,
        year => year,
    };
    let mut clock = time.split(':').map(|part| number(part, 2..=2));
    let (Some(hour), Some(minute), Some(second), None) = (clock.next()?, clock.next()?, clock.next()?, clock.next())
    else {
        return None;
    };
    if year < 1970 || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // The inverse of what `http_date` does.
    let shifted_year = if month <= 2 { year - 1 } else { year };
    let shifted_month = (month + 9) % 12;
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let days = 365 * shifted_year + shifted_year / 4 - shifted_year / 100 + shifted_year / 400 + day_of_year;
    Some(days.checked_sub(719_468)? * 86_400 + hour * 3600 + minute * 60 + second)
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
    fn dates_are_read_as_they_are_written_and_in_two_old_forms() {
        for seconds in [0, 784_111_777, 951_782_400, 1_709_164_800, 1_735_689_599, 4_102_444_800, 32_503_679_999] {
            let text = http_date(Duration::from_secs(seconds));
            assert_eq!(parse_http_date(text.as_bytes()), Some(seconds), "{text}");
        }
        for same in ["Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
            assert_eq!(parse_http_date(same.as_bytes()), Some(784_111_777), "{same}");
        }
        for wrong in [
            "",
            "now",
            "784111777",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 32 Nov 1994 08:49:37 GMT",
            "Sun, 06 Foo 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:49:37 GMT",
            "Sun, 06 Nov 1994 08:49 GMT",
            "Sun, 06 Nov 1969 08:49:37 GMT",
            "Sun, +6 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 99999 08:49:37 GMT",
        ] {
            assert_eq!(parse_http_date(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn advances_all_clones() {
        let clock = Clock::new();
        let other = clock.clone();
        clock.advance(Duration::from_secs(100));
        assert!(other.elapsed() >= Duration::from_secs(100));
    }
}
