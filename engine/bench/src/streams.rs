//! A load generator that speaks HTTP/2: connections with several streams each, every stream a closed loop.

use std::cell::{Cell, RefCell};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ::http::{Request, StatusCode};
use bytes::Bytes;
use h2::client::SendRequest;
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use crate::args::Args;
use crate::histogram::Histogram;

struct Tally {
    latency: RefCell<Histogram>,
    unexpected: Cell<u64>,
    failures: Cell<u64>,
    end: Instant,
}

/// Runs one measurement and prints it as one line of JSON.
///
/// Options: `--address`, `--path`, `--host`, `--connections 4`, `--streams 16` (per connection), `--seconds 5`.
pub fn run(mut args: Args) -> Result<(), String> {
    let address = args.value("address", SocketAddr::from(([127, 0, 0, 1], 8000)))?;
    let path: String = args.value("path", "/".to_owned())?;
    let host: String = args.value("host", "bench.test".to_owned())?;
    let connections: usize = args.value("connections", 4)?;
    let streams: usize = args.value("streams", 16)?;
    let seconds: f64 = args.value("seconds", 5.0)?;
    args.finish()?;
    if !(1..=1024).contains(&connections) || !(1..=100).contains(&streams) || !(0.0..=3600.0).contains(&seconds) {
        return Err("1 to 1024 connections, 1 to 100 streams, at most 3600 seconds".to_owned());
    }
    let request = Request::get(format!("http://{host}{path}")).body(()).map_err(|error| error.to_string())?;
    let tally = Rc::new(Tally {
        latency: RefCell::new(Histogram::new()),
        unexpected: Cell::new(0),
        failures: Cell::new(0),
        end: Instant::now() + Duration::from_secs_f64(seconds),
    });
    let started = Instant::now();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(|error| error.to_string())?;
    let local = LocalSet::new();
    local.block_on(&runtime, load(address, &request, connections, streams, &tally))?;
    writeln!(io::stdout(), "{}", report(&tally, started.elapsed())).map_err(|error| error.to_string())
}

async fn load(
    address: SocketAddr,
    request: &Request<()>,
    connections: usize,
    streams: usize,
    tally: &Rc<Tally>,
) -> Result<(), String> {
    let mut tasks = Vec::new();
    for _ in 0..connections {
        let tcp = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
        tcp.set_nodelay(true).map_err(|error| error.to_string())?;
        let (sender, connection) = h2::client::handshake(tcp).await.map_err(|error| error.to_string())?;
        drop(tokio::task::spawn_local(connection));
        for _ in 0..streams {
            let (sender, request, tally) = (sender.clone(), request.clone(), tally.clone());
            tasks.push(tokio::task::spawn_local(async move {
                if one_after_the_other(sender, &request, &tally).await.is_err() {
                    tally.failures.set(tally.failures.get() + 1);
                }
            }));
        }
    }
    for task in tasks {
        task.await.map_err(|error| error.to_string())?;
    }
    Ok(())
}

async fn one_after_the_other(
    mut sender: SendRequest<Bytes>,
    request: &Request<()>,
    tally: &Tally,
) -> Result<(), h2::Error> {
    loop {
        let since = Instant::now();
        if since >= tally.end {
            return Ok(());
        }
        sender = sender.ready().await?;
        let response = sender.send_request(request.clone(), true)?.0.await?;
        let status = response.status();
        let mut body = response.into_body();
        while let Some(piece) = body.data().await {
            body.flow_control().release_capacity(piece?.len())?;
        }
        if status != StatusCode::OK {
            tally.unexpected.set(tally.unexpected.get() + 1);
        }
        tally.latency.borrow_mut().record(since.elapsed());
    }
}

fn report(tally: &Tally, elapsed: Duration) -> String {
    let latency = tally.latency.borrow();
    let micros = |duration: Duration| duration.as_secs_f64() * 1e6;
    #[expect(clippy::cast_precision_loss, reason = "request counts stay far below 2^52")]
    let per_second = latency.total() as f64 / elapsed.as_secs_f64();
    format!(
        "{{\"requests\":{},\"unexpected\":{},\"failures\":{},\"seconds\":{:.4},\"rps\":{per_second:.1},\
         \"latency_us\":{{\"mean\":{:.1},\"p50\":{:.1},\"p99\":{:.1},\"max\":{:.1}}}}}",
        latency.total(),
        tally.unexpected.get(),
        tally.failures.get(),
        elapsed.as_secs_f64(),
        micros(latency.mean()),
        micros(latency.quantile(500)),
        micros(latency.quantile(990)),
        micros(latency.longest()),
    )
}
