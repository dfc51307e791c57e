//! TLS towards clients.

use std::io;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{Acceptor, ClientHello, NoServerSessionStorage, ProducesTickets};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CommonState, ProtocolVersion, ServerConfig};
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::secret::Secret;
use super::tickets::BoundTickets;
use crate::config::hosts::HostTable;
use crate::config::tenant::Tenant;

/// A certificate with its key, both PEM.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateOptions {
    /// The chain, own certificate first.
    pub cert: String,
    /// The private key.
    pub key: Secret,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Whom a client asked for in its handshake, and what it was shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Handshake {
    /// The server name in lower case; `None` if the client sent none.
    pub server_name: Option<String>,
    /// The number of the tenant that the name belongs to.
    pub tenant: Option<u64>,
    /// Whether the certificate was one of the tenant's own, not the gateway's.
    pub own_certificate: bool,
    /// What both sides agreed on, once they have.
    pub spoken: Option<Spoken>,
}

/// Version and cipher of a connection, by the names that OpenSSL has made known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spoken {
    /// `TLSv1.3` or `TLSv1.2`.
    pub version: &'static str,
    /// The cipher suite.
    pub cipher: &'static str,
}

impl Spoken {
    pub(crate) fn on(connection: &CommonState) -> Option<Self> {
        use rustls::CipherSuite as Suite;
        let version = match connection.protocol_version()? {
            ProtocolVersion::TLSv1_3 => "TLSv1.3",
            _ => "TLSv1.2",
        };
        let cipher = match connection.negotiated_cipher_suite()?.suite() {
            Suite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
            Suite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
            Suite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
            Suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 => "ECDHE-ECDSA-AES128-GCM-SHA256",
            Suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 => "ECDHE-ECDSA-AES256-GCM-SHA384",
            Suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 => "ECDHE-ECDSA-CHACHA20-POLY1305",
            Suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => "ECDHE-RSA-AES128-GCM-SHA256",
            Suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => "ECDHE-RSA-AES256-GCM-SHA384",
            Suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => "ECDHE-RSA-CHACHA20-POLY1305",
            // No other one is offered.
            _ => return None,
        };
        Some(Self { version, cipher })
    }
}

/// What all TLS listeners have in common.
#[derive(Debug)]
pub struct TlsServer {
    base: ServerConfig,
    default: Arc<CertifiedKey>,
    tickets: Arc<dyn ProducesTickets>,
}

impl TlsServer {
    /// Shows the given certificate, or one made and signed by itself, wherever a tenant has none for a name.
    pub fn new(default: Option<&CertificateOptions>) -> Result<Self, Failure> {
        let (chain, key) = match default {
            Some(given) => {
                let chain = CertificateDer::pem_slice_iter(given.cert.as_bytes()).collect::<Result<Vec<_>, _>>()?;
                (chain, PrivateKeyDer::from_pem_slice(given.key.expose().as_bytes())?)
            }
            None => self_signed()?,
        };
        let provider = Arc::new(ring::default_provider());
        let default = Arc::new(CertifiedKey::from_der(chain, key, &provider)?);
        let mut base = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(default.clone())));
        // Sessions are resumed by tickets alone: those know whom they were given out for.
        base.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Self { base, default, tickets: ring::Ticketer::new()? })
    }

    /// How to answer a client of a tenant: with the certificate that the tenant has for the server name. Each handshake has a configuration of its own, because the certificate and
    /// what a ticket is good for belong together; next to a handshake's arithmetic that costs nothing.
    #[must_use]
    pub fn answer(
        &self,
        tenant: Option<&Tenant>,
        hello: &ClientHello<'_>,
        http: bool,
    ) -> (Arc<ServerConfig>, Handshake) {
        let server_name = named(hello);
        let own = tenant.and_then(|tenant| {
            let certificate = tenant.certificates.find(server_name.as_deref())?;
            certificate.fitting(hello.signature_schemes(), Some(hello.cipher_suites())).cloned()
        });
        let number = tenant.map(|tenant| tenant.number);
        let handshake = Handshake { server_name, tenant: number, own_certificate: own.is_some(), spoken: None };
        let shown = own.unwrap_or_else(|| self.default.clone());
        let mut config = self.base.clone();
        let certificate = shown.cert.first().map(AsRef::as_ref).unwrap_or_default();
        config.ticketer = Arc::new(BoundTickets::new(self.tickets.clone(), number, certificate));
        config.cert_resolver = Arc::new(SingleCertAndKey::from(shown));
        if http {
            config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        }
        (Arc::new(config), handshake)
    }

    /// Performs the handshake of a client that speaks HTTP. Its tenant is found by the server name as requests' tenants are
    /// by their host. The caller bounds the time.
    pub async fn accept(&self, hosts: &HostTable, tcp: TcpStream) -> io::Result<(TlsStream<TcpStream>, Handshake)> {
        let start = LazyConfigAcceptor::new(Acceptor::default(), tcp).await?;
        let tenant = hosts.find(named(&start.client_hello()).as_deref().unwrap_or_default());
        let (config, mut handshake) = self.answer(tenant.as_deref(), &start.client_hello(), true);
        let stream = start.into_stream(config).await?;
        handshake.spoken = Spoken::on(stream.get_ref().1);
        Ok((stream, handshake))
    }
}

/// The server name that a client asks for, in lower case and without a dot at its end.
pub(crate) fn named(hello: &ClientHello<'_>) -> Option<String> {
    hello.server_name().map(|name| name.trim_end_matches('.').to_ascii_lowercase())
}

fn self_signed() -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Failure> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    Ok((vec![made.cert.der().clone()], key.into()))
}
