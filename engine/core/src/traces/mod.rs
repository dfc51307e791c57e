//! Traces: what callers say of theirs, what services are told, and what is known of an exchange for its spans.
//!
//! - [`context`]: ids, and what is known of a trace.
//! - [`formats`]: the headers that carry them, each read and written by its own rules.
//! - [`propagation`]: which formats an instance of a plugin reads, removes and writes.

pub(crate) mod context;
pub(crate) mod formats;
pub(crate) mod propagation;
