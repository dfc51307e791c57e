//! Certificates made for a test, and TLS clients that look at what they are shown.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, HandshakeKind, SignatureScheme, StreamOwned,
    SupportedProtocolVersion,
};
use serde_json::{Value, json};

use crate::support::PATIENCE;

/// What signs certificates.
pub struct Authority {
    pub pem: String,
    pub der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
    chain: String,
}

/// A chain with its key, both PEM.
#[derive(Clone)]
pub struct Identity {
    pub cert: String,
    pub key: String,
    pub der: CertificateDer<'static>,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let params = authority_params(name);
        let cert = params.self_signed(&key).unwrap();
        let der = cert.der().clone();
        Self { pem: pem("CERTIFICATE", &der), der, issuer: Issuer::new(params, key), chain: String::new() }
    }

    /// An authority that is a server, too.
    pub fn self_signed(names: &[&str]) -> (Self, Identity) {
        let key = KeyPair::generate().unwrap();
        let mut params = params(names);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let cert = params.self_signed(&key).unwrap();
        let der = cert.der().clone();
        let own = pem("CERTIFICATE", &der);
        let identity = Identity { cert: own.clone(), key: pem("PRIVATE KEY", &key.serialize_der()), der: der.clone() };
        (Self { pem: own, der, issuer: Issuer::new(params, key), chain: String::new() }, identity)
    }

    /// An authority below this one; the chains of what it signs name it.
    pub fn below(&self, name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let params = authority_params(name);
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        let der = cert.der().clone();
        let own = pem("CERTIFICATE", &der);
        Self { chain: format!("{own}{}", self.chain), pem: own, der, issuer: Issuer::new(params, key) }
    }

    pub fn identity(&self, names: &[&str]) -> Identity {
        self.sign(&params(names), &KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap())
    }

    /// One whose key is of another type.
    pub fn other_identity(&self, names: &[&str]) -> Identity {
        self.sign(&params(names), &KeyPair::generate_for(&PKCS_ED25519).unwrap())
    }

    pub fn sign(&self, params: &CertificateParams, key: &KeyPair) -> Identity {
        let cert = params.signed_by(key, &self.issuer).unwrap();
        Identity {
            cert: format!("{}{}", pem("CERTIFICATE", cert.der()), self.chain),
            key: pem("PRIVATE KEY", &key.serialize_der()),
            der: cert.der().clone(),
        }
    }
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

pub fn params(names: &[&str]) -> CertificateParams {
    CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap()
}

impl Identity {
    /// The entity of a configuration.
    pub fn entity(&self, id: &str) -> Value {
        json!({"id": id, "cert": self.cert, "key": self.key, "cert_alt": null, "key_alt": null})
    }
}

pub fn sni(name: &str, certificate: &str) -> Value {
    json!({"id": format!("sni {name}"), "name": name, "certificate": {"id": certificate}})
}

fn pem(label: &str, der: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in der.chunks(3) {
        let bits = group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= group.len() { char::from(digit) } else { '=' });
        }
    }
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// A configuration that believes everyone.
pub fn client_config(versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    let provider = Arc::new(ring::default_provider());
    ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone { provider, schemes: None }))
        .with_no_client_auth()
}

/// The same for a client that takes only these signatures.
pub fn client_config_with(schemes: &[SignatureScheme]) -> ClientConfig {
    let provider = Arc::new(ring::default_provider());
    ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone { provider, schemes: Some(schemes.to_vec()) }))
        .with_no_client_auth()
}

#[derive(Debug)]
struct Anyone {
    provider: Arc<CryptoProvider>,
    schemes: Option<Vec<SignatureScheme>>,
}

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let all = || self.provider.signature_verification_algorithms.supported_schemes();
        self.schemes.clone().unwrap_or_else(all)
    }
}

/// A connection of a TLS client.
pub struct TlsClient {
    pub stream: StreamOwned<ClientConnection, TcpStream>,
}

impl TlsClient {
    /// Connects and names a server.
    pub fn to(address: SocketAddr, server_name: &str, config: &Arc<ClientConfig>) -> Self {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        let name = ServerName::try_from(server_name.to_owned()).unwrap();
        let mut stream = StreamOwned::new(ClientConnection::new(config.clone(), name).unwrap(), socket);
        stream.conn.complete_io(&mut stream.sock).unwrap();
        Self { stream }
    }

    /// The server's own certificate.
    pub fn shown(&self) -> CertificateDer<'static> {
        self.stream.conn.peer_certificates().unwrap()[0].clone().into_owned()
    }

    pub fn resumed(&self) -> bool {
        self.stream.conn.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// Asks for `/` of a host and returns status and body. What the server sends by itself, such as tickets, is read
    /// on the way.
    pub fn get(&mut self, host: &str) -> (u16, String) {
        self.stream.write_all(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).unwrap();
        let mut bytes = Vec::new();
        let (head, length) = loop {
            let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
            if let Some((head, _)) = text.split_once("\r\n\r\n") {
                let length = head.split("content-length: ").nth(1).unwrap().lines().next().unwrap();
                break (head.len() + 4, length.parse::<usize>().unwrap());
            }
            self.read_more(&mut bytes);
        };
        while bytes.len() < head + length {
            self.read_more(&mut bytes);
        }
        let text = String::from_utf8(bytes).unwrap();
        (text[9..12].parse().unwrap(), text[head..].to_owned())
    }

    fn read_more(&mut self, bytes: &mut Vec<u8>) {
        let mut piece = [0; 4096];
        let count = self.stream.read(&mut piece).unwrap();
        assert_ne!(count, 0, "ended within a response");
        bytes.extend_from_slice(&piece[..count]);
    }
}
