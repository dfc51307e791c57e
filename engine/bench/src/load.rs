//! A load generator: N keep-alive connections, each with one request under way.
//!
//! Closed loop by default. With a rate, requests fall due at fixed times and latency counts from then on, so that a
//! stalling proxy cannot hide its stalls by slowing the generator down. Several hosts are asked in turn, each as often.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::io::{self, ErrorKind, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};

use crate::args::Args;
use crate::histogram::Histogram;
use crate::http;
use crate::stream::{Connector, Stream};

const READ_BYTES: usize = 64 * 1024;
/// A connection that fails this often in a row means that nobody is there.
const MOST_FAILURES: u64 = 1000;
/// Hosts that one generator asks at most.
const MOST_HOSTS: usize = 100_000;

struct Plan {
    connector: Connector,
    /// One per host.
    requests: Vec<Vec<u8>>,
    /// How many are sent in all.
    most: u64,
    connections: usize,
    length: Duration,
    /// Time between requests over all connections; zero for a closed loop.
    interval: Duration,
}

#[derive(Default)]
struct Tally {
    statuses: BTreeMap<u16, u64>,
    unexpected: u64,
    failures: u64,
    reconnects: u64,
}

struct Connection {
    stream: Stream,
    held: Vec<u8>,
    /// When the request under way was sent or, with a rate, fell due.
    since: Option<Instant>,
}

/// Runs one measurement and prints it as one line of JSON.
///
/// Options: `--address`, `--path`, `--host`, `--header "Name: value"` (repeatable), `--headers N` (further ones),
/// `--connections 64`, `--seconds 5`, `--rate 0` (requests per second, 0: closed loop), `--tls false`,
/// `--requests 0` (ends after so many, 0: when the time is over). `--hosts 100 --first 0` asks hosts 0 to 99 in turn, whose
/// numbers replace `{}` in `--host`.
pub fn run(mut args: Args) -> Result<(), String> {
    let address = args.value("address", SocketAddr::from(([127, 0, 0, 1], 8000)))?;
    let path: String = args.value("path", "/".to_owned())?;
    let host: String = args.value("host", "bench.test".to_owned())?;
    let hosts: usize = args.value("hosts", 1)?;
    let first: usize = args.value("first", 0)?;
    let mut headers = String::new();
    for line in args.all("header") {
        // Writing to a string cannot fail.
        let _ = write!(headers, "{line}\r\n");
    }
    for number in 0..args.value("headers", 0)? {
        let _ = write!(headers, "X-Client-Header-{number}: some value of usual length {number}\r\n");
    }
    let most: u64 = args.value("requests", 0)?;
    let connections: usize = args.value("connections", 64)?;
    let seconds: f64 = args.value("seconds", 5.0)?;
    let rate: u32 = args.value("rate", 0)?;
    let tls: bool = args.value("tls", false)?;
    args.finish()?;
    if connections == 0 || !(0.0..=3600.0).contains(&seconds) {
        return Err("--connections must be positive and --seconds at most 3600".to_owned());
    }
    if !(1..=MOST_HOSTS).contains(&hosts) {
        return Err(format!("--hosts must be 1 to {MOST_HOSTS}"));
    }
    let names = (first..first + hosts).map(|number| host.replace("{}", &number.to_string()));
    let plan = Plan {
        requests: names
            .map(|name| format!("GET {path} HTTP/1.1\r\nHost: {name}\r\n{headers}\r\n").into_bytes())
            .collect(),
        connector: Connector::new(address, tls.then(|| host.replace("{}", &first.to_string())))?,
        most: if most == 0 { u64::MAX } else { most },
        connections,
        length: Duration::from_secs_f64(seconds),
        interval: Duration::from_secs(1).checked_div(rate).unwrap_or_default(),
    };
    let (line, tally) = measure(&plan).map_err(|error| format!("{address}: {error}"))?;
    writeln!(io::stdout(), "{line}").map_err(|error| error.to_string())?;
    if tally.failures >= MOST_FAILURES { Err("too many failures".to_owned()) } else { Ok(()) }
}

fn measure(plan: &Plan) -> io::Result<(String, Tally)> {
    let mut run = Run::open(plan)?;
    let started = Instant::now();
    run.loop_until(started, started + plan.length)?;
    let elapsed = started.elapsed();
    Ok((report(&run, elapsed), run.tally))
}

fn report(run: &Run<'_>, elapsed: Duration) -> String {
    let latency = &run.latency;
    let micros = |duration: Duration| duration.as_secs_f64() * 1e6;
    #[expect(clippy::cast_precision_loss, reason = "request counts stay far below 2^52")]
    let per_second = latency.total() as f64 / elapsed.as_secs_f64();
    let statuses = run.tally.statuses.iter().map(|(status, count)| format!("\"{status}\":{count}"));
    let statuses = statuses.collect::<Vec<_>>().join(",");
    format!(
        "{{\"requests\":{},\"statuses\":{{{statuses}}},\"unexpected\":{},\"failures\":{},\"reconnects\":{},\"seconds\":{:.4},\"rps\":{per_second:.1},\
         \"latency_us\":{{\"mean\":{:.1},\"p50\":{:.1},\"p90\":{:.1},\"p99\":{:.1},\"p999\":{:.1},\"max\":{:.1}}}}}",
        latency.total(),
        run.tally.unexpected,
        run.tally.failures,
        run.tally.reconnects,
        elapsed.as_secs_f64(),
        micros(latency.mean()),
        micros(latency.quantile(500)),
        micros(latency.quantile(900)),
        micros(latency.quantile(990)),
        micros(latency.quantile(999)),
        micros(latency.longest()),
    )
}

struct Run<'plan> {
    plan: &'plan Plan,
    poll: Poll,
    connections: Vec<Connection>,
    idle: VecDeque<usize>,
    sent: u64,
    next: usize,
    latency: Histogram,
    tally: Tally,
    scratch: Vec<u8>,
}

impl<'plan> Run<'plan> {
    fn open(plan: &'plan Plan) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut connections = Vec::with_capacity(plan.connections);
        for number in 0..plan.connections {
            connections.push(connect(plan, &poll, number)?);
        }
        Ok(Self {
            plan,
            poll,
            connections,
            idle: (0..plan.connections).collect(),
            sent: 0,
            next: 0,
            latency: Histogram::new(),
            tally: Tally::default(),
            scratch: vec![0; READ_BYTES],
        })
    }

    fn loop_until(&mut self, started: Instant, end: Instant) -> io::Result<()> {
        let mut events = Events::with_capacity(self.plan.connections.max(16));
        let paced = !self.plan.interval.is_zero();
        let mut due = started;
        loop {
            let now = Instant::now();
            let done = self.all_sent() && self.idle.len() == self.connections.len();
            if done || now >= end || self.tally.failures >= MOST_FAILURES {
                return Ok(());
            }
            while (!paced || due <= now) && !self.all_sent() && self.tally.failures < MOST_FAILURES {
                let Some(number) = self.idle.pop_front() else { break };
                self.send(number, if paced { due } else { Instant::now() })?;
                due += self.plan.interval;
            }
            let wake = if paced && !self.idle.is_empty() && !self.all_sent() { due.min(end) } else { end };
            match self.poll.poll(&mut events, Some(wake.saturating_duration_since(now))) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                other => other?,
            }
            for event in &events {
                let Token(number) = event.token();
                if !self.receive(number)? {
                    continue;
                }
                if paced || self.all_sent() {
                    self.idle.push_back(number);
                } else {
                    // A closed loop goes on at once, while the connection is still in the cache.
                    self.send(number, Instant::now())?;
                }
            }
        }
    }

    fn all_sent(&self) -> bool {
        self.sent == self.plan.most
    }

    fn send(&mut self, number: usize, since: Instant) -> io::Result<()> {
        let connection = &mut self.connections[number];
        connection.since = Some(since);
        let request = &self.plan.requests[self.next];
        self.next = if self.next + 1 == self.plan.requests.len() { 0 } else { self.next + 1 };
        self.sent += 1;
        // A request fits into the socket buffer of an idle connection; less than all means that the peer is gone.
        match connection.stream.write(request) {
            Ok(sent) if sent == request.len() => Ok(()),
            _ => self.fail(number),
        }
    }

    /// Reads what arrived; true when that completed the answer.
    fn receive(&mut self, number: usize) -> io::Result<bool> {
        let connection = &mut self.connections[number];
        if connection.since.is_none() {
            // Only the end of the connection is due while nothing is asked; it is in the idle queue and stays there.
            if !matches!(connection.stream.read(&mut self.scratch), Err(error) if error.kind() == ErrorKind::WouldBlock)
            {
                self.tally.reconnects += 1;
                self.connections[number] = connect(self.plan, &self.poll, number)?;
            }
            return Ok(false);
        }
        let received = match connection.stream.read(&mut self.scratch) {
            Ok(0) => return self.fail(number).map(|()| false),
            Ok(received) => received,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(_) => return self.fail(number).map(|()| false),
        };
        let bytes: &[u8] = if connection.held.is_empty() {
            &self.scratch[..received]
        } else {
            connection.held.extend_from_slice(&self.scratch[..received]);
            &connection.held
        };
        let Some(answer) = http::message(bytes).map_err(io::Error::other)? else {
            if connection.held.is_empty() {
                connection.held.extend_from_slice(&self.scratch[..received]);
            }
            return Ok(false);
        };
        let status = http::status(bytes).map_err(io::Error::other)?;
        *self.tally.statuses.entry(status).or_default() += 1;
        if status != 200 || answer.length != bytes.len() {
            self.tally.unexpected += 1;
        }
        connection.held.clear();
        if let Some(since) = connection.since.take() {
            self.latency.record(since.elapsed());
        }
        if answer.closes {
            self.tally.reconnects += 1;
            self.connections[number] = connect(self.plan, &self.poll, number)?;
        }
        Ok(true)
    }

    /// Counts a broken connection and replaces it.
    fn fail(&mut self, number: usize) -> io::Result<()> {
        self.tally.failures += 1;
        self.connections[number] = connect(self.plan, &self.poll, number)?;
        self.idle.push_back(number);
        Ok(())
    }
}

fn connect(plan: &Plan, poll: &Poll, number: usize) -> io::Result<Connection> {
    let mut stream = plan.connector.connect()?;
    poll.registry().register(stream.source(), Token(number), Interest::READABLE)?;
    Ok(Connection { stream, held: Vec::new(), since: None })
}
