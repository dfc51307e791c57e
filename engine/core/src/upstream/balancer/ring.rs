//! The ring of consistent hashing: a value always finds the same place, and few values move when places come or go.

use std::hash::Hasher;

use twox_hash::XxHash64;

/// Points that a place of average weight has.
const POINTS: f64 = 160.0;
/// Points that a ring may always have.
const FEWEST: u32 = 1000;

/// The hash of a value.
#[must_use]
pub fn hash(value: &[u8]) -> u64 {
    XxHash64::oneshot(0, value)
}

/// Points in order, each with its place.
#[derive(Debug, Default)]
pub struct Ring(Box<[(u32, u32)]>);

impl Ring {
    /// A ring of places with identity and weight, with at most about `slots` points.
    #[must_use]
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded")]
    pub fn new<'a>(places: impl Iterator<Item = (&'a str, u32)> + Clone, slots: u32) -> Self {
        let total: f64 = places.clone().map(|(_, weight)| f64::from(weight)).sum();
        let count = places.clone().filter(|(_, weight)| *weight > 0).count();
        let most = (POINTS * count as f64).min(f64::from(slots.max(FEWEST)));
        let mut points = Vec::new();
        for (place, (identity, weight)) in places.enumerate() {
            if weight == 0 {
                continue;
            }
            let share = (f64::from(weight) / total * most).round().max(1.0) as u32;
            for number in 0..share {
                let mut hasher = XxHash64::with_seed(u64::from(number));
                hasher.write(identity.as_bytes());
                points.push(((hasher.finish() >> 32) as u32, place as u32));
            }
        }
        points.sort_unstable();
        points.dedup_by_key(|(point, _)| *point);
        Self(points.into())
    }

    /// The first place at or behind a hash that is fit.
    pub fn find(&self, hash: u64, mut fit: impl FnMut(usize) -> bool) -> Option<usize> {
        let start = self.0.partition_point(|(point, _)| u64::from(*point) < hash >> 32);
        let (before, behind) = self.0.split_at(start);
        let mut last = None;
        behind.iter().chain(before).map(|(_, place)| *place as usize).find(|place| {
            // Neighbours of the same place need no second look.
            last.replace(*place) != Some(*place) && fit(*place)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(places: &[(&str, u32)]) -> Ring {
        Ring::new(places.iter().copied(), 10_000)
    }

    fn places(ring: &Ring, fit: impl Fn(usize) -> bool) -> Vec<usize> {
        (0..10_000_u32).map(|n| ring.find(hash(&n.to_be_bytes()), &fit).unwrap()).collect()
    }

    #[test]
    fn shares_follow_the_weights() {
        let all = places(&ring(&[("a:1", 100), ("b:1", 100), ("c:1", 200)]), |_| true);
        let share = |place| all.iter().filter(|own| **own == place).count();
        assert!((1_900..3_100).contains(&share(0)), "{}", share(0));
        assert!((4_200..5_800).contains(&share(2)), "{}", share(2));
    }

    #[test]
    fn only_the_values_of_a_new_place_move() {
        let before = places(&ring(&[("a:1", 10), ("b:1", 10), ("c:1", 10)]), |_| true);
        let after = places(&ring(&[("a:1", 10), ("b:1", 10), ("c:1", 10), ("d:1", 10)]), |_| true);
        let moved = before.iter().zip(&after).filter(|(old, new)| old != new).count();
        assert!(before.iter().zip(&after).all(|(old, new)| old == new || *new == 3));
        assert!((1_500..3_500).contains(&moved), "{moved}");
    }

    #[test]
    fn only_the_values_of_an_unfit_place_move() {
        let ring = ring(&[("a:1", 10), ("b:1", 10), ("c:1", 10)]);
        let (all, without) = (places(&ring, |_| true), places(&ring, |place| place != 1));
        assert!(all.iter().zip(&without).all(|(old, new)| if *old == 1 { *new != 1 } else { old == new }));
        assert_eq!(ring.find(1, |_| false), None);
    }

    #[test]
    fn slots_bound_the_points_and_every_place_has_one() {
        let names: Vec<String> = (0..500).map(|n| format!("10.0.0.{n}:80")).collect();
        let ring = Ring::new(names.iter().map(|name| (name.as_str(), 1)), 10);
        assert!(ring.0.len() <= 1_000);
        let ring = Ring::new([("a", 1), ("b", 65_535), ("c", 0)].into_iter(), 1_000);
        assert!((0..2).all(|place| ring.0.iter().any(|(_, own)| *own == place)));
        assert!(ring.0.iter().all(|(_, own)| *own != 2));
    }
}
