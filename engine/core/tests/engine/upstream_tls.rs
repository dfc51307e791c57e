//! TLS towards upstreams: whom the gateway believes, and what it shows.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use rcgen::{KeyPair, SanType};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{HandshakeKind, RootCertStore, ServerConfig, ServerConnection};
use serde_json::{Value, json};

use crate::identities::{Authority, Identity, params};
use crate::support::{Gateway, PATIENCE, route, service, snapshot};

/// A TLS server that answers one request per connection with what it knows of the handshake:
/// `<server name> <client certificate, or none> <resumed or full>`.
pub struct TlsUpstream {
    pub address: SocketAddr,
}

impl TlsUpstream {
    pub fn new(identity: &Identity, clients: Option<&Authority>) -> Self {
        let config = server_config(identity, clients, "http/1.1");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            while let Ok((socket, _)) = listener.accept() {
                let config = config.clone();
                thread::spawn(move || answer(config, socket));
            }
        });
        Self { address }
    }
}

/// TLS of a server that speaks one protocol, and takes only clients of an authority if there is one.
pub fn server_config(identity: &Identity, clients: Option<&Authority>, protocol: &str) -> Arc<ServerConfig> {
    let chain = CertificateDer::pem_slice_iter(identity.cert.as_bytes()).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.der.clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let mut config = builder.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    Arc::new(config)
}

fn answer(config: Arc<ServerConfig>, socket: TcpStream) {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut stream = rustls::StreamOwned::new(ServerConnection::new(config).unwrap(), socket);
    let mut received = Vec::new();
    let mut piece = [0; 4096];
    while !received.ends_with(b"\r\n\r\n") {
        match stream.read(&mut piece) {
            Ok(count) if count > 0 => received.extend_from_slice(&piece[..count]),
            _ => return,
        }
    }
    let session = &stream.conn;
    let (name, shown) = met(session);
    let kind = if session.handshake_kind() == Some(HandshakeKind::Resumed) { "resumed" } else { "full" };
    let body = format!("{name} {shown} {kind}");
    let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    let _ = stream.write_all(format!("{head}{body}").as_bytes());
    stream.conn.send_close_notify();
    let _ = stream.flush();
}

/// The server name that a client asked for, and the end of the certificate that it showed.
pub fn met(session: &ServerConnection) -> (String, String) {
    let name = session.server_name().unwrap_or("none").to_owned();
    let shown = |chain: &[CertificateDer<'_>]| format!("{:02x?}", &chain[0][chain[0].len() - 8..]);
    (name, session.peer_certificates().map_or("none".into(), shown))
}

pub fn tail(identity: &Identity) -> String {
    format!("{:02x?}", &identity.der[identity.der.len() - 8..])
}

/// A tenant with an https service at `localhost`.
pub fn tenant(id: &str, host: &str, upstream: SocketAddr, changes: &Value, entities: &Value) -> Value {
    let mut service = service(upstream);
    service["protocol"] = json!("https");
    service["host"] = json!("localhost");
    service["retries"] = json!(0);
    for (field, value) in changes.as_object().unwrap() {
        service[field] = value.clone();
    }
    let mut update = snapshot(1, &[service], &[route("/")]);
    update["limits"]["allow_upstream"] = json!(["127.0.0.0/8", "::1/128"]);
    update["control_plane_id"] = json!(id);
    update["hosts"] = json!([host]);
    for (kind, list) in entities.as_object().unwrap() {
        update["entities"][kind] = list.clone();
    }
    update
}

fn gateway(upstream: &TlsUpstream, changes: &Value, authorities: &[&Authority], certificates: &[Value]) -> Gateway {
    let mut changes = changes.clone();
    changes["ca_certificates"] = json!((0..authorities.len()).map(|index| index.to_string()).collect::<Vec<_>>());
    let authorities: Vec<Value> =
        authorities.iter().enumerate().map(|(index, own)| json!({"id": index.to_string(), "cert": own.pem})).collect();
    let entities = json!({"ca_certificates": authorities, "certificates": certificates});
    Gateway::with(&tenant("cp", "*", upstream.address, &changes, &entities))
}

fn ask(gateway: &Gateway, host: &str) -> (u16, String) {
    let response = gateway.ask(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    (response.status, response.text())
}

#[test]
fn an_upstream_has_to_lead_to_the_services_own_authorities() {
    let (trusted, other) = (Authority::new("trusted"), Authority::new("other"));
    let upstream = TlsUpstream::new(&trusted.identity(&["localhost"]), None);
    assert_eq!(ask(&gateway(&upstream, &json!({}), &[&trusted], &[]), "a"), (200, "localhost none full".into()));
    assert_eq!(ask(&gateway(&upstream, &json!({}), &[&other, &trusted], &[]), "a").0, 200);
    assert_eq!(ask(&gateway(&upstream, &json!({}), &[&other], &[]), "a").0, 502);
    assert_eq!(ask(&gateway(&upstream, &json!({}), &[], &[]), "a").0, 502);
    assert_eq!(ask(&gateway(&upstream, &json!({"tls_verify": false}), &[], &[]), "a").0, 200);
    assert_eq!(ask(&gateway(&upstream, &json!({"tls_verify": true}), &[&other], &[]), "a").0, 502);
}

#[test]
fn an_expired_certificate_is_not_believed() {
    let authority = Authority::new("authority");
    let mut expired = params(&["localhost"]);
    expired.not_before = rcgen::date_time_ymd(2020, 1, 1);
    expired.not_after = rcgen::date_time_ymd(2021, 1, 1);
    let upstream = TlsUpstream::new(&authority.sign(&expired, &KeyPair::generate().unwrap()), None);
    assert_eq!(ask(&gateway(&upstream, &json!({}), &[&authority], &[]), "a").0, 502);
    assert_eq!(ask(&gateway(&upstream, &json!({"tls_verify": false}), &[], &[]), "a").0, 200);
}

#[test]
fn the_depth_bounds_the_authorities_between() {
    let root = Authority::new("root");
    let deep = TlsUpstream::new(&root.below("one").below("two").identity(&["localhost"]), None);
    let flat = TlsUpstream::new(&root.identity(&["localhost"]), None);
    for (upstream, depth, status) in
        [(&deep, None, 200), (&deep, Some(2), 200), (&deep, Some(1), 502), (&flat, Some(0), 200)]
    {
        let gateway = gateway(upstream, &json!({"tls_verify_depth": depth}), &[&root], &[]);
        assert_eq!(ask(&gateway, "a").0, status, "{depth:?}");
    }
}

#[test]
fn a_server_may_show_the_trusted_certificate_itself() {
    let (own, other) = (Authority::self_signed(&["localhost"]), Authority::self_signed(&["localhost"]));
    let upstream = TlsUpstream::new(&own.1, None);
    assert_eq!(ask(&gateway(&upstream, &json!({}), &[&own.0], &[]), "a").0, 200);
    assert_eq!(ask(&gateway(&upstream, &json!({}), &[&other.0], &[]), "a").0, 502);
}

#[test]
fn names_are_verified_and_may_be_added() {
    let authority = Authority::new("authority");
    let mut params = params(&["inner.test"]);
    params.subject_alt_names.push(SanType::URI("spiffe://inner.test/x".try_into().unwrap()));
    let upstream = TlsUpstream::new(&authority.sign(&params, &KeyPair::generate().unwrap()), None);
    let cases = [
        (json!(null), 502),
        (json!({"dnsnames": ["inner.test"], "uris": null}), 200),
        (json!({"dnsnames": ["other.test", "not a name"]}), 502),
        (json!({"dnsnames": null, "uris": ["spiffe://inner.test/x"]}), 200),
        (json!({"uris": ["spiffe://inner.test/"]}), 502),
    ];
    for (sans, status) in cases {
        let gateway = gateway(&upstream, &json!({"tls_sans": sans}), &[&authority], &[]);
        assert_eq!(ask(&gateway, "a").0, status, "{sans}");
    }
}

#[test]
fn addresses_are_verified_and_not_sent_as_names() {
    let authority = Authority::new("authority");
    let right = TlsUpstream::new(&authority.identity(&["127.0.0.1"]), None);
    let wrong = TlsUpstream::new(&authority.identity(&["127.0.0.2"]), None);
    let host = json!({"host": "127.0.0.1"});
    assert_eq!(ask(&gateway(&right, &host, &[&authority], &[]), "a"), (200, "none none full".into()));
    assert_eq!(ask(&gateway(&wrong, &host, &[&authority], &[]), "a").0, 502);
}

#[test]
fn the_server_name_follows_the_upstreams_host() {
    let authority = Authority::new("authority");
    let upstream = TlsUpstream::new(&authority.identity(&["localhost", "public.test"]), None);
    let gateway = gateway(&upstream, &json!({}), &[&authority], &[]);
    let mut preserving = route("/");
    preserving["preserve_host"] = json!(true);
    let mut update = tenant("cp", "*", upstream.address, &json!({"ca_certificates": ["0"]}), &json!({}));
    update["entities"]["ca_certificates"] = json!([{"id": "0", "cert": authority.pem}]);
    update["entities"]["routes"] = json!([preserving]);
    assert_eq!(ask(&gateway, "public.test").1, "localhost none full");
    assert_eq!(gateway.apply(&update)["accepted"], true);
    assert_eq!(ask(&gateway, "Public.test:8443"), (200, "public.test none full".into()));
    assert_eq!(ask(&gateway, "other.test").0, 502);
}

#[test]
fn an_upstream_may_ask_for_a_certificate() {
    let (authority, clients) = (Authority::new("authority"), Authority::new("clients"));
    let upstream = TlsUpstream::new(&authority.identity(&["localhost"]), Some(&clients));
    let (known, unknown) = (clients.identity(&["gateway"]), authority.identity(&["gateway"]));
    let certificates = [known.entity("known"), unknown.entity("unknown")];
    let with = |id: Option<&str>| {
        let reference = id.map(|id| json!({"id": id}));
        gateway(&upstream, &json!({"client_certificate": reference}), &[&authority], &certificates)
    };
    assert_eq!(ask(&with(Some("known")), "a"), (200, format!("localhost {} full", tail(&known))));
    assert_eq!(ask(&with(Some("unknown")), "a").0, 502);
    assert_eq!(ask(&with(None), "a").0, 502);
}

#[test]
fn a_changed_certificate_reaches_its_services() {
    let (authority, clients) = (Authority::new("authority"), Authority::new("clients"));
    let upstream = TlsUpstream::new(&authority.identity(&["localhost"]), Some(&clients));
    let (before, after) = (clients.identity(&["gateway"]), clients.identity(&["gateway"]));
    let changes = json!({"client_certificate": {"id": "c"}});
    let gateway = gateway(&upstream, &changes, &[&authority], &[before.entity("c")]);
    assert_eq!(ask(&gateway, "a"), (200, format!("localhost {} full", tail(&before))));
    assert_eq!(ask(&gateway, "a"), (200, format!("localhost {} resumed", tail(&before))));
    let delta = |from: u64, changes: &Value| {
        json!({
            "format": 1, "kind": "delta", "organization_id": "org", "control_plane_id": "cp", "from_version": from,
            "version": from + 1, "hosts": ["*"], "changes": changes,
        })
    };
    let put =
        |plural: &str, entity: Value| json!({"operation": "put", "type": plural, "id": entity["id"], "entity": entity});
    assert_eq!(gateway.apply(&delta(1, &json!([put("certificates", after.entity("c"))])))["accepted"], true);
    assert_eq!(ask(&gateway, "a"), (200, format!("localhost {} full", tail(&after))));
    let other = json!({"id": "0", "cert": clients.pem});
    assert_eq!(gateway.apply(&delta(2, &json!([put("ca_certificates", other)])))["accepted"], true);
    assert_eq!(ask(&gateway, "a").0, 502);
}

#[test]
fn sessions_are_not_shared_between_tenants() {
    let authority = Authority::new("authority");
    let upstream = TlsUpstream::new(&authority.identity(&["localhost"]), None);
    let entities = json!({"ca_certificates": [{"id": "0", "cert": authority.pem}]});
    let changes = json!({"ca_certificates": ["0"]});
    let options = json!({"listeners": [{"address": "127.0.0.1:0", "tls": false}], "threads": 1, "version": "0.0"});
    let gateway = Gateway::with_options(&options, &tenant("cp", "a.test", upstream.address, &changes, &entities));
    assert_eq!(gateway.apply(&tenant("other", "b.test", upstream.address, &changes, &entities))["accepted"], true);
    assert_eq!(ask(&gateway, "a.test").1, "localhost none full");
    assert_eq!(ask(&gateway, "a.test").1, "localhost none resumed");
    assert_eq!(ask(&gateway, "b.test").1, "localhost none full");
    assert_eq!(ask(&gateway, "b.test").1, "localhost none resumed");
}

#[test]
fn unusable_authorities_are_refused() {
    let authority = Authority::new("authority");
    let upstream = TlsUpstream::new(&authority.identity(&["localhost"]), None);
    let gateway = gateway(&upstream, &json!({}), &[&authority], &[]);
    let with = |cert: &str| json!({"ca_certificates": [{"id": "0", "cert": cert}]});
    let two = format!("{0}{0}", authority.pem);
    for (cert, message) in [("", "invalid certificate"), (two.as_str(), "must be one certificate")] {
        let report =
            gateway.apply(&tenant("cp", "*", upstream.address, &json!({"ca_certificates": ["0"]}), &with(cert)));
        let error = &report["errors"][0];
        assert_eq!(
            (&error["entity"], &error["field"], &error["message"]),
            (&json!("ca_certificate"), &json!("cert"), &json!(message))
        );
    }
    let report = gateway.apply(&tenant("cp", "*", upstream.address, &json!({"ca_certificates": ["gone"]}), &json!({})));
    assert_eq!(report["errors"][0]["field"], "ca_certificates[0]");
    let changes = json!({"client_certificate": {"id": "gone"}});
    let report = gateway.apply(&tenant("cp", "*", upstream.address, &changes, &json!({})));
    assert_eq!(report["errors"][0]["field"], "client_certificate.id");
}
