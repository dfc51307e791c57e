//! file-log.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::{Gateway, Upstream, closed_port, eventually};

use super::{GET, counted, plugin, with_plugins};

/// A directory that goes with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sluice-file-log-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }

    fn gateway(&self, plugins: &[Value]) -> Gateway {
        let options = json!({
            "listeners": [{"address": "127.0.0.1:0", "tls": false}], "threads": 1, "version": "0.0",
            "log_directory": self.0,
        });
        Gateway::with_options(&options, &with_plugins(Upstream::echo().address, plugins))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn file_log(path: &str) -> Value {
    plugin("file-log", json!({"path": path, "reopen": false, "custom_fields_by_lua": null}), &json!({}))
}

fn uris(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let records = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    records.map(|record| record["request"]["uri"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn records_are_lines_in_the_directory_of_the_control_plane() {
    let scratch = Scratch::new("lines");
    let gateway = scratch.gateway(&[file_log("/var/log/access.log")]);
    for number in 0..20 {
        assert_eq!(gateway.ask(&format!("GET /{number} HTTP/1.1\r\nHost: h\r\n\r\n")).status, 200);
    }
    counted(&gateway, "records_sent_total", 20);
    let expected: Vec<_> = (0..20).map(|number| format!("/{number}")).collect();
    assert_eq!(uris(&scratch.0.join("cp/var/log/access.log")), expected);
}

#[test]
fn a_file_that_was_moved_away_is_replaced() {
    let scratch = Scratch::new("moved");
    let gateway = scratch.gateway(&[file_log("access.log")]);
    let (path, moved) = (scratch.0.join("cp/access.log"), scratch.0.join("cp/access.log.old"));
    assert_eq!(gateway.ask(GET).status, 200);
    counted(&gateway, "records_sent_total", 1);
    fs::rename(&path, &moved).unwrap();
    assert_eq!(gateway.ask(GET).status, 200);
    counted(&gateway, "records_sent_total", 2);
    assert_eq!((uris(&path).len(), uris(&moved).len()), (1, 1));
}

#[test]
fn without_a_directory_records_are_lost_and_traffic_goes_on() {
    let gateway = super::gateway(&[file_log("access.log")]);
    for _ in 0..3 {
        assert_eq!(gateway.ask(GET).status, 200);
    }
    counted(&gateway, "records_dropped_total", 3);
}

#[test]
fn what_cannot_be_written_is_lost_and_traffic_goes_on() {
    let scratch = Scratch::new("unwritable");
    // Where the directory of the control plane should be, there is a file.
    fs::create_dir_all(&scratch.0).unwrap();
    fs::write(scratch.0.join("cp"), "x").unwrap();
    let gateway = scratch.gateway(&[file_log("access.log")]);
    for _ in 0..3 {
        assert_eq!(gateway.ask(GET).status, 200);
    }
    counted(&gateway, "records_dropped_total", 3);
    counted(&gateway, "records_waiting_bytes", 0);
    assert_eq!(fs::read(scratch.0.join("cp")).unwrap(), b"x");
}

#[test]
fn the_files_of_a_tenant_that_is_gone_are_gone() {
    let scratch = Scratch::new("gone");
    let gateway = scratch.gateway(&[file_log("access.log")]);
    assert_eq!(gateway.ask(GET).status, 200);
    counted(&gateway, "records_sent_total", 1);
    assert!(gateway.engine.remove("cp"));
    eventually(|| !scratch.0.join("cp").exists());
}

#[test]
fn paths_that_are_not_the_tenants_are_refused() {
    let gateway = super::gateway(&[]);
    for path in ["/dev/stdout", "//proc/self/fd/1", "/tmp/../x", "../../etc/passwd", "/", "logs/", "a\nb"] {
        let mut configuration = with_plugins(closed_port(), &[file_log(path)]);
        configuration["version"] = json!(2);
        let report = gateway.apply(&configuration);
        assert_eq!(report["errors"][0]["field"], "config.path", "{path}: {report}");
    }
}
