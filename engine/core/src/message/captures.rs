//! What the groups of a regex path matched.

use std::sync::Arc;

/// Values of a regex path's groups. Empty for prefix paths; an empty one does not allocate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Captures {
    groups: Vec<Option<Box<[u8]>>>,
    names: Option<Arc<[Option<Box<str>>]>>,
}

impl Captures {
    /// `groups[0]` is the whole match; `names[i]` is the name of group `i`, if it has one.
    #[must_use]
    pub fn new(groups: Vec<Option<Box<[u8]>>>, names: Arc<[Option<Box<str>>]>) -> Self {
        Self { groups, names: Some(names) }
    }

    /// Group by number; 0 is the whole match.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        self.groups.get(index)?.as_deref()
    }

    /// Group by name.
    #[must_use]
    pub fn name(&self, name: &str) -> Option<&[u8]> {
        let names = self.names.as_ref()?;
        let index = names.iter().position(|known| known.as_deref() == Some(name))?;
        self.get(index)
    }

    /// Whether nothing was captured (prefix path, or no path at all).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }
}
