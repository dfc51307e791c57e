//! Numbers that this process has not given before, and that no other process is likely to give: for ids, not for secrets.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use ring::rand::{SecureRandom, SystemRandom};

/// Where they come from: two random numbers that nobody else has, and a counter.
struct Source {
    seed: [u64; 2],
    counter: AtomicU64,
    /// The id of the process itself.
    process: Uuid,
}

/// A UUID as text (RFC 9562 section 5.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uuid([u8; 36]);

impl Source {
    fn get() -> &'static Self {
        static SOURCE: OnceLock<Source> = OnceLock::new();
        SOURCE.get_or_init(|| {
            let mut bytes = [0; 32];
            // Without randomness of the system, the process' ids are as good as the address of its code.
            let _ = SystemRandom::new().fill(&mut bytes);
            let word = |at: usize| bytes[at..at + 8].iter().fold(0, |word, byte| (word << 8) | u64::from(*byte));
            Self { seed: [word(0), word(8)], counter: AtomicU64::new(1), process: Uuid::of([word(16), word(24)]) }
        })
    }
}

/// The next of the numbers that count what this process does, from 1.
pub fn count() -> u64 {
    Source::get().counter.fetch_add(1, Ordering::Relaxed)
}

/// Numbers whose halves run through all numbers in an order of their own.
pub fn words() -> [u64; 2] {
    let number = count();
    Source::get().seed.map(|seed| mixed(seed.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15))))
}

/// A UUID that this process has not given yet.
pub fn uuid() -> Uuid {
    Uuid::of(words())
}

/// The UUID of this process.
pub fn process() -> Uuid {
    Source::get().process
}

/// The last steps of `SplitMix64`: another number for each number.
fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

impl Uuid {
    /// Version 4 of 122 of these bits.
    fn of([high, low]: [u64; 2]) -> Self {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let high = (high & !0xf000) | 0x4000;
        let low = (low & (u64::MAX >> 2)) | (1 << 63);
        let halves = [high.to_be_bytes(), low.to_be_bytes()];
        let digits = halves.as_flattened().iter().flat_map(|byte| [byte >> 4, byte & 15]);
        let mut text = [b'-'; 36];
        let places = text.iter_mut().enumerate().filter(|(place, _)| ![8, 13, 18, 23].contains(place));
        for ((_, place), digit) in places.zip(digits) {
            *place = HEX[usize::from(digit)];
        }
        Self(text)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn uuids_have_their_form_and_differ() {
        assert_eq!(Uuid::of([0, 0]).as_str(), "00000000-0000-4000-8000-000000000000");
        assert_eq!(Uuid::of([u64::MAX; 2]).as_str(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(
            Uuid::of([0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210]).as_str(),
            "01234567-89ab-4def-bedc-ba9876543210"
        );
        assert_eq!((0..10_000).map(|_| uuid().0).collect::<HashSet<_>>().len(), 10_000);
    }
}
