//! The Sluice gateway engine.
//!
//! The engine is given configuration per tenant (a control plane), compiles it off the request path and serves
//! every request from immutable, compiled data: `Host` → tenant → route → plugin chain → upstream. It knows nothing
//! of Python; `engine/py` is a thin binding over [`Engine`].
#![forbid(unsafe_code)]

pub mod error;
pub mod message;
pub mod phases;
pub mod plugins;
pub mod router;
