//! Probes of targets, on the upkeep thread: never on the way of a request.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsConnector;

use super::Outcome;
use crate::config::entities::{ActiveSpec, CheckKind};
use crate::upkeep::Upkeep;
use crate::upstream::balancer::Balancer;
use crate::upstream::balancer::table::{Entry, Table};
use crate::upstream::tls::{Roots, TlsIdentity, TlsPolicy, Verification};

/// Shortest pause between two rounds of probes.
const SHORTEST: Duration = Duration::from_millis(100);
/// Longest pause, and longest wait for an answer.
const LONGEST: Duration = Duration::from_secs(65_535);
/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// Probes that an upstream has under way at once, whatever it asks for.
const MOST_AT_ONCE: usize = 32;
/// Bytes that a status line may take.
const LONGEST_LINE: usize = 1024;

/// Probes the targets of an upstream for as long as there is one that wants it.
pub async fn watch(upstream: Weak<Balancer>, upkeep: Arc<Upkeep>, mut random: u64) {
    let (mut healthy_at, mut unhealthy_at) = (None, None);
    loop {
        let Some(balancer) = upstream.upgrade() else { return };
        let table = balancer.table();
        let active = &table.plan.checks.active;
        let pauses = (pause(active.healthy.interval), pause(active.unhealthy.interval));
        if pauses == (None, None) {
            return;
        }
        let now = Instant::now();
        // The first round comes at some moment of the interval: many upstreams may have begun at once.
        let mut first = |pause: Option<Duration>| {
            random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            pause.map(|pause| now + pause.mul_f64(f64::from(u8::try_from(random >> 56).unwrap_or(0)) / 255.0))
        };
        healthy_at = pauses.0.and_then(|_| healthy_at.or_else(|| first(pauses.0)));
        unhealthy_at = pauses.1.and_then(|_| unhealthy_at.or_else(|| first(pauses.1)));
        let changed = balancer.changed();
        if let Some(next) = [healthy_at, unhealthy_at].into_iter().flatten().min()
            && next > now
        {
            // Nothing is held while it waits: the upstream may come to its end meanwhile.
            drop((table, balancer));
            tokio::select! {
                () = sleep_until(next) => {}
                () = changed.notified() => (healthy_at, unhealthy_at) = (None, None),
            }
            continue;
        }
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let (healthy, unhealthy) = (due(healthy_at), due(unhealthy_at));
        balancer.ready(&upkeep, upkeep.clock.elapsed(), PATIENCE).await;
        round(&balancer, &upkeep, healthy, unhealthy).await;
        let after = |due: bool, at: Option<Instant>, pause: Option<Duration>| {
            if due { pause.map(|pause| Instant::now() + pause) } else { at }
        };
        healthy_at = after(healthy, healthy_at, pauses.0);
        unhealthy_at = after(unhealthy, unhealthy_at, pauses.1);
    }
}

/// `None` for an interval that is off.
fn pause(seconds: f64) -> Option<Duration> {
    (seconds > 0.0).then(|| Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST).clamp(SHORTEST, LONGEST))
}

/// Probes the addresses of the states that are due.
async fn round(balancer: &Arc<Balancer>, upkeep: &Arc<Upkeep>, healthy: bool, unhealthy: bool) {
    let table = balancer.table();
    let wanted = usize::try_from(table.plan.checks.active.concurrency).unwrap_or(MOST_AT_ONCE);
    let most = wanted.clamp(1, MOST_AT_ONCE);
    let mut probes = JoinSet::new();
    let count = table.entries().count();
    for place in 0..count {
        let is_due = table
            .entries()
            .nth(place)
            .is_some_and(|entry| if entry.peer.health.is_healthy() { healthy } else { unhealthy });
        if !is_due {
            continue;
        }
        while probes.len() >= most {
            probes.join_next().await;
        }
        let (balancer, upkeep, table) = (balancer.clone(), upkeep.clone(), table.clone());
        probes.spawn(async move {
            let Some(entry) = table.entries().nth(place) else { return };
            let outcome = {
                // The permits of the tenant come first: its own queue must not hold the others' places.
                let of_tenant = upkeep.probes.of(balancer.tenant);
                let _own = of_tenant.acquire().await;
                let _all = upkeep.probes.all.acquire().await;
                probe(&upkeep, balancer.tenant, &table, entry).await
            };
            balancer.probed(&table, entry, outcome);
        });
    }
    while probes.join_next().await.is_some() {}
}

async fn probe(upkeep: &Upkeep, tenant: u64, table: &Table, entry: &Entry) -> Outcome {
    let active = &table.plan.checks.active;
    let patience = Duration::try_from_secs_f64(active.timeout).unwrap_or(PATIENCE).clamp(SHORTEST, PATIENCE);
    match timeout(patience, exchange(upkeep, tenant, active, entry)).await {
        Err(_) => Outcome::Timeout,
        Ok(Err(_)) => Outcome::TcpFailure,
        Ok(Ok(outcome)) => outcome,
    }
}

/// The address was checked when it was taken into the table, and this is the one that is connected to.
async fn exchange(upkeep: &Upkeep, tenant: u64, active: &ActiveSpec, entry: &Entry) -> io::Result<Outcome> {
    let address: SocketAddr = entry.peer.address;
    let mut tcp = TcpStream::connect(address).await?;
    match active.r#type {
        CheckKind::Tcp | CheckKind::Grpc => Ok(Outcome::Connected),
        CheckKind::Http => status(&mut tcp, active, &entry.origin.http).await,
        CheckKind::Https | CheckKind::Grpcs => {
            let verification =
                if active.https_verify_certificate { Verification::On(Roots::default()) } else { Verification::Off };
            let policy = Arc::new(TlsPolicy::new(verification, None));
            let own = Arc::new(TlsIdentity::new(ServerName::IpAddress(address.ip().into()), policy));
            let host = active.https_sni.as_ref().map_or(&*entry.origin.https, String::as_bytes);
            let identity = own.towards(host);
            let config = upkeep.tls.get(tenant, identity.policy()).map_err(io::Error::other)?;
            let mut tls = TlsConnector::from(config).connect(identity.name().clone(), tcp).await?;
            if active.r#type == CheckKind::Grpcs {
                return Ok(Outcome::Connected);
            }
            status(&mut tls, active, &entry.origin.https).await
        }
    }
}

/// Asks for the path and reads the status.
async fn status<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    active: &ActiveSpec,
    host: &[u8],
) -> io::Result<Outcome> {
    stream.write_all(&request(active, host)).await?;
    stream.flush().await?;
    let mut line = Vec::with_capacity(LONGEST_LINE);
    while line.len() < LONGEST_LINE && !line.contains(&b'\n') {
        if stream.read_buf(&mut line).await? == 0 {
            break;
        }
    }
    let text = line.strip_prefix(b"HTTP/1.").and_then(|rest| rest.get(2..5));
    let status = text.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    status.map(Outcome::Status).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn request(active: &ActiveSpec, host: &[u8]) -> Vec<u8> {
    let is_target = active.http_path.starts_with('/') && active.http_path.bytes().all(|byte| byte.is_ascii_graphic());
    let path = if is_target { active.http_path.as_str() } else { "/" };
    let own = active.headers.iter().flatten().rfind(|(name, _)| name.eq_ignore_ascii_case("host"));
    let host = own.and_then(|(_, values)| values.first()).map_or(host, String::as_bytes);
    let mut out = format!("GET {path} HTTP/1.1\r\nHost: ").into_bytes();
    out.extend(host.iter().filter(|byte| byte.is_ascii_graphic()));
    out.extend_from_slice(b"\r\nUser-Agent: sluice/healthcheck\r\nConnection: close\r\n");
    for (name, values) in active.headers.iter().flatten() {
        let is_name =
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        let is_ours = ["host", "connection", "content-length", "transfer-encoding", "user-agent"]
            .iter()
            .any(|ours| name.eq_ignore_ascii_case(ours));
        if !is_name || is_ours {
            continue;
        }
        for value in values.iter().filter(|value| value.bytes().all(|byte| byte >= b' ' && byte != 0x7f)) {
            out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
    }
    out.extend_from_slice(b"\r\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_is_one_request_whatever_it_is_told() {
        let spec = serde_json::json!({
            "http_path": "/a b\r\n", "headers": {"x": ["1", "2\r\nbad: 3"], "Host": ["h.test"], "a b": ["c"]},
        });
        let active: ActiveSpec = serde_json::from_value(spec).unwrap();
        let text = String::from_utf8(request(&active, b"own.test")).unwrap();
        assert_eq!(
            text,
            "GET / HTTP/1.1\r\nHost: h.test\r\nUser-Agent: sluice/healthcheck\r\nConnection: close\r\nx: 1\r\n\r\n"
        );
    }

    #[test]
    fn intervals_are_bounded() {
        assert_eq!(pause(0.0), None);
        assert_eq!(pause(0.000_1), Some(SHORTEST));
        assert_eq!(pause(f64::MAX), Some(LONGEST));
    }
}
