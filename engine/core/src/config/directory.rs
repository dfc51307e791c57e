//! Who may ask: the consumers of a tenant and their groups.

use std::sync::Arc;

/// A consumer with its groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumer {
    /// Id.
    pub id: Arc<str>,
    /// Unique name.
    pub username: Option<Arc<str>>,
    /// The user's own id.
    pub custom_id: Option<Arc<str>>,
    /// Groups by name.
    pub groups: Arc<[Group]>,
}

/// A group of consumers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Id.
    pub id: Arc<str>,
    /// Unique name.
    pub name: Arc<str>,
}
