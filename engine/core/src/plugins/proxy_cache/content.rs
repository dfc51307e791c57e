//! Media types (RFC 9110 section 8.3.1), with parameters that count.

/// A media type, or a range of them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MediaType {
    kind: Vec<u8>,
    subtype: Vec<u8>,
    /// Names and values, in the order of the names.
    parameters: Vec<(Vec<u8>, Vec<u8>)>,
}

impl MediaType {
    /// Reads one; what is none comes out as one that nothing else is.
    pub(super) fn of(text: &[u8]) -> Self {
        let mut parts = text.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
        let slash = memchr::memchr(b'/', &essence).unwrap_or(essence.len());
        let parameter = |part: &[u8]| {
            let equals = memchr::memchr(b'=', part).unwrap_or(part.len());
            let value = part.get(equals + 1..).unwrap_or_default();
            let bare = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
            (part[..equals].to_ascii_lowercase(), bare.to_ascii_lowercase())
        };
        let mut parameters: Vec<_> = parts.filter(|part| !part.is_empty()).map(parameter).collect();
        parameters.sort_unstable();
        let subtype = essence.get(slash + 1..).unwrap_or_default().to_vec();
        Self { kind: essence[..slash].to_vec(), subtype, parameters }
    }

    /// Whether another one is this one, or within this range.
    pub(super) fn takes(&self, other: &Self) -> bool {
        let fits = |own: &[u8], other: &[u8]| own == b"*" || own == other;
        fits(&self.kind, &other.kind) && fits(&self.subtype, &other.subtype) && self.parameters == other.parameters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_count_and_wildcards_stand_for_all() {
        let takes = |range: &str, text: &str| MediaType::of(range.as_bytes()).takes(&MediaType::of(text.as_bytes()));
        assert!(takes("application/json", "Application/JSON"));
        assert!(takes("application/json; charset=utf-8", "application/json;charset=\"UTF-8\""));
        assert!(takes("a/b; x=1; y=2", "a/b;y=2;x=1"));
        assert!(takes("*/*", "text/plain") && takes("text/*", "text/html") && takes("*/*; a=b", "x/y; a=b"));
        assert!(!takes("application/json", "application/json; charset=utf-8"));
        assert!(!takes("application/json; charset=utf-8", "application/json"));
        assert!(!takes("text/*", "image/png") && !takes("application/json", "application/json-patch"));
        assert!(!takes("text/plain", "") && !takes("text/plain", "text"));
    }
}
