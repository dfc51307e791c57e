//! The path a request has at the upstream: the service's path joined with what the route leaves of the request's.

use super::spec::PathHandling;

/// How a route joins the two.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Join {
    /// Whether what the route's path matched is left out.
    pub strip: bool,
    /// What happens at the seam.
    pub handling: PathHandling,
}

/// Writes the upstream path to `out` (cleared first), escaped as it is sent.
///
/// `service_path` is `None` for a service without one; `matched` is how many bytes of `normalised` the route's path
/// matched, `None` for a route without paths.
pub fn upstream_path(
    out: &mut Vec<u8>,
    service_path: Option<&str>,
    normalised: &[u8],
    matched: Option<usize>,
    join: Join,
) {
    out.clear();
    let service = service_path.filter(|path| !path.is_empty()).unwrap_or("/").as_bytes();
    let rest = match matched {
        Some(length) if join.strip => after_prefix(normalised.get(length..).unwrap_or_default()),
        _ => normalised.strip_prefix(b"/").unwrap_or(normalised),
    };
    match join.handling {
        PathHandling::V0 => with_one_slash(out, service, rest, normalised),
        PathHandling::V1 => {
            escape_path(out, service);
            escape_path(out, if service.ends_with(b"/") { rest.strip_prefix(b"/").unwrap_or(rest) } else { rest });
        }
    }
}

fn with_one_slash(out: &mut Vec<u8>, service: &[u8], rest: &[u8], normalised: &[u8]) {
    let bare = service.strip_suffix(b"/").unwrap_or(service);
    escape_path(out, bare);
    if !rest.is_empty() {
        out.push(b'/');
        escape_path(out, rest.strip_prefix(b"/").unwrap_or(rest));
        return;
    }
    // Nothing is left to join. The slash at the end is then the client's, unless the client asked for `/` itself.
    let slash = match normalised {
        b"/" => service.ends_with(b"/"),
        _ => normalised.ends_with(b"/"),
    };
    if slash || bare.is_empty() {
        out.push(b'/');
    }
}

/// Appends `text` with every byte percent-encoded that may stand neither in a path nor start an escape.
///
/// Source: RFC 3986 section 3.3; escapes that normalising kept are not touched.
pub fn escape_path(out: &mut Vec<u8>, text: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut rest = text;
    while let Some(at) = rest.iter().position(|&byte| !stands_for_itself(byte)) {
        out.extend_from_slice(&rest[..at]);
        let byte = rest[at];
        out.extend([b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

fn stands_for_itself(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/-_.~%!#$&'()*+,:;=?@[]".contains(&byte)
}

/// Drops the dot segment that appears when a prefix ends in the middle of a segment (`/route` of `/route../x`): left
/// in place it would climb out of the service's path.
fn after_prefix(rest: &[u8]) -> &[u8] {
    match rest {
        b"." | b".." => b"",
        [b'.', b'/', tail @ ..] | [b'.', b'.', b'/', tail @ ..] => tail,
        _ => rest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(service: &str, route: Option<&str>, strip: bool, path: &str) -> String {
        joined_by(PathHandling::V0, service, route, strip, path)
    }

    fn joined_by(handling: PathHandling, service: &str, route: Option<&str>, strip: bool, path: &str) -> String {
        let path = super::super::normalise(path.as_bytes()).unwrap();
        let matched = route.map(|route| {
            assert!(path.starts_with(route.as_bytes()), "the case is about a path that matches");
            route.len()
        });
        let mut out = b"left over".to_vec();
        upstream_path(&mut out, Some(service), &path, matched, Join { strip, handling });
        String::from_utf8(out).unwrap()
    }

    const EITHER: [bool; 2] = [false, true];

    /// service path, route path (`None`: only hosts), `strip_path`, (request path, upstream path)…
    type Row = (&'static str, Option<&'static str>, &'static [bool], &'static [(&'static str, &'static str)]);

    const TABLE: &[Row] = &[
        ("/", Some("/"), &EITHER, &[("/", "/"), ("/route", "/route"), ("/route/", "/route/"), ("/a/b", "/a/b")]),
        ("/", Some("/route"), &[false], &[("/route", "/route"), ("/route/", "/route/"), ("/routereq", "/routereq")]),
        ("/", Some("/route"), &[true], &[("/route", "/"), ("/route/", "/"), ("/routereq", "/req")]),
        ("/", Some("/route/"), &[true], &[("/route/", "/"), ("/route/req", "/req")]),
        ("/", Some("/route/"), &[false], &[("/route/", "/route/"), ("/route/req", "/route/req")]),
        ("/srv", Some("/rou"), &[false], &[("/roureq", "/srv/roureq")]),
        ("/srv", Some("/rou"), &[true], &[("/roureq", "/srv/req")]),
        ("/srv/", Some("/rou"), &[false], &[("/rou", "/srv/rou")]),
        ("/srv/", Some("/rou"), &[true], &[("/rou", "/srv")]),
        (
            "/service",
            Some("/"),
            &EITHER,
            &[
                ("/", "/service"),
                ("/route", "/service/route"),
                ("/route/", "/service/route/"),
                ("/route/req", "/service/route/req"),
            ],
        ),
        (
            "/service",
            Some("/route"),
            &[false],
            &[("/route", "/service/route"), ("/route/", "/service/route/"), ("/routereq", "/service/routereq")],
        ),
        (
            "/service",
            Some("/route"),
            &[true],
            &[("/route", "/service"), ("/route/", "/service/"), ("/routereq", "/service/req")],
        ),
        (
            "/service",
            Some("/route/"),
            &[false],
            &[("/route/", "/service/route/"), ("/route/req", "/service/route/req")],
        ),
        ("/service", Some("/route/"), &[true], &[("/route/", "/service/"), ("/route/req", "/service/req")]),
        (
            "/service/",
            Some("/"),
            &EITHER,
            &[
                ("/", "/service/"),
                ("/route", "/service/route"),
                ("/route/", "/service/route/"),
                ("/route/req", "/service/route/req"),
            ],
        ),
        (
            "/service/",
            Some("/route"),
            &[false],
            &[("/route", "/service/route"), ("/route/", "/service/route/"), ("/routereq", "/service/routereq")],
        ),
        (
            "/service/",
            Some("/route"),
            &[true],
            &[("/route", "/service"), ("/route/", "/service/"), ("/routereq", "/service/req")],
        ),
        ("/service/", Some("/route/"), &[true], &[("/route/", "/service/"), ("/route/req", "/service/req")]),
        ("/", None, &EITHER, &[("/", "/"), ("/route", "/route"), ("/route/", "/route/")]),
        ("/service", None, &EITHER, &[("/", "/service"), ("/route", "/service/route"), ("/route/", "/service/route/")]),
        (
            "/service/",
            None,
            &EITHER,
            &[("/", "/service/"), ("/route", "/service/route"), ("/route/", "/service/route/")],
        ),
        (
            "/service",
            Some("/route"),
            &[true],
            &[
                ("/route./req", "/service/req"),
                ("/route%2E/req", "/service/req"),
                ("/route../req", "/service/req"),
                ("/route%2e%2E/req", "/service/req"),
                ("/route.", "/service"),
                ("/route..", "/service"),
                ("/route.../req", "/service/.../req"),
            ],
        ),
        (
            "/service/",
            Some("/route"),
            &[true],
            &[("/route./req", "/service/req"), ("/route%2e%2e/req", "/service/req")],
        ),
        (
            "/service",
            Some("/route"),
            &[false],
            &[("/route./req", "/service/route./req"), ("/route../req", "/service/route../req")],
        ),
        ("/api", Some("/v2/u"), &[true], &[("/v2/u/7", "/api/7")]),
    ];

    #[test]
    fn joins_service_and_request_paths() {
        for (service, route, strips, requests) in TABLE {
            for &strip in *strips {
                for (request, expected) in *requests {
                    assert_eq!(
                        joined(service, *route, strip, request),
                        *expected,
                        "{service} {route:?} {strip} {request}"
                    );
                }
            }
        }
    }

    /// The rows in which v1 differs; in all others it joins as v0 does.
    const DIFFERENT: &[Row] = &[
        ("/srv", Some("/rou"), &[false], &[("/roureq", "/srvroureq")]),
        ("/srv", Some("/rou"), &[true], &[("/roureq", "/srvreq")]),
        ("/srv/", Some("/rou"), &[true], &[("/rou", "/srv/")]),
        (
            "/service",
            Some("/"),
            &EITHER,
            &[("/route", "/serviceroute"), ("/route/", "/serviceroute/"), ("/route/req", "/serviceroute/req")],
        ),
        (
            "/service",
            Some("/route"),
            &[false],
            &[("/route", "/serviceroute"), ("/route/", "/serviceroute/"), ("/routereq", "/serviceroutereq")],
        ),
        ("/service", Some("/route"), &[true], &[("/routereq", "/servicereq")]),
        ("/service", Some("/route/"), &[false], &[("/route/", "/serviceroute/"), ("/route/req", "/serviceroute/req")]),
        ("/service", Some("/route/"), &[true], &[("/route/", "/service"), ("/route/req", "/servicereq")]),
        ("/service/", Some("/route"), &[true], &[("/route", "/service/")]),
        ("/service", None, &EITHER, &[("/route", "/serviceroute"), ("/route/", "/serviceroute/")]),
        (
            "/service",
            Some("/route"),
            &[true],
            &[
                ("/route./req", "/servicereq"),
                ("/route%2E/req", "/servicereq"),
                ("/route../req", "/servicereq"),
                ("/route%2e%2E/req", "/servicereq"),
                ("/route.../req", "/service.../req"),
            ],
        ),
        (
            "/service",
            Some("/route"),
            &[false],
            &[("/route./req", "/serviceroute./req"), ("/route../req", "/serviceroute../req")],
        ),
        ("/api", Some("/v2/u/"), &[true], &[("/v2/u/7", "/api7")]),
    ];

    #[test]
    fn v1_puts_one_behind_the_other() {
        let same = |service: &str, route: Option<&str>, strip: bool, request: &str| {
            let rows = DIFFERENT.iter().filter(|row| (row.0, row.1) == (service, route) && row.2.contains(&strip));
            rows.flat_map(|row| row.3).find(|(own, _)| *own == request).map(|(_, expected)| *expected)
        };
        for (service, route, strips, requests) in TABLE.iter().chain(DIFFERENT) {
            for &strip in *strips {
                for (request, plain) in *requests {
                    let expected = same(service, *route, strip, request).unwrap_or(plain);
                    let found = joined_by(PathHandling::V1, service, *route, strip, request);
                    assert_eq!(found, expected, "{service} {route:?} {strip} {request}");
                }
            }
        }
    }

    #[test]
    fn a_service_without_path_has_the_root() {
        for service in [None, Some(""), Some("/")] {
            let mut out = Vec::new();
            upstream_path(&mut out, service, b"/a/b", Some(2), Join { strip: true, ..Join::default() });
            assert_eq!(out, b"/b");
        }
    }

    #[test]
    fn escapes_what_normalising_decoded() {
        for (request, expected) in [
            ("/x%20y", "/x%20y"),
            ("/caf%c3%a9", "/caf%C3%A9"),
            ("/a%22%3C%3E%5C%5E%60%7B%7C%7D", "/a%22%3C%3E%5C%5E%60%7B%7C%7D"),
            ("/a%2fb%3F%25", "/a%2Fb%3F%25"),
            ("/%41%7e", "/A~"),
            ("/a!$&'()*+,:;=@[]", "/a!$&'()*+,:;=@[]"),
            ("/%01%7f%80", "/%01%7F%80"),
        ] {
            assert_eq!(joined("/", Some("/"), false, request), expected, "{request}");
        }
        assert_eq!(joined("/a b", Some("/x"), true, "/x/%C3%A9"), "/a%20b/%C3%A9");
    }
}
