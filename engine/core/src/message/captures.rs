//! What the groups of a regex path matched.

use std::sync::Arc;

/// Where a group is in the text that was matched; `None` for one that took no part in it.
pub type GroupSpan = Option<(u32, u32)>;

/// Values of a regex path's groups. Empty for prefix paths; an empty one does not allocate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Captures {
    /// What all groups together matched.
    text: Box<[u8]>,
    spans: Box<[GroupSpan]>,
    names: Option<Arc<[Option<Box<str>>]>>,
}

impl Captures {
    /// `spans[0]` is the whole match; `names[i]` is the name of group `i`, if it has one. A span outside of the text
    /// counts as a group without part in the match.
    #[must_use]
    pub fn new(text: &[u8], spans: Box<[GroupSpan]>, names: Arc<[Option<Box<str>>]>) -> Self {
        Self { text: text.into(), spans, names: Some(names) }
    }

    /// Group by number; 0 is the whole match.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        let (start, end) = (*self.spans.get(index)?)?;
        self.text.get(start as usize..end as usize)
    }

    /// Group by name.
    #[must_use]
    pub fn name(&self, name: &str) -> Option<&[u8]> {
        let names = self.names.as_ref()?;
        let index = names.iter().position(|known| known.as_deref() == Some(name))?;
        self.get(index)
    }

    /// Groups that have a name and took part in the match.
    pub fn named(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let names = self.names.as_deref().unwrap_or_default().iter().enumerate();
        names.filter_map(|(index, name)| Some((name.as_deref()?, self.get(index)?)))
    }

    /// Whether nothing was captured (prefix path, or no path at all).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }
}
