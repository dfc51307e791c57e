//! What configuration costs: time and memory of many small tenants, and of changes to large ones.

use std::io::Write as _;
use std::process::Command;
use std::time::Instant;

use serde_json::{Value, json};
use sluice_engine_core::engine::Engine;

use crate::args::Args;
use crate::memory::resident_bytes;

const TENANTS: usize = 10_000;
const SIZES: [usize; 3] = [1_000, 10_000, 50_000];
const DELTAS: usize = 500;

/// Makes the n-th entity of a type.
type Make = fn(usize) -> Value;

/// Prints the cost of many small tenants, then of large ones. Each is measured in a process of its own: memory that an
/// earlier one left behind would be used again and not be seen.
pub fn run(mut args: Args) -> Result<(), String> {
    let tenants = args.value("tenants", 0)?;
    let entities = args.value("entities", 0)?;
    args.finish()?;
    if tenants > 0 {
        return small(tenants);
    }
    if entities > 0 {
        return large(entities);
    }
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let again = |name: &str, size: usize| -> Result<(), String> {
        let arguments = ["config", name, &size.to_string()];
        let status = Command::new(&program).args(arguments).status().map_err(|error| error.to_string())?;
        if status.success() { Ok(()) } else { Err(format!("{name} {size} failed")) }
    };
    again("--tenants", TENANTS)?;
    SIZES.into_iter().try_for_each(|size| again("--entities", size))
}

fn print(line: &str) -> Result<(), String> {
    writeln!(std::io::stdout(), "{line}").map_err(|error| error.to_string())
}

/// Tenants of a service, a route and a plugin each, with a host of their own.
fn small(tenants: usize) -> Result<(), String> {
    let engine = engine()?;
    let updates: Vec<Vec<u8>> = (0..tenants).map(|n| snapshot(n, &[service(0)], &[route(0)], &[plugin(0)])).collect();
    let before = resident_bytes();
    let started = Instant::now();
    for update in &updates {
        apply(&engine, update)?;
    }
    let micros = started.elapsed().as_micros() / tenants as u128;
    let bytes = resident_bytes().saturating_sub(before) / tenants;
    let all = resident_bytes() / 1_000_000;
    print(&format!(
        "{tenants} tenants of 3 entities: {micros} us and {bytes} bytes each; {all} MB of RSS with the updates"
    ))
}

/// One tenant: a tenth services, a tenth plugins of single routes, the rest routes.
fn large(entities: usize) -> Result<(), String> {
    let engine = engine()?;
    let part = entities / 10;
    let services: Vec<Value> = (0..part).map(service).collect();
    let routes: Vec<Value> = (0..entities - 2 * part).map(route).collect();
    let plugins: Vec<Value> = (0..part).map(plugin).collect();
    let update = snapshot(0, &services, &routes, &plugins);
    let before = resident_bytes();
    let started = Instant::now();
    apply(&engine, &update)?;
    let whole = started.elapsed().as_millis();
    let bytes = resident_bytes().saturating_sub(before) / entities;
    print(&format!("1 tenant of {entities} entities: snapshot {whole} ms, {bytes} bytes per entity"))?;
    let mut version = 1;
    let kinds: [(&str, &str, Make); 3] =
        [("route", "routes", route), ("service", "services", service), ("plugin", "plugins", plugin)];
    for (name, plural, entity) in kinds {
        let mut micros = Vec::with_capacity(DELTAS);
        for k in 0..DELTAS {
            let n = k * 7919 % part;
            let mut changed = entity(n);
            match name {
                "route" => changed["paths"] = json!([format!("/changed-{k}")]),
                "service" => changed["port"] = json!(1 + k),
                _ => changed["config"]["add"]["headers"] = json!([format!("x-changed:{k}")]),
            }
            let put = json!([{"operation": "put", "type": plural, "id": changed["id"], "entity": changed}]);
            let delta = json!({
                "kind": "delta", "format": 1, "organization_id": "o", "control_plane_id": "0", "from_version": version,
                "version": version + 1, "hosts": ["0.example.com"], "changes": put,
            });
            version += 1;
            let delta = delta.to_string();
            let begun = Instant::now();
            apply(&engine, delta.as_bytes())?;
            micros.push(begun.elapsed().as_micros());
        }
        micros.sort_unstable();
        let (median, late) = (micros[DELTAS / 2], micros[DELTAS * 99 / 100]);
        print(&format!("    change of one {name}: {median} us, p99 {late} us"))?;
    }
    Ok(())
}

fn engine() -> Result<Engine, String> {
    Engine::new(br#"{"listeners": [], "threads": 2, "version": "0"}"#).map_err(|error| error.to_string())
}

fn apply(engine: &Engine, update: &[u8]) -> Result<(), String> {
    let report = engine.apply(update);
    if report.accepted { Ok(()) } else { Err(format!("{:?}", report.errors)) }
}

fn snapshot(tenant: usize, services: &[Value], routes: &[Value], plugins: &[Value]) -> Vec<u8> {
    let update = json!({
        "kind": "snapshot", "format": 1, "organization_id": "o", "control_plane_id": tenant.to_string(), "version": 1,
        "hosts": [format!("{tenant}.example.com")],
        "settings": {
            "router_flavor": "traditional_compatible", "trusted_ips": [], "real_ip_header": "X-Real-IP",
            "headers": ["server_tokens", "latency_tokens", "X-Kong-Request-Id"],
        },
        "entities": {"services": services, "routes": routes, "plugins": plugins},
    });
    update.to_string().into_bytes()
}

fn id(kind: usize, n: usize) -> String {
    format!("{kind:08}-0000-4000-8000-{n:012}")
}

fn service(n: usize) -> Value {
    json!({
        "id": id(1, n), "name": format!("service-{n}"), "protocol": "https", "host": format!("service-{n}.example.com"),
        "port": 443, "path": "/base", "retries": 5, "connect_timeout": 60000, "write_timeout": 60000,
        "read_timeout": 60000, "enabled": true, "tags": null, "created_at": 1_700_000_000, "updated_at": 1_700_000_000,
    })
}

fn route(n: usize) -> Value {
    json!({
        "id": id(2, n), "name": format!("route-{n}"), "protocols": ["http", "https"], "methods": ["GET", "POST"],
        "paths": [format!("/api/{}/resource-{n}", n % 97)], "regex_priority": 0, "strip_path": true,
        "path_handling": "v0", "preserve_host": false, "https_redirect_status_code": 426, "request_buffering": true,
        "response_buffering": true, "service": {"id": id(1, n / 8)}, "created_at": 1_700_000_000,
    })
}

fn plugin(n: usize) -> Value {
    json!({
        "id": id(3, n), "name": "request-transformer", "instance_name": null, "enabled": true,
        "protocols": ["http", "https"], "route": {"id": id(2, n)}, "service": null, "consumer": null,
        "config": {"add": {"headers": [format!("Authorization:Bearer {n}")]}},
    })
}
