//! What was matched is what is sent: no reading of an upstream path leads elsewhere than the gateway's own.

use super::{Random, Sent, compiled};
use crate::router::{Join, escape_path, normalise, upstream_path};
use serde_json::json;

/// What attackers put into paths: escapes of dots and slashes once and twice, overlong and broken UTF-8, parameters.
const PIECES: [&str; 44] = [
    "/",
    "/",
    "/",
    "//",
    "a",
    "b",
    "route",
    ".",
    "..",
    "...",
    "/.",
    "/..",
    "/./",
    "/../",
    "%2e",
    "%2E",
    "%2e%2e",
    ".%2e",
    "%2f",
    "%2F",
    "%5c",
    "\\",
    "%252e",
    "%252f",
    "%25",
    "%2",
    "%",
    "%zz",
    ";a=b",
    ";",
    "..;",
    "%3b",
    "%23",
    "%3f",
    "%20",
    " ",
    "%00",
    "%01",
    "%c0%ae",
    "%e0%80%af",
    "%c3%a9",
    "é",
    "%ff",
    "%7f",
];

const SERVICES: [Option<&str>; 5] = [None, Some("/"), Some("/srv"), Some("/srv/"), Some("/a b/c")];

fn raw_path(random: &mut Random) -> String {
    let pieces: String = (0..=random.below(8)).map(|_| random.pick(&PIECES)).collect();
    format!("/{pieces}")
}

/// The path that an upstream reads, without the service's. It is checked that the upstream has nothing left to resolve
/// and that the service's path was not left.
fn read_by_upstream(sent: &[u8], service: Option<&str>, context: &str) -> Vec<u8> {
    let read = normalise(sent).unwrap_or_else(|_| panic!("is sent, but no path: {context}"));
    let mut again = Vec::new();
    escape_path(&mut again, &read);
    assert_eq!(String::from_utf8_lossy(&again), String::from_utf8_lossy(sent), "is read otherwise: {context}");
    assert!(sent.iter().all(u8::is_ascii_graphic), "{context}");
    let bare = service.unwrap_or("/").trim_end_matches('/').as_bytes();
    let own = read.strip_prefix(bare).unwrap_or_else(|| panic!("left the service's path: {context}"));
    assert!(own.is_empty() || own.starts_with(b"/"), "{context}");
    assert!(!own.split(|&byte| byte == b'/').any(|segment| matches!(segment, b"." | b"..")), "{context}");
    own.to_vec()
}

#[test]
fn upstreams_read_what_was_matched() {
    let mut random = Random(0x9A7B_2026);
    let mut out = Vec::new();
    let mut valid = 0;
    for _ in 0..20_000 {
        let raw = raw_path(&mut random);
        let Ok(path) = normalise(raw.as_bytes()) else { continue };
        assert_eq!(normalise(&path).as_deref(), Ok(&*path), "{raw}");
        valid += 1;
        for service in SERVICES {
            upstream_path(&mut out, service, &path, None, Join::default());
            let own = read_by_upstream(&out, service, &raw);
            assert!(own == *path || (own.is_empty() && *path == *b"/"), "{raw} {service:?}");
        }
    }
    assert!(valid > 5_000, "{valid}");
}

#[test]
fn stripping_leaves_an_end_of_what_was_matched_wherever_the_match_ends() {
    let mut random = Random(0x57_2026);
    let mut out = Vec::new();
    for _ in 0..4_000 {
        let raw = raw_path(&mut random);
        let Ok(path) = normalise(raw.as_bytes()) else { continue };
        for matched in 0..=path.len() {
            for service in SERVICES {
                let context = format!("{raw} {matched} {service:?}");
                upstream_path(&mut out, service, &path, Some(matched), Join { strip: true, ..Join::default() });
                let own = read_by_upstream(&out, service, &context);
                let rest = own.strip_prefix(b"/").unwrap_or(&own);
                assert!(path.ends_with(rest) && rest.len() <= path.len() - matched, "{context}");
            }
        }
    }
}

#[test]
fn dots_and_slashes_in_disguise_are_none() {
    let router = compiled(&[json!({"paths": ["/"]}), json!({"paths": ["/admin"]})]);
    for (path, winner) in [
        ("/public/../admin", Some(1)),
        ("/public/%2e%2e/admin", Some(1)),
        ("//admin", Some(1)),
        ("/%61dmin", Some(1)),
        ("/public%2f..%2fadmin", Some(0)),
        ("/public/%252e%252e/admin", Some(0)),
        ("/public/..;/admin", Some(0)),
        ("/public/..%5cadmin", Some(0)),
        ("/public/%c0%ae%c0%ae/admin", None),
        ("/%e0%80%af/admin", None),
    ] {
        assert_eq!(Sent::get("h", path).winner(&router), winner, "{path}");
    }
}
