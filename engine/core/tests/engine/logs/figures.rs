//! loggly, datadog and statsd: other formats than records.

use std::net::UdpSocket;

use serde_json::{Value, json};

use crate::support::{Gateway, PATIENCE, Upstream, closed_port, route};

use super::{GET, counted, orderly, plugin, with_plugins};

/// A receiver of datagrams.
struct Sink(UdpSocket);

impl Sink {
    fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(socket)
    }

    fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    fn next(&self) -> String {
        let mut datagram = vec![0; 65536];
        let length = self.0.recv(&mut datagram).unwrap();
        String::from_utf8(datagram[..length].to_vec()).unwrap()
    }

    fn is_empty(&self) -> bool {
        self.0.set_nonblocking(true).unwrap();
        self.0.recv(&mut [0; 1]).is_err()
    }
}

fn loggly(sink: &Sink, config: &Value) -> Value {
    let defaults = json!({
        "host": "127.0.0.1", "port": sink.port(), "key": "token", "tags": ["kong", "b"], "log_level": "info",
        "successful_severity": "info", "client_errors_severity": "warning", "server_errors_severity": "err",
        "timeout": 10000, "custom_fields_by_lua": null,
    });
    plugin("loggly", defaults, config)
}

fn datadog(sink: &Sink, config: &Value) -> Value {
    let metric = |name: &str, kind: &str, rate: Value| json!({"name": name, "stat_type": kind, "sample_rate": rate, "tags": ["app:kong"], "consumer_identifier": "custom_id"});
    let defaults = json!({
        "host": "localhost", "port": sink.port(), "prefix": "kong", "service_name_tag": "name", "route_name_tag": null,
        "status_tag": "status", "consumer_tag": "consumer", "queue": super::queue(&json!({})), "retry_count": null,
        "queue_size": null, "flush_timeout": null,
        "metrics": [metric("request_count", "counter", json!(1)), metric("request_size", "timer", json!(null))],
    });
    let mut whole = plugin("datadog", defaults, config);
    whole["config"]["host"] = json!("127.0.0.1");
    whole
}

fn to(upstream: &Upstream, plugins: &[Value]) -> Gateway {
    orderly(&with_plugins(upstream.address, plugins))
}

#[test]
fn loggly_gets_a_message_of_syslog() {
    let sink = Sink::new();
    let gateway = to(&Upstream::echo(), &[loggly(&sink, &json!({}))]);
    assert_eq!(gateway.ask(GET).status, 200);
    let message = sink.next();
    let (head, record) = message.split_once(" {").unwrap();
    let parts: Vec<&str> = head.splitn(7, ' ').collect();
    assert_eq!((parts[0], parts[1].len(), &parts[2..6]), ("<14>1", 20, &["-", "kong", "-", "-"][..]));
    assert_eq!(parts[6], r#"[token@41058 tag="kong" tag="b"]"#);
    let record: Value = serde_json::from_str(&format!("{{{record}")).unwrap();
    assert_eq!(record["request"]["uri"], "/a");
}

#[test]
fn the_severity_follows_the_status() {
    let sink = Sink::new();
    let mut configuration = with_plugins(closed_port(), &[loggly(&sink, &json!({"log_level": "warning"}))]);
    configuration["entities"]["routes"] = json!([route("/a")]);
    let gateway = orderly(&configuration);
    assert_eq!([gateway.ask("GET /b HTTP/1.1\r\nHost: h\r\n\r\n").status, gateway.ask(GET).status], [404, 502]);
    assert!(sink.next().starts_with("<12>1 ") && sink.next().starts_with("<11>1 "));
}

#[test]
fn what_matters_less_is_not_sent() {
    let sink = Sink::new();
    let gateway = to(&Upstream::echo(), &[loggly(&sink, &json!({"log_level": "notice"}))]);
    assert_eq!(gateway.ask(GET).status, 200);
    assert!(sink.is_empty());
    assert_eq!(gateway.counter("records_sent_total") + gateway.counter("records_waiting_bytes"), 0);
}

#[test]
fn an_agent_gets_a_datagram_per_figure() {
    let sink = Sink::new();
    let gateway = to(&Upstream::echo(), &[datadog(&sink, &json!({"route_name_tag": "route"}))]);
    assert_eq!(gateway.ask(GET).status, 200);
    assert_eq!(sink.next(), "kong.request.count:1|c|#name:s,route:r,status:200,app:kong");
    let size = GET.len();
    assert_eq!(sink.next(), format!("kong.request.size:{size}|ms|#name:s,route:r,status:200,app:kong"));
    counted(&gateway, "records_sent_total", 1);
}

#[test]
fn names_cannot_forge_figures() {
    let sink = Sink::new();
    let mut configuration = with_plugins(Upstream::echo().address, &[datadog(&sink, &json!({"prefix": "my"}))]);
    configuration["entities"]["services"][0]["name"] = json!("a.b|c\nx:1|c,d#");
    let gateway = orderly(&configuration);
    assert_eq!(gateway.ask(GET).status, 200);
    assert_eq!(sink.next(), "my.request.count:1|c|#name:a_b_c_x:1_c_d_,status:200,app:kong");
}

#[test]
fn all_figures_come_by_their_kinds() {
    let sink = Sink::new();
    let names = ["kong_latency", "latency", "response_size", "upstream_latency"];
    let kinds = ["gauge", "histogram", "distribution", "set"];
    let metrics: Vec<Value> = names
        .into_iter()
        .zip(kinds)
        .map(|(name, kind)| {
            json!({"name": name, "stat_type": kind, "sample_rate": null, "tags": null, "consumer_identifier": null})
        })
        .collect();
    let gateway = to(&Upstream::echo(), &[datadog(&sink, &json!({"metrics": metrics}))]);
    let answer = gateway.ask(GET);
    let sent: Vec<String> = (0..4).map(|_| sink.next()).collect();
    for (figure, (name, kind)) in
        sent.iter().zip([("kong_latency", "g"), ("latency", "h"), ("response.size", "d"), ("upstream_latency", "s")])
    {
        assert!(
            figure.starts_with(&format!("kong.{name}:")) && figure.contains(&format!("|{kind}|#name:s")),
            "{figure}"
        );
    }
    assert!(sent[2].contains(&format!(":{}|", answer.head.len() + answer.body.len())), "{}", sent[2]);
}

#[test]
fn what_is_sampled_away_is_not_sent() {
    let sink = Sink::new();
    let never = json!([{
        "name": "request_count", "stat_type": "counter", "sample_rate": 0, "tags": null, "consumer_identifier": null,
    }]);
    let gateway = to(&Upstream::echo(), &[datadog(&sink, &json!({"metrics": never}))]);
    assert_eq!(gateway.ask(GET).status, 200);
    assert!(sink.is_empty());
}

#[test]
fn requests_without_a_service_have_no_figures_and_nobody_has_to_listen() {
    let sink = Sink::new();
    let mut configuration =
        with_plugins(Upstream::echo().address, &[datadog(&sink, &json!({})), loggly(&sink, &json!({}))]);
    configuration["entities"]["routes"] = json!([route("/a")]);
    let gateway = orderly(&configuration);
    assert_eq!(gateway.ask("GET /b HTTP/1.1\r\nHost: h\r\n\r\n").status, 404);
    assert!(sink.next().starts_with("<12>1 "));
    drop(sink);
    for _ in 0..3 {
        assert_eq!(gateway.ask(GET).status, 200);
    }
    crate::support::eventually(|| {
        gateway.counter("records_sent_total") + gateway.counter("records_dropped_total") == 7
    });
    counted(&gateway, "records_waiting_bytes", 0);
}

fn statsd(port: u16, config: &Value) -> Value {
    let defaults = json!({
        "host": "127.0.0.1", "port": port, "prefix": "kong", "allow_status_codes": null, "udp_packet_size": 0,
        "use_tcp": true, "hostname_in_prefix": false, "consumer_identifier_default": "custom_id",
        "service_identifier_default": "service_name_or_host", "workspace_identifier_default": "workspace_id",
        "tag_style": null, "retry_count": null, "queue_size": null, "flush_timeout": null,
        "metrics": [{
            "name": "status_count", "stat_type": "counter", "sample_rate": 1, "consumer_identifier": null,
            "service_identifier": null, "workspace_identifier": null,
        }],
    });
    plugin("statsd", defaults, config)
}

#[test]
fn a_server_that_is_down_costs_figures_and_nothing_else() {
    let queue = super::queue(&json!({"max_retry_time": 0.05}));
    let gateway = to(&Upstream::echo(), &[statsd(closed_port().port(), &json!({"queue": queue}))]);
    for _ in 0..3 {
        assert_eq!(gateway.ask(GET).status, 200);
    }
    counted(&gateway, "records_dropped_total", 3);
    assert!(gateway.counter("record_deliveries_failed_total") >= 3);
    counted(&gateway, "records_waiting_bytes", 0);
}

#[test]
fn what_waits_for_a_server_that_is_down_is_bounded() {
    let queue = super::queue(
        &json!({"max_entries": 4, "max_retry_time": 3600, "initial_retry_delay": 60, "max_retry_delay": 60}),
    );
    let gateway = to(&Upstream::echo(), &[statsd(closed_port().port(), &json!({"queue": queue}))]);
    assert_eq!(gateway.ask(GET).status, 200);
    counted(&gateway, "record_deliveries_failed_total", 1);
    for _ in 0..10 {
        assert_eq!(gateway.ask(GET).status, 200);
    }
    counted(&gateway, "records_dropped_total", 6);
}

#[test]
fn a_server_that_says_something_is_asked_anew() {
    let server = Upstream::new(|mut client, _| {
        while client.exactly(1)[0] != b'\n' {}
        client.send("what?");
    });
    let queue = super::queue(&json!({}));
    let gateway = to(&Upstream::echo(), &[statsd(server.address.port(), &json!({"queue": queue}))]);
    for number in 1..=2 {
        assert_eq!(gateway.ask(GET).status, 200);
        counted(&gateway, "records_sent_total", number);
        // What it says is there shortly after the line was read.
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(server.connections(), 2);
}

#[test]
fn a_name_of_the_host_is_not_told() {
    let config = statsd(1, &json!({"hostname_in_prefix": true, "queue": super::queue(&json!({}))}));
    let gateway = to(&Upstream::echo(), &[]);
    let mut configuration = with_plugins(closed_port(), &[config]);
    configuration["version"] = json!(2);
    let report = gateway.apply(&configuration);
    assert_eq!(report["errors"][0]["field"], "config.hostname_in_prefix", "{report}");
}
