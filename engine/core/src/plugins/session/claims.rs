//! What a session says: who it is of, and since when.

use serde::{Deserialize, Serialize};

/// The content of a cookie.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Claims {
    /// Whose session it is.
    pub(super) id: String,
    /// The consumer, if the credential has one.
    pub(super) consumer: Option<String>,
    /// What the consumer was authenticated with.
    pub(super) credential: String,
    /// Groups that an authentication plugin found.
    pub(super) groups: Vec<String>,
    /// A digest of what the session is bound to.
    pub(super) bound_to: Option<String>,
    /// When it began; as all others in seconds since the epoch.
    pub(super) created: u64,
    /// When it was renewed.
    pub(super) rolled: u64,
    /// When it was last noted that somebody used it.
    pub(super) touched: u64,
}

/// How long sessions last, in seconds; 0 stands for ever.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Timeouts {
    pub(super) idling: u64,
    pub(super) rolling: u64,
    pub(super) absolute: u64,
}

/// Seconds after which it is noted that a session is in use, where it does not end sooner.
const TOUCH: u64 = 60;

/// What is left of a time, if it has an end.
fn left(since: u64, timeout: u64, now: u64) -> Option<u64> {
    (timeout > 0).then(|| since.saturating_add(timeout).saturating_sub(now))
}

impl Timeouts {
    /// What is left until a session idles, has to be renewed, and ends in any case.
    pub(super) fn left(&self, claims: &Claims, now: u64) -> [Option<u64>; 3] {
        [
            left(claims.touched, self.idling, now),
            left(claims.rolled, self.rolling, now),
            left(claims.created, self.absolute, now),
        ]
    }

    /// Whether a session lasts.
    pub(super) fn allow(&self, claims: &Claims, now: u64) -> bool {
        self.left(claims, now).iter().all(|left| left.is_none_or(|left| left > 0))
    }

    /// The session as it should go on, if that differs from what it is: used, and renewed where less than a quarter of its time is left.
    pub(super) fn renewed(&self, claims: &Claims, now: u64) -> Option<Claims> {
        let threshold = if self.idling > 0 { TOUCH.min(self.idling.div_ceil(4)) } else { u64::MAX };
        let is_used = now.saturating_sub(claims.touched) >= threshold;
        let is_old = left(claims.rolled, self.rolling, now).is_some_and(|left| left < self.rolling.div_ceil(4));
        (is_used || is_old).then(|| Claims {
            touched: now,
            rolled: if is_old { now } else { claims.rolled },
            ..claims.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(created: u64, rolled: u64, touched: u64) -> Claims {
        let (id, credential) = (String::new(), String::new());
        Claims { id, consumer: None, credential, groups: Vec::new(), bound_to: None, created, rolled, touched }
    }

    const USUAL: Timeouts = Timeouts { idling: 900, rolling: 3600, absolute: 86_400 };

    #[test]
    fn sessions_end_by_any_of_their_times() {
        let session = claims(0, 1000, 2000);
        assert!(USUAL.allow(&session, 2899) && !USUAL.allow(&session, 2900));
        assert!(!USUAL.allow(&claims(0, 1000, 4599), 4600));
        assert!(!USUAL.allow(&claims(0, 86_399, 86_399), 86_400));
        assert!(Timeouts::default().allow(&session, u64::MAX));
        assert!(Timeouts { idling: u64::MAX, ..USUAL }.allow(&claims(5, 5, 5), 6));
    }

    #[test]
    fn sessions_in_use_are_noted_and_renewed_late() {
        let session = claims(0, 0, 0);
        assert_eq!(USUAL.renewed(&session, 59), None);
        assert_eq!(USUAL.renewed(&session, 60), Some(claims(0, 0, 60)));
        assert_eq!(USUAL.renewed(&claims(0, 0, 2690), 2700), None);
        assert_eq!(USUAL.renewed(&claims(0, 0, 2690), 2701), Some(claims(0, 2701, 2701)));
        assert_eq!(Timeouts { idling: 8, ..USUAL }.renewed(&session, 2), Some(claims(0, 0, 2)));
        assert_eq!(Timeouts::default().renewed(&session, 1 << 40), None);
    }
}
