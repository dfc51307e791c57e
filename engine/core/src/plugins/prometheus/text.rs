//! Figures in the text format of Prometheus, version 0.0.4.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::series::{GATEWAY_BOUNDS, Histogram, Metrics, OTHER_BOUNDS, Route};
use crate::upstream::balancer::report::{UpstreamHealths, Verdict};

/// The name of the only workspace that a control plane has.
const WORKSPACE: &str = "default";

/// A figure of which samples are written.
struct Figure<'o> {
    out: &'o mut String,
    name: &'static str,
}

impl Metrics {
    /// All figures of a tenant that has served so many requests; of the health of its upstreams, if that is wanted.
    #[must_use]
    pub fn text(&self, requests: u64, health: Option<&UpstreamHealths>) -> String {
        let mut out = String::new();
        let mut total = begin(&mut out, "kong_nginx_requests_total", "gauge", "Requests that were answered");
        total.sample("", &[("subsystem", "http")], requests);
        let mut errors = begin(&mut out, "kong_nginx_metric_errors_total", "counter", "Figures without a place");
        errors.sample("", &[], self.errors());
        if let Some(health) = health {
            write_health(&mut out, health);
        }
        let sum = self.sum();
        let routes: BTreeMap<(&str, &str), &Route> = sum
            .services
            .iter()
            .flat_map(|(service, routes)| routes.iter().map(move |(name, route)| ((&**service, &**name), route)))
            .collect();
        if routes.values().any(|route| route.consumers.values().any(|consumer| !consumer.statuses.is_empty())) {
            write_statuses(&mut out, &routes);
        }
        if routes.values().any(|route| route.consumers.values().any(|consumer| consumer.ingress > 0)) {
            write_bytes(&mut out, &routes);
        }
        let gateway = |route: &Route| route.gateway.clone();
        let (upstream, request) = (|route: &Route| route.upstream.clone(), |route: &Route| route.request.clone());
        let text = "Milliseconds that the gateway took";
        write_histograms(&mut out, ("kong_kong_latency_ms", text), &GATEWAY_BOUNDS, &routes, gateway);
        let text = "Milliseconds until the service answered";
        write_histograms(&mut out, ("kong_upstream_latency_ms", text), &OTHER_BOUNDS, &routes, upstream);
        let text = "Milliseconds of whole requests";
        write_histograms(&mut out, ("kong_request_latency_ms", text), &OTHER_BOUNDS, &routes, request);
        out
    }
}

fn begin<'o>(out: &'o mut String, name: &'static str, kind: &str, text: &str) -> Figure<'o> {
    // Writing to a string never fails.
    let _ = write!(out, "# HELP {name} {text}\n# TYPE {name} {kind}\n");
    Figure { out, name }
}

impl Figure<'_> {
    fn sample(&mut self, suffix: &str, labels: &[(&str, &str)], value: u64) {
        let _ = write!(self.out, "{}{suffix}", self.name);
        for (index, (name, text)) in labels.iter().enumerate() {
            let _ = write!(self.out, "{}{name}=\"", if index == 0 { '{' } else { ',' });
            for char in text.chars() {
                match char {
                    '\\' => self.out.push_str("\\\\"),
                    '"' => self.out.push_str("\\\""),
                    '\n' => self.out.push_str("\\n"),
                    other => self.out.push(other),
                }
            }
            self.out.push('"');
        }
        let _ = writeln!(self.out, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }
}

fn write_statuses(out: &mut String, routes: &BTreeMap<(&str, &str), &Route>) {
    let mut figure = begin(out, "kong_http_requests_total", "counter", "Requests by status, service and route");
    for ((service, route), figures) in routes {
        let consumers: BTreeMap<_, _> = figures.consumers.iter().collect();
        for (consumer, figures) in consumers {
            for (status, is_services, count) in &figures.statuses {
                let (code, source) = (status.to_string(), if *is_services { "service" } else { "kong" });
                let labels = [
                    ("service", *service),
                    ("route", *route),
                    ("code", &*code),
                    ("source", source),
                    ("workspace", WORKSPACE),
                    ("consumer", &**consumer),
                ];
                figure.sample("", &labels, *count);
            }
        }
    }
}

fn write_bytes(out: &mut String, routes: &BTreeMap<(&str, &str), &Route>) {
    let mut figure = begin(out, "kong_bandwidth_bytes", "counter", "Bytes of requests and responses");
    for ((service, route), figures) in routes {
        let consumers: BTreeMap<_, _> = figures.consumers.iter().collect();
        for (consumer, figures) in consumers {
            for (direction, bytes) in [("ingress", figures.ingress), ("egress", figures.egress)] {
                let labels = [
                    ("service", *service),
                    ("route", *route),
                    ("direction", direction),
                    ("workspace", WORKSPACE),
                    ("consumer", &**consumer),
                ];
                figure.sample("", &labels, bytes);
            }
        }
    }
}

fn write_histograms<const N: usize>(
    out: &mut String,
    (name, text): (&'static str, &str),
    bounds: &[u64; N],
    routes: &BTreeMap<(&str, &str), &Route>,
    pick: impl Fn(&Route) -> Histogram<N>,
) {
    let filled = routes.iter().map(|(labels, route)| (labels, pick(route))).filter(|(_, found)| found.count > 0);
    let filled: Vec<_> = filled.collect();
    if filled.is_empty() {
        return;
    }
    let mut figure = begin(out, name, "histogram", text);
    for ((service, route), found) in filled {
        let labels = [("service", *service), ("route", *route), ("workspace", WORKSPACE)];
        let mut below = 0;
        for (bound, count) in bounds.iter().zip(found.buckets) {
            below += count;
            let bound = bound.to_string();
            figure.sample("_bucket", &[&labels[..], &[("le", &*bound)]].concat(), below);
        }
        figure.sample("_bucket", &[&labels[..], &[("le", "+Inf")]].concat(), found.count);
        figure.sample("_count", &labels, found.count);
        figure.sample("_sum", &labels, found.sum);
    }
}

fn write_health(out: &mut String, health: &UpstreamHealths) {
    let states = [
        ("healthchecks_off", Verdict::HealthchecksOff),
        ("healthy", Verdict::Healthy),
        ("unhealthy", Verdict::Unhealthy),
        ("dns_error", Verdict::DnsError),
    ];
    let mut figure = begin(out, "kong_upstream_target_health", "gauge", "1 for the state that a target is in");
    for upstream in health.values() {
        for target in upstream.targets.values() {
            let addresses = target.addresses.iter().map(|found| (format!("{}:{}", found.ip, found.port), found.health));
            let mut addresses: Vec<_> = addresses.collect();
            if addresses.is_empty() {
                addresses.push((String::new(), Verdict::DnsError));
            }
            for (address, verdict) in &addresses {
                for (name, state) in states {
                    let labels = [
                        ("upstream", &*upstream.name),
                        ("target", &*target.target),
                        ("address", address),
                        ("state", name),
                        ("subsystem", "http"),
                    ];
                    figure.sample("", &labels, u64::from(state == *verdict));
                }
            }
        }
    }
}
