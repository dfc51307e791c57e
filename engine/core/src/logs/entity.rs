//! Entities as they stand in records.

use std::sync::{Arc, OnceLock};

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

/// An entity that is written into records: made into text when the first record needs it, and kept.
#[derive(Debug, Clone)]
pub struct Logged<T> {
    spec: Option<Arc<T>>,
    text: OnceLock<Box<str>>,
}

impl<T> Default for Logged<T> {
    fn default() -> Self {
        Self { spec: None, text: OnceLock::new() }
    }
}

impl<T: Serialize> Logged<T> {
    /// An entity.
    #[must_use]
    pub fn of(spec: &Arc<T>) -> Self {
        Self { spec: Some(spec.clone()), text: OnceLock::new() }
    }

    /// The entity.
    #[must_use]
    pub fn spec(&self) -> Option<&T> {
        self.spec.as_deref()
    }

    /// The entity as JSON, without what is unset; `null` if there is none. `workspace` is that of its tenant.
    pub(super) fn text(&self, workspace: &str) -> &str {
        self.text.get_or_init(|| {
            let Some(spec) = &self.spec else { return "null".into() };
            let mut fields: Map<String, Value> =
                serde_json::to_value(spec).ok().and_then(|value| value.as_object().cloned()).unwrap_or_default();
            fields.retain(|_, value| !value.is_null());
            fields.insert("ws_id".into(), workspace.into());
            Value::Object(fields).to_string().into()
        })
    }
}

/// Writes seconds since the epoch as the whole number that users see.
#[expect(clippy::ref_option, reason = "serde's signature")]
pub(crate) fn seconds<S: Serializer>(time: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    #[expect(clippy::cast_possible_truncation, reason = "it saturates")]
    time.map(|time| time as i64).serialize(serializer)
}
