//! What TLS clients are shown, and which sessions they may resume.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, SignatureScheme};
use serde_json::{Value, json};

use crate::identities::{Authority, Identity, TlsClient, client_config, client_config_with, sni};
use crate::support::{Gateway, Upstream, route, service, snapshot};

/// A tenant whose upstream answers with the tenant's id.
fn tenant(version: u64, id: &str, host: &str, upstream: &Upstream, certificates: &[Value], snis: &[Value]) -> Value {
    let mut update = snapshot(version, &[service(upstream.address)], &[route("/")]);
    update["control_plane_id"] = json!(id);
    update["hosts"] = json!([host]);
    update["entities"]["certificates"] = json!(certificates);
    update["entities"]["snis"] = json!(snis);
    update
}

fn accept(gateway: &Gateway, update: &Value) {
    let report = gateway.apply(update);
    assert_eq!(report["accepted"], true, "{report}");
}

fn anyone() -> Arc<ClientConfig> {
    Arc::new(client_config(rustls::ALL_VERSIONS))
}

fn shown(gateway: &Gateway, name: &str) -> CertificateDer<'static> {
    TlsClient::to(gateway.tls_address, name, &anyone()).shown()
}

/// Two tenants with a host each and, if wanted, a certificate each.
fn neighbours(own: bool) -> (Gateway, [Identity; 2]) {
    let authority = Authority::new("authority");
    let identities = [authority.identity(&["a.test"]), authority.identity(&["b.test"])];
    let a = Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na");
    let b = Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb");
    let entities = |index: usize, name: &str| {
        if own { (vec![identities[index].entity("c")], vec![sni(name, "c")]) } else { (vec![], vec![]) }
    };
    let (certificates, snis) = entities(0, "a.test");
    let gateway = Gateway::with(&tenant(1, "cp", "a.test", &a, &certificates, &snis));
    let (certificates, snis) = entities(1, "b.test");
    accept(&gateway, &tenant(1, "other", "b.test", &b, &certificates, &snis));
    (gateway, identities)
}

#[test]
fn the_most_exact_name_wins() {
    let authority = Authority::new("authority");
    let names = ["www.a.test", "*.a.test", "www.*", "*"];
    let identities: Vec<Identity> = names.iter().map(|_| authority.identity(&["x"])).collect();
    let certificates: Vec<Value> = names.iter().zip(&identities).map(|(name, own)| own.entity(name)).collect();
    let snis: Vec<Value> = names.iter().map(|name| sni(name, name)).collect();
    let upstream = Upstream::echo();
    let gateway = Gateway::with(&tenant(1, "cp", "*", &upstream, &certificates, &snis));
    let cases = [
        ("www.a.test", 0),
        ("WWW.A.test", 0),
        ("api.a.test", 1),
        ("www.b.test", 2),
        ("api.b.test", 3),
        ("deep.www.a.test", 3),
        ("localhost", 3),
        ("127.0.0.1", 3),
    ];
    for (name, index) in cases {
        assert_eq!(shown(&gateway, name), identities[index].der, "{name}");
    }
    accept(&gateway, &tenant(2, "cp", "*", &upstream, &certificates[..3], &snis[..3]));
    assert!(identities.iter().all(|identity| identity.der != shown(&gateway, "api.b.test")));
}

#[test]
fn a_tenant_shows_nothing_for_hosts_of_others() {
    let authority = Authority::new("authority");
    let [stolen, own] = [authority.identity(&["b.test"]), authority.identity(&["b.test"])];
    let upstream = Upstream::echo();
    let all = [sni("b.test", "c"), sni("*.test", "c"), sni("*", "c")];
    let gateway = Gateway::with(&tenant(1, "cp", "a.test", &upstream, &[stolen.entity("c")], &all));
    assert_eq!(shown(&gateway, "a.test"), stolen.der);
    assert_ne!(shown(&gateway, "b.test"), stolen.der);
    assert_ne!(shown(&gateway, "127.0.0.1"), stolen.der);
    accept(&gateway, &tenant(1, "other", "b.test", &upstream, &[], &[]));
    assert_ne!(shown(&gateway, "b.test"), stolen.der);
    accept(&gateway, &tenant(2, "other", "b.test", &upstream, &[own.entity("c")], &[sni("b.test", "c")]));
    assert_eq!(shown(&gateway, "b.test"), own.der);
}

#[test]
fn clients_get_the_kind_of_key_that_they_understand() {
    let authority = Authority::new("authority");
    let (one, other) = (authority.identity(&["a.test"]), authority.other_identity(&["a.test"]));
    let mut entity = one.entity("c");
    entity["cert_alt"] = json!(other.cert);
    entity["key_alt"] = json!(other.key);
    let gateway = Gateway::with(&tenant(1, "cp", "*", &Upstream::echo(), &[entity], &[sni("a.test", "c")]));
    let cases = [(SignatureScheme::ECDSA_NISTP256_SHA256, &one), (SignatureScheme::ED25519, &other)];
    for (scheme, identity) in cases {
        let config = Arc::new(client_config_with(&[scheme]));
        assert_eq!(TlsClient::to(gateway.tls_address, "a.test", &config).shown(), identity.der, "{scheme:?}");
    }
}

#[test]
fn the_whole_chain_is_shown() {
    let between = Authority::new("authority").below("between");
    let own = between.identity(&["a.test"]);
    let gateway = Gateway::with(&tenant(1, "cp", "*", &Upstream::echo(), &[own.entity("c")], &[sni("a.test", "c")]));
    let client = TlsClient::to(gateway.tls_address, "a.test", &anyone());
    assert_eq!(client.stream.conn.peer_certificates().unwrap(), [own.der, between.der]);
}

#[test]
fn a_certificate_that_cannot_be_used_is_refused_with_its_field() {
    let authority = Authority::new("authority");
    let (one, other) = (authority.identity(&["a.test"]), authority.identity(&["a.test"]));
    let with = |changes: Value| {
        let mut entity = one.entity("c");
        for (field, value) in changes.as_object().unwrap() {
            entity[field] = value.clone();
        }
        entity
    };
    let cases = [
        (with(json!({"cert": "nonsense"})), "cert", "invalid certificate"),
        (with(json!({"cert": other.key})), "cert", "invalid certificate"),
        (with(json!({"key": one.cert})), "key", "invalid key"),
        (with(json!({"key": other.key})), "key", "certificate does not match key"),
        (with(json!({"cert_alt": other.cert})), "key_alt", "required with cert_alt"),
        (with(json!({"cert_alt": other.cert, "key_alt": other.key})), "key_alt", "must be of another type than key"),
    ];
    let upstream = Upstream::echo();
    let gateway = Gateway::with(&tenant(1, "cp", "*", &upstream, &[one.entity("c")], &[sni("a.test", "c")]));
    for (entity, field, message) in cases {
        let report = gateway.apply(&tenant(2, "cp", "*", &upstream, &[entity], &[sni("a.test", "c")]));
        let error = &report["errors"][0];
        assert_eq!((&error["entity"], &error["id"]), (&json!("certificate"), &json!("c")), "{report}");
        assert_eq!((&error["field"], &error["message"]), (&json!(field), &json!(message)), "{report}");
        assert!(!report.to_string().contains("PRIVATE"));
    }
    let report = gateway.apply(&tenant(2, "cp", "*", &upstream, &[], &[sni("a.test", "c")]));
    assert_eq!(
        (&report["errors"][0]["entity"], &report["errors"][0]["field"]),
        (&json!("sni"), &json!("certificate.id"))
    );
    assert_eq!(shown(&gateway, "a.test"), one.der);
}

#[test]
fn certificates_change_under_open_connections() {
    let authority = Authority::new("authority");
    let (before, after) = (authority.identity(&["a.test"]), authority.identity(&["a.test"]));
    let upstream = Upstream::echo();
    let gateway = Gateway::with(&tenant(1, "cp", "*", &upstream, &[before.entity("c")], &[sni("a.test", "c")]));
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        accept(&gateway, &tenant(2, "cp", "*", &upstream, &[before.entity("c")], &[sni("a.test", "c")]));
        let config = Arc::new(client_config(&[version]));
        let mut open = TlsClient::to(gateway.tls_address, "a.test", &config);
        assert_eq!(open.get("a.test").0, 200);

        // A change that leaves the certificate as it is leaves sessions alone.
        accept(&gateway, &tenant(3, "cp", "*", &upstream, &[before.entity("c")], &[sni("a.test", "c")]));
        let mut again = TlsClient::to(gateway.tls_address, "a.test", &config);
        assert!(again.resumed(), "{version:?}");
        assert_eq!(again.get("a.test").0, 200);

        accept(&gateway, &tenant(4, "cp", "*", &upstream, &[after.entity("c")], &[sni("a.test", "c")]));
        assert_eq!(open.get("a.test").0, 200);
        let renewed = TlsClient::to(gateway.tls_address, "a.test", &config);
        assert_eq!((renewed.resumed(), renewed.shown()), (false, after.der.clone()), "{version:?}");
    }
}

#[test]
fn no_session_follows_a_host_to_another_tenant() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let (gateway, _) = neighbours(false);
        let config = Arc::new(client_config(&[version]));
        let upstream = Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb");
        assert_eq!(TlsClient::to(gateway.tls_address, "a.test", &config).get("a.test"), (200, "a".into()));
        assert!(TlsClient::to(gateway.tls_address, "a.test", &config).resumed(), "{version:?}");
        accept(&gateway, &tenant(2, "cp", "c.test", &upstream, &[], &[]));
        accept(&gateway, &tenant(2, "other", "a.test", &upstream, &[], &[]));
        let mut moved = TlsClient::to(gateway.tls_address, "a.test", &config);
        assert!(!moved.resumed(), "{version:?}");
        assert_eq!(moved.get("a.test"), (200, "b".into()));
    }
}

#[test]
fn a_request_for_a_tenant_whose_certificate_was_not_shown_is_misdirected() {
    let (gateway, [a, b]) = neighbours(true);
    let mut client = TlsClient::to(gateway.tls_address, "a.test", &anyone());
    assert_eq!(client.shown(), a.der);
    assert_eq!(client.get("b.test").0, 421);
    assert_eq!(client.get("a.test"), (200, "a".into()));
    let mut client = TlsClient::to(gateway.tls_address, "b.test", &anyone());
    assert_eq!((client.shown(), client.get("b.test")), (b.der, (200, "b".into())));
    let mut client = TlsClient::to(gateway.tls_address, "nobody.test", &anyone());
    assert_eq!(client.get("b.test").0, 421);
}

#[test]
fn tenants_below_the_gateways_own_certificate_may_share_a_connection() {
    let (gateway, _) = neighbours(false);
    let mut client = TlsClient::to(gateway.tls_address, "a.test", &anyone());
    assert_eq!(client.get("b.test"), (200, "b".into()));
    assert_eq!(client.get("a.test"), (200, "a".into()));
}
