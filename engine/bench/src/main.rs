//! `bench load` (or, over HTTP/2, `bench streams`) and `bench backend`: both ends of a proxy measurement. Each is one
//! thread around one epoll, so that what is measured is the proxy between them. `bench relay` is the limit of what
//! a proxy can reach; `bench router` measures the engine's router by itself, `bench config` the cost of configuration
//! and `bench credentials` that of many keys.

mod args;
mod backend;
mod config;
mod credentials;
mod histogram;
mod http;
mod load;
mod memory;
mod relay;
mod router;
mod stream;
mod streams;

use std::io::Write as _;
use std::process::ExitCode;

use args::Args;

const USAGE: &str = "usage: bench load|streams|backend|relay|router|config|credentials [--name value]...";

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let command = words.next().unwrap_or_default();
    let outcome = Args::parse(words).and_then(|args| match command.as_str() {
        "load" => load::run(args),
        "streams" => streams::run(args),
        "backend" => backend::run(args),
        "relay" => relay::run(args),
        "router" => router::run(args),
        "config" => config::run(args),
        "credentials" => credentials::run(args),
        _ => Err(USAGE.to_owned()),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            // Nothing is left to report a failing standard error to.
            let _ = writeln!(std::io::stderr(), "bench {command}: {message}");
            ExitCode::from(2)
        }
    }
}
