//! The Sluice gateway engine.
//!
//! The engine is given configuration per tenant (a control plane), compiles it off the request path and serves
//! every request from immutable, compiled data: `Host` → tenant → route → plugin chain → upstream. It knows nothing
//! of Python; `engine/py` is a thin binding over [`engine::Engine`].
#![forbid(unsafe_code)]

pub mod base64;
pub mod budget;
pub mod clients;
pub mod clock;
pub mod config;
pub mod counts;
pub mod departure;
pub mod engine;
pub mod error;
pub mod expr;
pub mod gateway;
pub mod http1;
pub mod http2;
pub mod limits;
pub mod logs;
pub mod message;
pub mod net;
pub mod overload;
pub mod phases;
pub mod plugins;
pub mod query;
pub mod redis;
pub mod router;
pub mod stats;
pub mod streams;
pub mod tls;
mod traces;
mod unique;
pub mod upkeep;
pub mod upstream;
pub mod worker;
