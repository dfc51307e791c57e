//! Ids, and what is known of a trace.

use std::fmt;

use super::formats::Format;
use crate::unique;

/// The id of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TraceId {
    bytes: [u8; 16],
    /// Whether only the second half of it counts.
    is_short: bool,
}

/// The id of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SpanId(pub(crate) [u8; 8]);

/// What the headers of a request say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    /// The trace and the caller's span. A caller may have decided without giving ids.
    pub(crate) ids: Option<(TraceId, Option<SpanId>)>,
    /// Whether the caller wants the trace to be reported.
    pub(crate) is_sampled: Option<bool>,
    /// The format that says so.
    pub(crate) format: Format,
}

/// The trace that a request belongs to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trace {
    pub(crate) id: TraceId,
    /// The caller's span.
    pub(crate) parent: Option<SpanId>,
    /// The span of the request.
    pub(crate) root: SpanId,
    /// The span that the service is told of.
    pub(crate) outgoing: SpanId,
    /// Whether it is reported.
    pub(crate) is_sampled: bool,
}

impl TraceId {
    /// An id of 16 bytes, unless they are all 0.
    pub(crate) fn long(bytes: [u8; 16]) -> Option<Self> {
        (bytes != [0; 16]).then_some(Self { bytes, is_short: false })
    }

    /// An id of 8 bytes, unless they are all 0.
    pub(crate) fn short(half: [u8; 8]) -> Option<Self> {
        let mut bytes = [0; 16];
        bytes[8..].copy_from_slice(&half);
        (half != [0; 8]).then_some(Self { bytes, is_short: true })
    }

    /// An id that nobody has.
    pub(crate) fn new(is_short: bool) -> Self {
        let [high, low] = unique::words();
        // No id is 0.
        let half = low.max(1).to_be_bytes();
        let mut bytes = [0; 16];
        bytes[8..].copy_from_slice(&half);
        if !is_short {
            bytes[..8].copy_from_slice(&high.to_be_bytes());
        }
        Self { bytes, is_short }
    }

    /// All of it; of a short one, the first half is 0.
    pub(crate) fn bytes(&self) -> &[u8; 16] {
        &self.bytes
    }

    /// The second half as a number.
    pub(crate) fn low(&self) -> u64 {
        self.bytes[8..].iter().fold(0, |number, byte| (number << 8) | u64::from(*byte))
    }

    /// All of it in hexadecimal digits.
    pub(crate) fn padded(&self) -> String {
        Hex(&self.bytes).to_string()
    }

    /// Whether a trace is among this part of all traces: the same answer for whoever asks (W3C Trace Context level 2, section 5.1,
    /// has the last 7 bytes random).
    pub(crate) fn is_among(&self, part: f64) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "a part is no more precise")]
        let place = (self.low() & ((1 << 56) - 1)) as f64 / (1_u64 << 56) as f64;
        place < part
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(if self.is_short { &self.bytes[8..] } else { &self.bytes }).fmt(f)
    }
}

impl SpanId {
    /// An id that nobody has.
    pub(crate) fn new() -> Self {
        Self(unique::words()[1].max(1).to_be_bytes())
    }

    /// As a number.
    pub(crate) fn number(self) -> u64 {
        u64::from_be_bytes(self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(&self.0).fmt(f)
    }
}

struct Hex<'b>(&'b [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_written_as_they_came() {
        let half = [0, 1, 2, 3, 4, 5, 6, 0xff];
        let short = TraceId::short(half).unwrap();
        assert_eq!((short.to_string().as_str(), short.low()), ("00010203040506ff", 0x0001_0203_0405_06ff));
        assert_eq!(short.padded(), "000000000000000000010203040506ff");
        let mut whole = [0; 16];
        whole[15] = 1;
        assert_eq!(TraceId::long(whole).unwrap().to_string(), "00000000000000000000000000000001");
        assert_eq!((TraceId::long([0; 16]), TraceId::short([0; 8])), (None, None));
        assert_eq!(TraceId::new(true).to_string().len(), 16);
        assert_ne!(TraceId::new(false), TraceId::new(false));
    }

    #[test]
    fn parts_of_traces_are_those_that_they_say() {
        let ids: Vec<_> = (0..4_000).map(|_| TraceId::new(false)).collect();
        let among = |part| ids.iter().filter(|id| id.is_among(part)).count();
        assert_eq!((among(0.0), among(1.0)), (0, 4_000));
        assert!((800..1_200).contains(&among(0.25)), "{}", among(0.25));
    }
}
