//! Latencies in log-linear buckets: constant memory, constant time, at most 1.6 % wide.

use std::time::Duration;

const PRECISION: u32 = 6;
const BUCKETS: usize = (65 - PRECISION as usize) << PRECISION;

/// Counts of durations, in nanoseconds.
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    sum: u128,
    longest: u64,
}

impl Histogram {
    /// An empty histogram.
    pub fn new() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0, sum: 0, longest: 0 }
    }

    /// Counts one duration.
    pub fn record(&mut self, duration: Duration) {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(nanoseconds)] += 1;
        self.total += 1;
        self.sum += u128::from(nanoseconds);
        self.longest = self.longest.max(nanoseconds);
    }

    /// How many were counted.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The longest one, exactly.
    pub fn longest(&self) -> Duration {
        Duration::from_nanos(self.longest)
    }

    /// The mean, exactly; zero when empty.
    pub fn mean(&self) -> Duration {
        let mean = self.sum.checked_div(u128::from(self.total)).unwrap_or(0);
        Duration::from_nanos(u64::try_from(mean).unwrap_or(u64::MAX))
    }

    /// The duration that `per_mille` of a thousand do not exceed; zero when empty.
    pub fn quantile(&self, per_mille: u64) -> Duration {
        let wanted = (self.total * per_mille).div_ceil(1000).max(1);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Duration::from_nanos(upper_end(index).min(self.longest));
            }
        }
        Duration::ZERO
    }
}

/// Values below 2^(PRECISION + 1) have buckets of their own; each further power of two has 2^PRECISION.
fn bucket(value: u64) -> usize {
    let shift = (64 - value.leading_zeros()).saturating_sub(PRECISION + 1);
    let mantissa = usize::try_from(value >> shift).unwrap_or(usize::MAX);
    ((shift as usize) << PRECISION) + mantissa
}

fn upper_end(index: usize) -> u64 {
    let row = (index >> PRECISION).saturating_sub(1);
    let mantissa = (index - (row << PRECISION)) as u64;
    (((u128::from(mantissa) + 1) << row) - 1).try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{BUCKETS, Histogram, bucket, upper_end};

    #[test]
    fn every_value_lies_in_its_bucket() {
        let mut last = 0;
        for value in
            (0..2000).chain((11..64).flat_map(|bit| [(1 << bit) - 1, 1 << bit, (1 << bit) + 1])).chain([u64::MAX])
        {
            let index = bucket(value);
            assert!(index < BUCKETS && index >= last, "{value} in {index} after {last}");
            assert!(upper_end(index) >= value, "{value} above the end of {index}");
            assert!(upper_end(index) - value <= value / 64, "{value} far below the end of {index}");
            last = index;
        }
    }

    #[test]
    fn quantiles_of_a_known_series() {
        let mut histogram = Histogram::new();
        assert_eq!(histogram.quantile(500), Duration::ZERO);
        for microseconds in 1..=1000 {
            histogram.record(Duration::from_micros(microseconds));
        }
        let median = histogram.quantile(500).as_micros();
        assert!((500..=508).contains(&median), "{median}");
        let tail = histogram.quantile(990).as_micros();
        assert!((990..=1006).contains(&tail), "{tail}");
        assert_eq!(histogram.quantile(1000), Duration::from_millis(1));
        assert_eq!(histogram.mean(), Duration::from_nanos(500_500));
        assert_eq!(histogram.total(), 1000);
    }
}
