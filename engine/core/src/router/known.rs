//! Patterns by their text.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Patterns by their text, as long as something uses them.
#[derive(Debug)]
pub(super) struct Known<T>(Mutex<HashMap<Box<str>, Weak<T>>>);

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Known<T> {
    /// The pattern of a text, compiled if nothing else uses it.
    pub(super) fn find(&self, pattern: &str, compile: impl FnOnce() -> Result<T, String>) -> Result<Arc<T>, String> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(pattern).and_then(Weak::upgrade) {
            return Ok(known);
        }
        if known.len() == known.capacity() {
            known.retain(|_, pattern| pattern.strong_count() > 0);
        }
        let compiled = Arc::new(compile()?);
        known.insert(pattern.into(), Arc::downgrade(&compiled));
        Ok(compiled)
    }
}

#[cfg(test)]
impl<T> Known<T> {
    pub(super) fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}
