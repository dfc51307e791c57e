//! The phases through a running engine, and which instance of a plugin is met.

mod asking;
mod gateway;
mod passing;
mod running;
mod scopes;
