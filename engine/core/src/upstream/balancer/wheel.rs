//! Whose turn it is, by weight: every cycle gives each place exactly its share, well spread over the cycle.

use std::sync::atomic::{AtomicU64, Ordering};

/// A wheel that is never built: its positions are visited in strides that share no divisor with their number, so each
/// is visited once per cycle, and the stride of the golden ratio keeps the visits of one place apart.
#[derive(Debug)]
pub struct Wheel {
    /// Where the share of each place ends.
    ends: Box<[u64]>,
    stride: u64,
    next: AtomicU64,
}

impl Wheel {
    /// A wheel that begins somewhere.
    #[must_use]
    pub fn new(weights: impl Iterator<Item = u32> + Clone, start: u64) -> Self {
        let divisor = weights.clone().fold(0, |so_far, weight| gcd(so_far, weight.into())).max(1);
        let mut end = 0;
        let ends: Box<[u64]> = weights
            .map(|weight| {
                end += u64::from(weight) / divisor;
                end
            })
            .collect();
        let mut stride = (end / 1000 * 618 + end % 1000 * 618 / 1000).max(1);
        while gcd(stride, end.max(1)) != 1 {
            stride += 1;
        }
        Self { ends, stride, next: AtomicU64::new(start >> 1) }
    }

    /// The next place; `None` if all weights are 0.
    pub fn next(&self) -> Option<usize> {
        self.at(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// The place at a number.
    #[must_use]
    pub fn at(&self, number: u64) -> Option<usize> {
        let total = *self.ends.last()?;
        let place = u128::from(number.checked_rem(total)?) * u128::from(self.stride) % u128::from(total);
        Some(self.ends.partition_point(|end| u128::from(*end) <= place))
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(weights: &[u32], count: usize) -> Vec<usize> {
        let wheel = Wheel::new(weights.iter().copied(), 0);
        (0..count).map(|_| wheel.next().unwrap()).collect()
    }

    #[test]
    fn each_cycle_is_exact() {
        for weights in [&[1, 1][..], &[100, 50, 25], &[5, 0, 3], &[7], &[100; 10], &[65535, 1], &[3, 3, 3, 1]] {
            let divisor = weights.iter().fold(0, |so_far, weight| gcd(so_far, u64::from(*weight)));
            let cycle =
                usize::try_from(weights.iter().map(|weight| u64::from(*weight)).sum::<u64>() / divisor).unwrap();
            let all = turns(weights, cycle * 2);
            for half in all.chunks(cycle) {
                for (place, weight) in weights.iter().enumerate() {
                    let count = half.iter().filter(|turn| **turn == place).count();
                    assert_eq!(count as u64, u64::from(*weight) / divisor, "{weights:?}");
                }
            }
        }
    }

    #[test]
    fn equal_weights_never_come_twice_before_all_have_come() {
        for count in 2..40_usize {
            let all = turns(&vec![10; count], count * 3);
            for round in all.chunks(count) {
                let mut seen = round.to_vec();
                seen.sort_unstable();
                assert_eq!(seen, (0..count).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn the_turns_of_a_heavy_place_are_spread() {
        let all = turns(&[9, 1], 100);
        let light: Vec<usize> = all.iter().enumerate().filter(|(_, turn)| **turn == 1).map(|(at, _)| at).collect();
        assert!(light.windows(2).all(|pair| pair[1] - pair[0] == 10));
        let half = turns(&[50, 25, 25], 40);
        assert!(half.windows(4).all(|turns| turns.contains(&0)));
    }

    #[test]
    fn no_weight_no_turn() {
        assert_eq!(Wheel::new([0, 0].into_iter(), 9).next(), None);
        assert_eq!(Wheel::new([].into_iter(), 9).next(), None);
    }
}
