//! The phases through a running engine, and which instance of a plugin is met.

mod running;
mod scopes;
