//! The engine with real sockets: raw bytes in, raw bytes out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests fail by panicking")]

mod abuse;
mod balancing;
mod budgets;
mod buffering;
mod caching;
mod calls;
mod certificates;
mod configuration;
mod counters;
mod desync;
mod draining;
mod forwarding;
mod framing;
mod functions;
mod grpc;
mod grpcs;
mod herds;
mod hostile;
mod http2;
mod http2_abuse;
mod identities;
mod lifecycle;
mod logs;
mod names;
mod probes;
mod pulse;
mod routing;
mod slow;
mod streaming;
mod streams;
mod strict;
mod support;
mod transforming;
mod upstream_tls;
mod upstreams;
