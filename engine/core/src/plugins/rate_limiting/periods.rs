//! Periods and the windows that they cut the calendar (UTC) into.

use crate::message::Known;

/// A period that requests are limited in.
pub(in crate::plugins) struct Period {
    /// Its place in [`PERIODS`].
    pub(in crate::plugins) index: usize,
    /// Its length; a month counts as 30 days and a year as 365.
    pub(in crate::plugins) seconds: u64,
    pub(in crate::plugins) limit_header: Known,
    pub(in crate::plugins) remaining_header: Known,
}

const fn period(index: usize, seconds: u64, limit_header: &'static str, remaining_header: &'static str) -> Period {
    let (limit_header, remaining_header) = (Known::new(limit_header), Known::new(remaining_header));
    Period { index, seconds, limit_header, remaining_header }
}

/// Their names, in the same order.
pub(in crate::plugins) const NAMES: [&str; PERIODS.len()] = ["second", "minute", "hour", "day", "month", "year"];

/// All periods, shortest first.
pub(in crate::plugins) const PERIODS: &[Period; 6] = &[
    period(0, 1, "X-RateLimit-Limit-Second", "X-RateLimit-Remaining-Second"),
    period(1, 60, "X-RateLimit-Limit-Minute", "X-RateLimit-Remaining-Minute"),
    period(2, 3600, "X-RateLimit-Limit-Hour", "X-RateLimit-Remaining-Hour"),
    period(3, 86_400, "X-RateLimit-Limit-Day", "X-RateLimit-Remaining-Day"),
    period(4, 30 * 86_400, "X-RateLimit-Limit-Month", "X-RateLimit-Remaining-Month"),
    period(5, 365 * 86_400, "X-RateLimit-Limit-Year", "X-RateLimit-Remaining-Year"),
];

/// The window of a time (seconds since the Unix epoch): its start, and the seconds since.
pub(in crate::plugins) fn window(period: &Period, now: u64) -> (u64, u64) {
    let elapsed = match period.index {
        0..=3 => now % period.seconds,
        index => {
            let (day_of_month, day_of_year) = civil(now / 86_400);
            let days = if index == 4 { day_of_month } else { day_of_year };
            days * 86_400 + now % 86_400
        }
    };
    (now - elapsed, elapsed)
}

/// Whole days since the first of the month and since the first of January, for a day since the Unix epoch.
fn civil(days: u64) -> (u64, u64) {
    // Years that begin in March have the leap day at their end.
    let shifted = days + 719_468;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_shifted_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_shifted_year + 2) / 153;
    let day_of_month = day_of_shifted_year - (153 * month + 2) / 5;
    // In January and February the year is the next one already.
    let is_leap = |year: u64| (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400);
    let year = year_of_era + 400 * (shifted / 146_097);
    let day_of_year =
        if month >= 10 { day_of_shifted_year - 306 } else { day_of_shifted_year + 59 + u64::from(is_leap(year)) };
    (day_of_month, day_of_year)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_begin_with_the_calendar() {
        // 2024-03-15T13:37:42Z, in a leap year: 74 days after the first of January.
        let now = 1_710_509_862;
        let starts: Vec<_> = PERIODS.iter().map(|period| window(period, now)).collect();
        let day = 86_400;
        let in_day = 13 * 3600 + 37 * 60 + 42;
        let expected = [0, 42, 37 * 60 + 42, in_day, 14 * day + in_day, 74 * day + in_day];
        assert_eq!(starts, expected.map(|elapsed| (now - elapsed, elapsed)));
        // 2023-01-01T00:00:00Z, 2023-12-31T23:59:59Z, 2000-02-29T00:00:00Z, 1970-01-01.
        for (now, of_month, of_year) in
            [(1_672_531_200, 0, 0), (1_704_067_199, 30, 364), (951_782_400, 28, 59), (0, 0, 0)]
        {
            assert_eq!(civil(now / day), (of_month, of_year), "{now}");
        }
    }
}
