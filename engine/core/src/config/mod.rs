//! From the control plane's entities to what requests are served from.
//!
//! ```text
//! update (JSON) → entities::Draft → EntitySet + Changes → compile::Parts → Tenant → swapped into its Slot
//! ```
//!
//! All of this runs on the thread that applies the update. Requests see nothing of it until the swap, and an update
//! with anything wrong in it leaves no trace but its report.
//!
//! **A new type of entity** is one line in the table of [`entities`] and one file `entities/<noun>.rs` with its spec
//! (`deny_unknown_fields`, all defaults filled in) and its [`entities::Entity`]. The references that it names are
//! checked, and lead from an entity to its dependants ([`entities::EntitySet::referrers`]), without further code.
//!
//! **A new compiled part** is one file with a type that
//!
//! - is a member of [`compile::Parts`] and is cheap to clone (`imbl` maps and `Arc`s all the way): the clone is what the
//!   next version is made of, and is thrown away if anything is wrong;
//! - has an `update(&mut self, &Input, &mut errors)` that starts from `input.changes` and, by the referrers of what
//!   changed, goes on to what depends on it. Everything is in `changes` when there was no version before, so there is
//!   no second way to compile from scratch. It returns whatever later parts need to know of what is stale;
//! - keeps the `Arc` of whatever its input did not change, so that state in there (counters, health) survives;
//! - is handed to requests in `Parts::tenant`.
//!
//! `compile/tests.rs` holds incremental and fresh versions against each other.

pub mod certificates;
pub mod compile;
pub mod directory;
pub mod entities;
pub mod hosts;
pub mod plugins;
pub mod protocol;
mod service_tls;
pub mod slots;
pub mod store;
pub mod tenant;
mod turns;
pub mod update;
