//! From the control plane's entities to what requests are served from.
//!
//! ```text
//! update (JSON) → entities::Draft → EntitySet + Changes → compile → Tenant → swapped into its Slot
//! ```
//!
//! **A new type of entity** is one line in the table of [`entities`] and one file `entities/<noun>.rs` with its spec
//! (`deny_unknown_fields`, all defaults filled in) and its [`entities::Entity`]. The references that it names are
//! checked, and lead from an entity to its dependants ([`entities::EntitySet::referrers`]), without further code.

pub mod certificates;
pub mod compile;
pub mod directory;
pub mod entities;
pub mod plugins;
pub mod protocol;
mod service_tls;
pub mod store;
pub mod tenant;
pub mod update;
