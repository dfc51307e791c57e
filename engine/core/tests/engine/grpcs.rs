//! gRPC over TLS towards upstreams: whom the gateway believes, and what it shows.

use std::sync::Arc;

use h2::server::Builder;
use http::{HeaderMap, HeaderValue};
use rcgen::KeyPair;
use serde_json::{Value, json};
use tokio_rustls::TlsAcceptor;

use crate::calls::{Server, call, grpc_response, grpc_route, serve, speak, status};
use crate::identities::{Authority, Identity, params};
use crate::support::{Gateway, closed_port};
use crate::upstream_tls::{TlsUpstream, met, server_config, tail, tenant};

/// What a call ends with that was not made: the service could not be reached.
const FAILED: &str = "2";

/// A server that answers calls with what it knows of the handshake: `<server name> <client certificate, or none>` as
/// the message of its status.
fn server(identity: &Identity, clients: Option<&Authority>) -> Server {
    let tls = TlsAcceptor::from(server_config(identity, clients, "h2"));
    Server::accepting(move |tcp, _| {
        let tls = tls.clone();
        async move {
            let Ok(stream) = tls.accept(tcp).await else { return };
            let (name, shown) = met(stream.get_ref().1);
            let message = HeaderValue::from_str(&format!("{name} {shown}")).unwrap();
            serve(stream, &Builder::new(), usize::MAX, move |(_, mut respond)| {
                let message = message.clone();
                async move {
                    let mut stream = respond.send_response(grpc_response(), false).unwrap();
                    let mut trailers = HeaderMap::new();
                    trailers.insert("grpc-status", HeaderValue::from_static("0"));
                    trailers.insert("grpc-message", message);
                    stream.send_trailers(trailers).unwrap();
                }
            })
            .await;
        }
    })
}

/// A configuration whose service is at `localhost`, with these authorities and certificates.
fn configuration(server: &Server, changes: &Value, authorities: &[&Authority], certificates: &[Value]) -> Value {
    let mut changes = changes.clone();
    changes["protocol"] = json!("grpcs");
    changes["ca_certificates"] = json!((0..authorities.len()).map(|index| index.to_string()).collect::<Vec<_>>());
    let authorities: Vec<Value> =
        authorities.iter().enumerate().map(|(index, own)| json!({"id": index.to_string(), "cert": own.pem})).collect();
    let entities = json!({"ca_certificates": authorities, "certificates": certificates, "routes": [grpc_route()]});
    tenant("cp", "*", server.address, &changes, &entities)
}

fn gateway(server: &Server, changes: &Value, authorities: &[&Authority], certificates: &[Value]) -> Gateway {
    Gateway::with(&configuration(server, changes, authorities, certificates))
}

/// Status and message that a call ends with.
fn ask(gateway: &Gateway, authority: &'static str) -> (String, String) {
    let mut ended = (String::new(), String::new());
    speak(gateway.address, |mut client| {
        let ended = &mut ended;
        async move {
            let mut request = call("/pkg.Service/Call");
            *request.uri_mut() = format!("http://{authority}/pkg.Service/Call").parse().unwrap();
            let (response, _) = client.send_request(request, true).unwrap();
            *ended = status(response.await.unwrap()).await;
        }
    });
    ended
}

fn fine(message: &str) -> (String, String) {
    ("0".into(), message.into())
}

#[test]
fn a_server_has_to_lead_to_the_services_own_authorities() {
    let (trusted, other) = (Authority::new("trusted"), Authority::new("other"));
    let server = server(&trusted.identity(&["localhost"]), None);
    let ends = |changes: &Value, authorities: &[&Authority]| ask(&gateway(&server, changes, authorities, &[]), "a").0;
    assert_eq!(ask(&gateway(&server, &json!({}), &[&trusted], &[]), "a"), fine("localhost none"));
    assert_eq!(ends(&json!({}), &[&other, &trusted]), "0");
    assert_eq!(ends(&json!({}), &[&other]), FAILED);
    assert_eq!(ends(&json!({}), &[]), FAILED);
    assert_eq!(ends(&json!({"tls_verify": true}), &[&other]), FAILED);
    assert_eq!(ends(&json!({"tls_verify": false}), &[&other]), "0");
}

#[test]
fn an_expired_certificate_and_another_name_are_not_believed() {
    let authority = Authority::new("authority");
    let mut expired = params(&["localhost"]);
    expired.not_before = rcgen::date_time_ymd(2020, 1, 1);
    expired.not_after = rcgen::date_time_ymd(2021, 1, 1);
    for identity in [authority.sign(&expired, &KeyPair::generate().unwrap()), authority.identity(&["other.test"])] {
        let server = server(&identity, None);
        assert_eq!(ask(&gateway(&server, &json!({}), &[&authority], &[]), "a").0, FAILED);
        assert_eq!(ask(&gateway(&server, &json!({"tls_verify": false}), &[], &[]), "a").0, "0");
    }
    let server = server(&authority.identity(&["other.test"]), None);
    let changes = json!({"tls_sans": {"dnsnames": ["other.test"]}});
    assert_eq!(ask(&gateway(&server, &changes, &[&authority], &[]), "a").0, "0");
}

#[test]
fn the_depth_bounds_the_authorities_between() {
    let root = Authority::new("root");
    let deep = server(&root.below("one").below("two").identity(&["localhost"]), None);
    let flat = server(&root.identity(&["localhost"]), None);
    for (server, depth, status) in
        [(&deep, None, "0"), (&deep, Some(2), "0"), (&deep, Some(1), FAILED), (&flat, Some(0), "0")]
    {
        let gateway = gateway(server, &json!({"tls_verify_depth": depth}), &[&root], &[]);
        assert_eq!(ask(&gateway, "a").0, status, "{depth:?}");
    }
}

#[test]
fn a_server_may_ask_for_a_certificate() {
    let (authority, clients) = (Authority::new("authority"), Authority::new("clients"));
    let server = server(&authority.identity(&["localhost"]), Some(&clients));
    let (known, unknown) = (clients.identity(&["gateway"]), authority.identity(&["gateway"]));
    let certificates = [known.entity("known"), unknown.entity("unknown")];
    let with = |id: Option<&str>| {
        let reference = id.map(|id| json!({"id": id}));
        gateway(&server, &json!({"client_certificate": reference}), &[&authority], &certificates)
    };
    assert_eq!(ask(&with(Some("known")), "a"), fine(&format!("localhost {}", tail(&known))));
    assert_eq!(ask(&with(Some("unknown")), "a").0, FAILED);
    assert_eq!(ask(&with(None), "a").0, FAILED);
}

#[test]
fn a_changed_certificate_or_authority_gets_connections_of_its_own() {
    let (authority, clients) = (Authority::new("authority"), Authority::new("clients"));
    let server = server(&authority.identity(&["localhost"]), Some(&clients));
    let (before, after) = (clients.identity(&["gateway"]), clients.identity(&["gateway"]));
    let changes = json!({"client_certificate": {"id": "c"}});
    let gateway = gateway(&server, &changes, &[&authority], &[before.entity("c")]);
    for _ in 0..2 {
        assert_eq!(ask(&gateway, "a"), fine(&format!("localhost {}", tail(&before))));
    }
    let mut second = configuration(&server, &changes, &[&authority], &[after.entity("c")]);
    second["version"] = json!(2);
    assert_eq!(gateway.apply(&second)["accepted"], true);
    assert_eq!(ask(&gateway, "a"), fine(&format!("localhost {}", tail(&after))));
    let mut third = configuration(&server, &changes, &[&clients], &[after.entity("c")]);
    third["version"] = json!(3);
    assert_eq!(gateway.apply(&third)["accepted"], true);
    assert_eq!(ask(&gateway, "a").0, FAILED, "a connection that is open proves nothing to another policy");
}

#[test]
fn names_follow_the_authority_of_the_call_and_the_target() {
    let authority = Authority::new("authority");
    let server = server(&authority.identity(&["localhost", "public.test"]), None);
    let mut preserving = configuration(&server, &json!({}), &[&authority], &[]);
    preserving["entities"]["routes"][0]["preserve_host"] = json!(true);
    let gateway = Gateway::with(&preserving);
    assert_eq!(ask(&gateway, "public.test"), fine("public.test none"));
    assert_eq!(ask(&gateway, "other.test").0, FAILED);

    let mut balanced = configuration(&server, &json!({"host": "u"}), &[&authority], &[]);
    balanced["limits"]["allow_upstream"] = json!(["127.0.0.0/8"]);
    balanced["entities"]["upstreams"] = json!([{"id": "up", "name": "u"}]);
    let target = format!("localhost:{}", server.address.port());
    balanced["entities"]["targets"] = json!([{"id": "t", "upstream": {"id": "up"}, "target": target, "weight": 1}]);
    assert_eq!(ask(&Gateway::with(&balanced), "a"), fine("localhost none"));
}

#[test]
fn a_server_that_agrees_to_no_http2_is_none() {
    let authority = Authority::new("authority");
    let upstream = TlsUpstream::new(&authority.identity(&["localhost"]), None);
    let server = Server { address: upstream.address, connections: Arc::default() };
    assert_eq!(ask(&gateway(&server, &json!({}), &[&authority], &[]), "a").0, FAILED);
    let server = Server { address: closed_port(), connections: Arc::default() };
    assert_eq!(ask(&gateway(&server, &json!({}), &[&authority], &[]), "a").0, FAILED);
}
