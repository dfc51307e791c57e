//! What values become in JSON.

use serde::Deserialize;
use serde_json::Number;

use super::json::quote;

/// What a value becomes in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::plugins) enum JsonType {
    Boolean,
    Number,
    String,
}

impl JsonType {
    /// The JSON text of a value; `None` for what is no number where one is asked for.
    pub(in crate::plugins) fn text(self, value: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::String => Some(quote(value)),
            Self::Boolean => Some(if value == b"true" { b"true".to_vec() } else { b"false".to_vec() }),
            Self::Number => {
                let number: Number = std::str::from_utf8(value).ok()?.trim().parse().ok()?;
                Some(number.to_string().into_bytes())
            }
        }
    }
}
