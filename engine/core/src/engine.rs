//! The engine as a whole: options, threads, and the calls that reach it from outside.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::watch;

use crate::clock::Clock;
use crate::config::store::{Store, TenantTotals};
use crate::config::update::Report;
use crate::counts::{CountTotals, Counts};
use crate::limits::{Bounds, LimitOptions, Timeouts};
use crate::logs::files::Files;
use crate::net::listen::Handed;
use crate::tls::server::{CertificateOptions, TlsServer};
use crate::upkeep::Upkeep;
use crate::upstream::dns::{Dns, DnsOptions};
use crate::worker::{Listener, Stop, Worker};

/// How an engine is set up; JSON from outside.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Where to listen.
    pub listeners: Vec<ListenerOptions>,
    /// Worker threads; 0 means one per core.
    #[serde(default)]
    pub threads: usize,
    /// Shown to clients whose server name has no certificate of its own; `None` makes a self-signed one.
    #[serde(default)]
    pub default_certificate: Option<CertificateOptions>,
    /// Bounds of the process.
    #[serde(default)]
    pub limits: LimitOptions,
    /// How names are looked up.
    #[serde(default)]
    pub dns: DnsOptions,
    /// Where tenants' files are, each in a directory of its control plane's; without it there are none.
    #[serde(default)]
    pub log_directory: Option<PathBuf>,
    /// Version for `Server`.
    pub version: String,
}

/// One listener.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenerOptions {
    /// Address and port; port 0 picks a free one.
    pub address: SocketAddr,
    /// Whether clients speak TLS.
    pub tls: bool,
    /// What clients speak, within TLS or without.
    #[serde(default)]
    pub protocol: Speaks,
    /// Port that clients connect to, where something in between maps it.
    #[serde(default)]
    pub public_port: Option<NonZeroU16>,
    /// Whether every connection begins with a header of the PROXY protocol.
    #[serde(default)]
    pub proxy_protocol: bool,
}

/// What clients of a listener speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Speaks {
    /// HTTP/1.1 and HTTP/2.
    #[default]
    Http,
    /// Anything: routes of `tcp`, or with TLS those of `tls` and `tls_passthrough`, say where it goes.
    Stream,
}

/// What all threads share.
pub struct Shared {
    /// Tenants.
    pub store: Store,
    /// Time.
    pub clock: Clock,
    /// TLS towards clients.
    pub tls: TlsServer,
    /// Bounds of time.
    pub timeouts: Timeouts,
    /// Bounds of what is taken on.
    pub bounds: Bounds,
    /// Value of `Server`.
    pub server: String,
    /// Counters of the process.
    pub counts: Counts,
    /// Files of tenants.
    pub files: Files,
    /// What no request waits for.
    pub upkeep: Arc<Upkeep>,
}

#[derive(Debug, Serialize)]
struct Stats {
    #[serde(flatten)]
    process: CountTotals,
    tenants: BTreeMap<String, TenantTotals>,
}

/// Why an engine could not be made.
#[derive(Debug)]
pub struct InvalidOptions(pub String);

impl std::fmt::Display for InvalidOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidOptions {}

/// The engine. All calls may come from any thread.
pub struct Engine {
    options: Options,
    shared: Arc<Shared>,
    handed: Mutex<Handed>,
    running: Mutex<Option<Running>>,
}

struct Running {
    stop: watch::Sender<Stop>,
    threads: Vec<JoinHandle<()>>,
}

impl Engine {
    /// An engine that does not listen yet. Configuration can be applied before it starts.
    pub fn new(options: &[u8]) -> Result<Self, InvalidOptions> {
        let mut options: Options =
            serde_json::from_slice(options).map_err(|error| InvalidOptions(format!("options: {error}")))?;
        if options.threads == 0 {
            options.threads = std::thread::available_parallelism().map_or(1, usize::from);
        }
        if options.limits.max_head_bytes < 1024 {
            return Err(InvalidOptions("limits.max_head_bytes: at least 1024".into()));
        }
        if options.version.is_empty() || !options.version.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidOptions("version: not a version".into()));
        }
        let tls = TlsServer::new(options.default_certificate.as_ref())
            .map_err(|error| InvalidOptions(format!("default_certificate: {error}")))?;
        let clock = Clock::new();
        let upkeep = Arc::new(Upkeep::new(clock.clone(), Dns::new(options.dns.clone())));
        let shared = Arc::new(Shared {
            tls,
            store: Store::new(options.threads, upkeep.clone()),
            clock,
            timeouts: options.limits.timeouts(),
            bounds: options.limits.bounds(),
            server: format!("sluice/{}", options.version),
            counts: Counts::default(),
            files: Files::below(options.log_directory.clone()),
            upkeep,
        });
        let handed = Handed::from_environment().map_err(|error| InvalidOptions(format!("LISTEN_FDS: {error}")))?;
        Ok(Self { options, shared, handed: Mutex::new(handed), running: Mutex::default() })
    }

    /// Starts serving in every thread, on the sockets that the process was handed or on new ones. Returns the addresses in the order of the listeners.
    pub fn start(&self) -> io::Result<Vec<SocketAddr>> {
        let mut running = self.lock();
        if running.is_some() {
            return Err(io::Error::other("the engine is running already"));
        }
        let threads = self.options.threads;
        let mut per_thread: Vec<Vec<Listener>> = (0..threads).map(|_| Vec::new()).collect();
        let mut addresses = Vec::new();
        let mut handed = self.handed.lock().unwrap_or_else(PoisonError::into_inner);
        for wanted in &self.options.listeners {
            let (address, sockets) = handed.listen(wanted.address, threads)?;
            for (listeners, sockets) in per_thread.iter_mut().zip(sockets) {
                listeners.extend(sockets.into_iter().map(|socket| Listener {
                    socket,
                    tls: wanted.tls,
                    speaks: wanted.protocol,
                    public_port: wanted.public_port,
                    proxy_protocol: wanted.proxy_protocol,
                }));
            }
            addresses.push(address);
        }
        drop(handed);
        let (stop, stopped) = watch::channel(Stop::No);
        let mut threads = Vec::new();
        for (index, listeners) in per_thread.into_iter().enumerate() {
            let runtime = Builder::new_current_thread;
            let (shared, stopped) = (self.shared.clone(), stopped.clone());
            let thread = std::thread::Builder::new().name(format!("sluice-{index}")).spawn(move || {
                let Ok(runtime) = runtime().enable_io().enable_time().build_local(LocalOptions::default()) else {
                    return;
                };
                runtime.block_on(Rc::new(Worker::new(shared, index)).run(listeners, stopped));
                // A name that is still being looked up must not hold the end up.
                runtime.shutdown_background();
            })?;
            threads.push(thread);
        }
        let upkeep = self.shared.upkeep.clone();
        threads.push(std::thread::Builder::new().name("sluice-upkeep".into()).spawn(move || {
            if let Ok(runtime) =
                Builder::new_current_thread().enable_io().enable_time().build_local(LocalOptions::default())
            {
                runtime.block_on(upkeep.run(stopped));
                runtime.shutdown_background();
            }
        })?);
        *running = Some(Running { stop, threads });
        Ok(addresses)
    }

    /// Applies a configuration update, all or nothing.
    pub fn apply(&self, update: &[u8]) -> Report {
        self.shared.store.apply(update)
    }

    /// Forgets a control plane, and removes its files. Returns whether it was there.
    pub fn remove(&self, control_plane_id: &str) -> bool {
        let was_there = self.shared.store.remove(control_plane_id);
        if was_there {
            self.shared.files.remove(control_plane_id);
        }
        was_there
    }

    /// The version held per control plane, as JSON.
    #[must_use]
    pub fn versions(&self) -> Vec<u8> {
        json!(self.shared.store.versions()).to_string().into_bytes()
    }

    /// The counters of the process, and below `tenants` those of each control plane, as JSON.
    #[must_use]
    pub fn stats(&self) -> Vec<u8> {
        let stats = Stats { process: self.shared.counts.totals(), tenants: self.shared.store.totals() };
        json!(stats).to_string().into_bytes()
    }

    /// The health of upstreams, targets and addresses per control plane, as JSON.
    #[must_use]
    pub fn health(&self) -> Vec<u8> {
        json!(self.shared.store.health()).to_string().into_bytes()
    }

    /// What is counted of a control plane for Prometheus, in its text format; `None` if there is no such control plane.
    #[must_use]
    pub fn metrics(&self, control_plane_id: &str) -> Option<String> {
        self.shared.store.metrics(control_plane_id)
    }

    /// Sets the health of a target, or of one of its addresses, until a check finds otherwise. The order is a JSON
    /// object: `control_plane_id`, `upstream` and `target` (ids or names), `address` (`ip:port`, optional), `healthy`.
    /// Returns whether there is such a target.
    pub fn set_target_health(&self, order: &[u8]) -> Result<bool, InvalidOptions> {
        let order = serde_json::from_slice(order).map_err(|error| InvalidOptions(format!("order: {error}")))?;
        Ok(self.shared.store.set_target_health(&order))
    }

    /// Moves the engine's clock forward; for tests.
    pub fn advance_clock(&self, by: Duration) {
        self.shared.clock.advance(by);
    }

    /// Stops accepting, lets requests in flight end for so long, and joins all threads. Does nothing if the engine
    /// does not run.
    pub fn stop(&self, grace: Duration) {
        let Some(running) = self.lock().take() else { return };
        running.stop.send_replace(Stop::Until(Instant::now() + grace));
        for thread in running.threads {
            // A thread that panicked has nothing left to end.
            let _ = thread.join();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop(Duration::ZERO);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::Presence;

    #[test]
    fn a_panic_ends_one_connection_only() {
        let engine = Engine::new(br#"{"listeners": [], "threads": 1, "version": "x"}"#).unwrap();
        let runtime = Builder::new_current_thread().build_local(LocalOptions::default()).unwrap();
        runtime.block_on(async {
            let worker = Rc::new(Worker::new(engine.shared.clone(), 0));
            let broken = worker.register(Rc::new(Presence::default()));
            let healthy = worker.register(Rc::new(Presence::default()));
            let task = tokio::task::spawn_local(async move {
                let _registration = broken;
                panic!("as a bug would");
            });
            assert!(task.await.is_err());
            let totals = engine.shared.counts.totals();
            assert_eq!((totals.panics_total, totals.connections_open), (1, 1));
            drop(healthy);
            assert_eq!(engine.shared.counts.totals().connections_open, 0);
        });
    }
}
