//! Verifying upstreams' certificates.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme};
use webpki::{EndEntityCert, KeyUsage};

use super::policy::{Roots, TlsPolicy, Verification};

/// Verifies by a policy. The handshake's own signatures are checked in any case.
#[derive(Debug)]
pub(super) struct Verifier {
    pub(super) provider: Arc<CryptoProvider>,
    pub(super) policy: Arc<TlsPolicy>,
}

impl Verifier {
    fn check(
        &self,
        wanted: &Roots,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), webpki::Error> {
        let certificate = EndEntityCert::try_from(end_entity)?;
        let within_depth = |path: &webpki::VerifiedPath<'_>| match wanted.depth {
            Some(depth) if path.intermediate_certificates().count() > depth as usize => {
                Err(webpki::Error::MaximumPathDepthExceeded)
            }
            _ => Ok(()),
        };
        let verified = certificate.verify_for_usage(
            self.provider.signature_verification_algorithms.all,
            &self.policy.roots.roots,
            intermediates,
            now,
            KeyUsage::server_auth(),
            None,
            Some(&within_depth),
        );
        match verified {
            Ok(_) => {}
            // A server may show the very certificate that is trusted: one that it has signed itself. By then it is known
            // that it has not expired.
            Err(webpki::Error::CaUsedAsEndEntity) if wanted.own.iter().flatten().any(|own| own == end_entity) => {}
            Err(error) => return Err(error),
        }
        let accepted = |name: &ServerName<'_>| certificate.verify_is_valid_for_subject_name(name);
        accepted(name).or_else(|error| {
            let by_name = wanted.names.iter().any(|name| accepted(name).is_ok());
            let by_uri = certificate.valid_uri_names().any(|uri| wanted.uris.iter().any(|wanted| wanted == uri));
            if by_name || by_uri { Ok(()) } else { Err(error) }
        })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Verification::On(wanted) = &self.policy.verification {
            self.check(wanted, end_entity, intermediates, name, now).map_err(|error| {
                Error::InvalidCertificate(match error {
                    webpki::Error::UnknownIssuer => CertificateError::UnknownIssuer,
                    webpki::Error::CertExpired { .. } => CertificateError::Expired,
                    webpki::Error::CertNotValidForName(_) => CertificateError::NotValidForName,
                    other => CertificateError::Other(OtherError(Arc::new(other))),
                })
            })?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
