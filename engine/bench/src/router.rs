//! Time per match, time to compile, and memory per route, for routers of 10 to 50,000 routes.

use std::fmt::Write as _;
use std::hint::black_box;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sluice_engine_core::message::{Headers, Scheme};
use sluice_engine_core::router::{Flavor, MatchInput, RouteSpec, Router, normalise};

use crate::args::Args;
use crate::memory::resident_bytes;

/// A way in which routes differ: name, the n-th route, and the host and path of a request to it.
struct Scenario {
    name: &'static str,
    route: fn(usize) -> Value,
    request: fn(usize) -> (String, String),
}

const SCENARIOS: [Scenario; 12] = [
    Scenario {
        name: "prefix",
        route: |n| json!({"paths": [format!("/api/service-{n}")]}),
        request: |n| ("example.com".to_owned(), format!("/api/service-{n}/items/42")),
    },
    Scenario {
        name: "host",
        route: |n| json!({"hosts": [format!("tenant-{n}.example.com")], "paths": ["/"]}),
        request: |n| (format!("tenant-{n}.example.com"), "/items/42".to_owned()),
    },
    Scenario {
        name: "wildcard-host",
        route: |n| json!({"hosts": [format!("*.tenant-{n}.example.com")]}),
        request: |n| (format!("www.tenant-{n}.example.com"), "/items/42".to_owned()),
    },
    Scenario {
        name: "header",
        route: |n| json!({"paths": ["/"], "headers": {"x-tenant": [format!("tenant-{n}")]}}),
        request: |_| ("example.com".to_owned(), "/items/42".to_owned()),
    },
    Scenario {
        name: "regex",
        route: |n| json!({"paths": [format!(r"~/api/service-{n}/items/(?<id>[0-9]+)$")]}),
        request: |n| ("example.com".to_owned(), format!("/api/service-{n}/items/42")),
    },
    Scenario {
        name: "regex-shared",
        route: |n| json!({"paths": [format!(r"~/repos/(?<owner>[^/]+)/(?<repo>[^/]+)/resource-{n}$")]}),
        request: |n| ("example.com".to_owned(), format!("/repos/someone/something/resource-{n}")),
    },
    Scenario {
        name: "header-variant",
        route: |n| {
            json!({"hosts": ["example.com"], "paths": ["/items"], "headers": {
                "x-tenant": [format!("tenant-{n}")], "x-other": ["value 4", "value 9"],
            }})
        },
        request: |_| ("example.com".to_owned(), "/items/42".to_owned()),
    },
    Scenario {
        name: "expression",
        route: |n| {
            let text = format!(r#"http.path ^= "/api/service-{n}/" && http.method == "GET" && net.protocol == "http""#);
            json!({"expression": text, "priority": n % 7})
        },
        request: |n| ("example.com".to_owned(), format!("/api/service-{n}/items/42")),
    },
    Scenario {
        name: "header-regex",
        route: |n| json!({"paths": ["/"], "headers": {"x-tenant": [format!("~*^tenant-{n}$")]}}),
        request: |_| ("example.com".to_owned(), "/items/42".to_owned()),
    },
    // Nothing but asking each tells these apart.
    Scenario {
        name: "hostile-header",
        route: |n| json!({"paths": ["/"], "headers": {"user-agent": [format!("~*browser/{n}[0-9]")]}}),
        request: |_| ("example.com".to_owned(), "/items/42".to_owned()),
    },
    Scenario {
        name: "hostile-regex",
        route: |n| json!({"paths": [format!("~/.*{n}.*x")]}),
        request: |_| ("example.com".to_owned(), "/api/service/items/42".to_owned()),
    },
    Scenario { name: "rest-api", route: rest_route, request: |n| ("example.com".to_owned(), rest_path(n, "42")) },
];

/// Names of nested collections, as large public APIs have them.
const COLLECTIONS: [&str; 20] = [
    "accounts",
    "alerts",
    "artifacts",
    "branches",
    "builds",
    "comments",
    "deployments",
    "events",
    "groups",
    "hooks",
    "images",
    "issues",
    "keys",
    "labels",
    "members",
    "orders",
    "projects",
    "releases",
    "tags",
    "teams",
];

/// The n-th path of an API of 600 and more: one to three nested collections, each with an item or an action after it.
fn rest_path(n: usize, item: &str) -> String {
    let version = if n < 600 { String::new() } else { format!("/v{}", n / 600) };
    let (outer, rest) = (COLLECTIONS[n % 20], n % 600 / 20);
    let inner = COLLECTIONS[(n % 20 + 1 + rest % 10) % 20];
    match rest / 10 {
        0 => format!("{version}/{outer}/{item}/{inner}"),
        1 => format!("{version}/{outer}/{item}/{inner}/{item}"),
        _ => format!("{version}/{outer}/{item}/{inner}/{item}/archive"),
    }
}

fn rest_route(n: usize) -> Value {
    json!({"paths": [format!("~{}$", rest_path(n, "([^/]+)"))], "methods": ["GET", "PUT"]})
}

const LOCAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 80);
const SIZES: [usize; 5] = [10, 600, 1_000, 10_000, 50_000];
const ROUNDS: usize = 300;
/// Where matches are slow, fewer rounds are enough.
const FEWEST_ROUNDS: usize = 5;
const LONGEST: Duration = Duration::from_secs(3);
const UPDATES: usize = 1_000;
/// Requests that take turns. Those to all routes of a large router go to so many of them, spread evenly.
const REQUESTS: usize = 1_000;
/// Memory is measured over several routers with about this many routes together.
const ROUTES_MEASURED: usize = 20_000;

/// Prints one line per scenario and size, or only the one that `--by` and `--routes` name. Every line is measured in a
/// process of its own: memory that an earlier one left behind would be used again and not be seen.
pub fn run(mut args: Args) -> Result<(), String> {
    let name = args.value("by", String::new())?;
    let size = args.value("routes", 0)?;
    args.finish()?;
    if !name.is_empty() && size > 0 {
        let scenario = SCENARIOS.iter().find(|scenario| scenario.name == name);
        return measure(scenario.ok_or_else(|| format!("--by: unknown scenario {name:?}"))?, size);
    }
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    print(&[
        "by",
        "routes",
        "ns/first",
        "ns/hit-of-10",
        "ns/hit-of-all",
        "ns/miss",
        "us/compile",
        "us/update",
        "bytes/route",
    ])?;
    for scenario in &SCENARIOS {
        for size in SIZES {
            let arguments = ["router", "--by", scenario.name, "--routes", &size.to_string()];
            let status = Command::new(&program).args(arguments).status().map_err(|error| error.to_string())?;
            if !status.success() {
                return Err(format!("{} with {size} routes failed", scenario.name));
            }
        }
    }
    Ok(())
}

fn print(cells: &[&str]) -> Result<(), String> {
    let mut line = String::new();
    for cell in cells {
        let _ = write!(line, "{cell:>15}");
    }
    writeln!(std::io::stdout(), "{line}").map_err(|error| error.to_string())
}

fn measure(scenario: &Scenario, size: usize) -> Result<(), String> {
    let specs: Vec<Arc<RouteSpec>> = (0..size).filter_map(|n| spec(n, &(scenario.route)(n))).collect();
    let copies = ROUTES_MEASURED.div_ceil(size);
    let before = resident_bytes();
    let started = Instant::now();
    let routers: Vec<Router> = (0..copies).filter_map(|_| Router::compile(Flavor::default(), &specs).ok()).collect();
    let compile = started.elapsed().as_micros() / copies as u128;
    let bytes = resident_bytes().saturating_sub(before) / (copies * size);
    let router = routers.first().ok_or("the routes do not compile")?;
    let requests = requests_to(scenario, |k| k * 7919 % size);
    let cold = nanoseconds_per_match(router, &requests[..size.min(REQUESTS)]);
    let all = nanoseconds_when_warm(router, &requests);
    let few = nanoseconds_when_warm(router, &requests_to(scenario, |k| k % 10 * size / 10));
    let miss = nanoseconds_when_warm(router, &requests_to(scenario, |k| size * 10 + k));
    let update = microseconds_per_update(router, &specs)?;
    let numbers = [size as u128, cold, few, all, miss, compile, update, bytes as u128].map(|number| number.to_string());
    let cells: Vec<&str> = std::iter::once(scenario.name).chain(numbers.iter().map(String::as_str)).collect();
    print(&cells)
}

/// Changes of one route each, one after the other, now and then with a merge of what has gathered.
fn microseconds_per_update(router: &Router, specs: &[Arc<RouteSpec>]) -> Result<u128, String> {
    let mut router = router.clone();
    let started = Instant::now();
    for k in 0..UPDATES {
        let key = k * 7919 % specs.len();
        let changed = router.updated(&[(key, Arc::clone(&specs[key]))], &[]);
        router = changed.map_err(|_| "a route does not compile any more")?;
    }
    black_box(&router);
    Ok(started.elapsed().as_micros() / UPDATES as u128)
}

type Request = (String, String, Headers);

fn requests_to(scenario: &Scenario, target: impl Fn(usize) -> usize) -> Vec<Request> {
    (0..REQUESTS).map(|k| request(scenario, target(k))).collect()
}

/// Without what is made when it is first needed: the median of many rounds, which what else runs on the machine hardly
/// touches.
fn nanoseconds_when_warm(router: &Router, requests: &[Request]) -> u128 {
    nanoseconds_per_match(router, requests);
    let started = Instant::now();
    let mut rounds = Vec::new();
    while rounds.len() < ROUNDS && (rounds.len() < FEWEST_ROUNDS || started.elapsed() < LONGEST) {
        rounds.push(nanoseconds_per_match(router, requests));
    }
    rounds.sort_unstable();
    rounds[rounds.len() / 2]
}

fn nanoseconds_per_match(router: &Router, requests: &[Request]) -> u128 {
    let started = Instant::now();
    for (host, path, headers) in requests {
        let Ok(path) = normalise(path.as_bytes()) else { continue };
        let input = MatchInput {
            method: b"GET",
            host,
            port: 80,
            path: &path,
            headers,
            sni: None,
            scheme: Scheme::Http,
            query: None,
            source: LOCAL,
            destination: LOCAL,
        };
        let _ = black_box(router.find(black_box(&input)));
    }
    started.elapsed().as_nanos() / requests.len() as u128
}

/// A request with as many headers as a browser sends.
fn request(scenario: &Scenario, n: usize) -> Request {
    let (host, path) = (scenario.request)(n);
    let mut headers = Headers::new();
    let own = [("Host", host.clone()), ("X-Tenant", format!("tenant-{n}"))];
    let others =
        (0..10).map(|k| (["Accept", "User-Agent", "Cookie", "Referer", "X-Other"][k % 5], format!("value {k}")));
    for (name, value) in own.into_iter().chain(others) {
        // Names and values are fixed and valid.
        let _ = headers.append(name, value);
    }
    (host, path, headers)
}

fn spec(n: usize, fields: &Value) -> Option<Arc<RouteSpec>> {
    let mut document = json!({
        "id": format!("00000000-0000-4000-8000-{n:012}"), "protocols": ["http", "https"], "preserve_host": false,
        "https_redirect_status_code": 426, "request_buffering": true, "response_buffering": true,
    });
    for (key, value) in fields.as_object()? {
        document[key] = value.clone();
    }
    serde_json::from_value(document).ok().map(Arc::new)
}
