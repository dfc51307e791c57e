//! What credentials cost: applying them, their memory, one look-up, and one change among many.

use std::hint::black_box;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};
use sluice_engine_core::config::directory::CredentialKey;
use sluice_engine_core::config::store::Store;
use sluice_engine_core::config::tenant::Tenant;

use crate::args::Args;
use crate::memory::{peak_bytes, resident_bytes};

/// Keys of one consumer.
const KEYS_EACH: usize = 10;
const LOOK_UPS: usize = 1_000_000;
const CHANGES: usize = 500;
const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

/// Prints, in one line: credentials, ms to apply all, bytes each, bytes each at the peak, ns of a known and of an unknown
/// key, µs of one change (median, p99).
pub fn run(mut args: Args) -> Result<(), String> {
    let count = args.value("credentials", 10_000)?;
    args.finish()?;
    let hashing = CredentialKey::new(SECRET);
    let update = snapshot(count, &hashing);
    let store = Store::new(1, Arc::default());
    let before = resident_bytes();
    let started = Instant::now();
    apply(&store, &update)?;
    let millis = started.elapsed().as_millis();
    let (held, peak) = (resident_bytes().saturating_sub(before), peak_bytes().saturating_sub(before));
    drop(update);

    let tenant = store.hosts.find("a").ok_or("no such host")?;
    let (known, unknown) = (look_ups(&tenant, count, true)?, look_ups(&tenant, count, false)?);
    drop(tenant);
    let mut micros = Vec::with_capacity(CHANGES);
    for change in 0..CHANGES {
        let entity = credential(change * 7919 % count, count + change, &hashing);
        let version = change + 2;
        let delta = json!({
            "kind": "delta", "format": 1, "organization_id": "o", "control_plane_id": "c", "from_version": version - 1,
            "version": version, "hosts": ["a"],
            "changes": [{"operation": "put", "type": "keyauth_credentials", "id": entity["id"], "entity": entity}],
        });
        let delta = delta.to_string();
        let begun = Instant::now();
        apply(&store, delta.as_bytes())?;
        micros.push(begun.elapsed().as_micros());
    }
    micros.sort_unstable();
    let (median, late) = (micros[CHANGES / 2], micros[CHANGES * 99 / 100]);
    let (held, peak) = (held / count, peak / count);
    writeln!(std::io::stdout(), "{count} {millis} {held} {peak} {known} {unknown} {median} {late}")
        .map_err(|error| error.to_string())
}

/// Nanoseconds of a look-up, spread over all keys.
fn look_ups(tenant: &Tenant, count: usize, known: bool) -> Result<u128, String> {
    let offset = if known { 0 } else { count };
    let keys: Vec<Vec<u8>> = (0..LOOK_UPS.min(count * 10)).map(|n| key(n * 7919 % count + offset)).collect();
    let started = Instant::now();
    let mut found = 0;
    for key in &keys {
        found += usize::from(black_box(tenant.directory.key(key, || 0)).is_some());
    }
    let nanos = started.elapsed().as_nanos() / keys.len() as u128;
    if found == if known { keys.len() } else { 0 } { Ok(nanos) } else { Err(format!("{found} keys were found")) }
}

fn apply(store: &Store, update: &[u8]) -> Result<(), String> {
    let report = store.apply(update);
    if report.accepted { Ok(()) } else { Err(format!("{:?}", report.errors.first())) }
}

/// Written piece by piece: memory that a tree of it had left behind would be used again and not be seen.
fn snapshot(count: usize, hashing: &CredentialKey) -> Vec<u8> {
    let settings = json!({
        "router_flavor": "traditional_compatible", "trusted_ips": [], "real_ip_header": "X-Real-IP", "headers": [],
        "credential_key": encode(SECRET),
    });
    let mut update = format!(
        r#"{{"kind": "snapshot", "format": 1, "organization_id": "o", "control_plane_id": "c", "version": 1, "hosts": ["a"],
        "settings": {settings}, "entities": {{"consumers": ["#
    )
    .into_bytes();
    let mut list = |entities: &mut dyn Iterator<Item = Value>, end: &[u8]| {
        for (place, entity) in entities.enumerate() {
            update.extend_from_slice(if place == 0 { b"" } else { b"," });
            update.extend_from_slice(entity.to_string().as_bytes());
        }
        update.extend_from_slice(end);
    };
    list(&mut (0..count.div_ceil(KEYS_EACH)).map(consumer), br#"], "keyauth_credentials": ["#);
    list(&mut (0..count).map(|n| credential(n, n, hashing)), b"]}}");
    update
}

fn key(n: usize) -> Vec<u8> {
    format!("key-{n:028}").into_bytes()
}

fn consumer(n: usize) -> Value {
    json!({"id": id(1, n), "username": format!("consumer-{n}"), "custom_id": null, "tags": null})
}

/// The n-th credential, with the key of a number.
fn credential(n: usize, number: usize, hashing: &CredentialKey) -> Value {
    json!({
        "id": id(2, n), "consumer": {"id": id(1, n / KEYS_EACH)}, "key_hash": encode(&hashing.hash(&key(number))),
        "expires_at": null,
    })
}

fn id(kind: usize, n: usize) -> String {
    format!("{kind:08}-0000-4000-8000-{n:012}")
}

/// Base64 with padding.
fn encode(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for piece in bytes.chunks(3) {
        let group =
            piece.iter().fold(0_usize, |group, byte| group << 8 | usize::from(*byte)) << (8 * (3 - piece.len()));
        for place in 0..4 {
            let digit = char::from(DIGITS[group >> (18 - 6 * place) & 63]);
            text.push(if place <= piece.len() { digit } else { '=' });
        }
    }
    text
}
