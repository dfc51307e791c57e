//! Probes of targets, on the upkeep thread: never on the way of a request.

use std::io;
use std::sync::{Arc, Weak};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::Outcome;
use crate::config::entities::{ActiveSpec, CheckKind};
use crate::http1::question::{Asking, Question};
use crate::message::Headers;
use crate::upkeep::Upkeep;
use crate::upstream::balancer::Balancer;
use crate::upstream::balancer::table::{Entry, Table};
use crate::upstream::connect::dial;
use crate::upstream::pool::{Connection, PoolKey};
use crate::upstream::tls::{Roots, TlsIdentity, TlsPolicy, Verification};

/// Shortest pause between two rounds of probes.
const SHORTEST: Duration = Duration::from_millis(100);
/// Longest pause, and longest wait for an answer.
const LONGEST: Duration = Duration::from_secs(65_535);
/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// Probes that an upstream has under way at once, whatever it asks for.
const MOST_AT_ONCE: usize = 32;

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
        probes.spawn_local(async move {
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
    let address = entry.peer.address;
    let is_secure = matches!(active.r#type, CheckKind::Https | CheckKind::Grpcs);
    let (host, protocols) = match active.r#type {
        CheckKind::Tcp | CheckKind::Grpc => (None, &[][..]),
        CheckKind::Grpcs => (None, &["h2"][..]),
        CheckKind::Http => (Some(&entry.origin.http), &[][..]),
        CheckKind::Https => (Some(&entry.origin.https), &["http/1.1"][..]),
    };
    let tls = is_secure.then(|| {
        let verification =
            if active.https_verify_certificate { Verification::On(Roots::default()) } else { Verification::Off };
        let policy = Arc::new(TlsPolicy::new(verification, None));
        let own = Arc::new(TlsIdentity::new(ServerName::IpAddress(address.ip().into()), policy));
        own.towards(active.https_sni.as_ref().map_or(&*entry.origin.https, String::as_bytes))
    });
    let stream = dial(&upkeep.tls, &PoolKey { tenant, address, tls }, protocols).await?;
    let Some(host) = host else { return Ok(Outcome::Connected) };
    let mut connection = Connection::new(stream, None);
    let request = request(active, host);
    let head = Asking::new(&mut connection, &request).head().await;
    head.map(|head| Outcome::Status(head.status)).map_err(|_| io::ErrorKind::InvalidData.into())
}

fn request(active: &ActiveSpec, host: &[u8]) -> Vec<u8> {
    let mut headers = Headers::new();
    let mut own_host = None;
    for (name, values) in active.headers.iter().flatten() {
        if name.eq_ignore_ascii_case("host") {
            own_host = values.first();
        }
        for value in values.iter().filter(|_| !name.eq_ignore_ascii_case("user-agent")) {
            // What is no header would be read as part of another.
            let _ = headers.append(name, value);
        }
    }
    let question = Question {
        method: "GET",
        target: &active.http_path,
        host: own_host.map_or(host, String::as_bytes),
        agent: "sluice/healthcheck",
        headers: &headers,
        body: b"",
        keep_alive: false,
    };
    question.write()
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
