//! Credentials that callers name, and prove by something else.

use std::sync::Arc;

use imbl::HashMap;

use crate::config::entities::{Changed, Entity};

/// A credential that is found by a name.
pub(super) trait Credential {
    /// What it is made of.
    type Spec: Entity;

    /// The name in a spec.
    fn name(spec: &Self::Spec) -> &str;

    /// Makes it ready to use.
    fn new(spec: &Arc<Self::Spec>) -> Self;

    /// Its id.
    fn id(&self) -> &str;
}

/// Credentials of one kind by name. Persistent.
#[derive(Debug)]
pub(super) struct Named<C>(HashMap<Arc<str>, Arc<C>>);

impl<C: Credential> Named<C> {
    /// Follows an update.
    pub(super) fn update(&mut self, changed: &Changed<C::Spec>) {
        // What goes makes room for what comes: a name may move from one credential to another.
        for before in changed.values().filter_map(|change| change.before.as_deref()) {
            let name = C::name(before);
            if self.0.get(name).is_some_and(|known| known.id() == before.id()) {
                self.0.remove(name);
            }
        }
        for after in changed.values().filter_map(|change| change.after.as_ref()) {
            self.0.insert(C::name(after).into(), Arc::new(C::new(after)));
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Arc<C>> {
        self.0.get(name)
    }
}

impl<C> Clone for Named<C> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<C> Default for Named<C> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}
