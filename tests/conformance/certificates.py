"""A throw-away authority, and the certificates that it signs for backends and cases."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    import asyncio


@dataclass(frozen=True, slots=True)
class Identity:
    """PEM texts of a server: its certificate, its key, and the authority that signed it."""

    certificate: str
    key: str
    authority: str


@dataclass(frozen=True, slots=True)
class Authority:
    """Whoever signs all certificates of a run."""

    name: x509.Name
    key: ec.EllipticCurvePrivateKey
    certificate: str

    def issue(self, common_name: str, names: list[x509.GeneralName], *, rsa_key: bool = False) -> Identity:
        """Sign a new server certificate, valid for a day."""
        key = rsa.generate_private_key(65537, 2048) if rsa_key else ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_named(common_name), self.name, key.public_key()).add_extension(
            x509.BasicConstraints(ca=False, path_length=None), critical=True
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        text = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return Identity(_pem(builder.sign(self.key, hashes.SHA256())), text.decode(), self.certificate)


@cache
def authority() -> Authority:
    """One per process, made on first use."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _named("conformance authority")
    certificate = (
        _builder(name, name, key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Authority(name, key, _pem(certificate))


@cache
def backend_identity() -> Identity:
    """One per process: for `localhost`, `echo.test` and 127.0.0.1."""
    names: list[x509.GeneralName] = [
        x509.DNSName("localhost"),
        x509.DNSName("echo.test"),
        x509.IPAddress(ipaddress.IPv4Address("127.0.0.1")),
    ]
    return authority().issue("echo.test", names)


@cache
def case_identity(name: str, names: tuple[str, ...], *, rsa_key: bool) -> Identity:
    """A certificate that a case asks for; its common name is the name that the case gives it."""
    return authority().issue(name, [x509.DNSName(item) for item in names], rsa_key=rsa_key)


def common_name(stream: asyncio.StreamWriter) -> str | None:
    """Whom the certificate of the other side of a TLS connection names first; None without one."""
    tls: ssl.SSLObject | None = stream.get_extra_info("ssl_object")
    certificate = tls.getpeercert(binary_form=True) if tls is not None else None
    if certificate is None:
        return None
    attributes = x509.load_der_x509_certificate(certificate).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(attributes[0].value) if attributes else None


def server_context(identity: Identity, protocol: str = "http/1.1") -> ssl.SSLContext:
    """A server side that speaks a protocol with this identity and takes certificates of clients that offer one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as place:  # the ssl module reads certificates from files only
        certificate, key = Path(place, "certificate.pem"), Path(place, "key.pem")
        certificate.write_text(identity.certificate)
        key.write_text(identity.key)
        context.load_cert_chain(certificate, key)
    context.load_verify_locations(cadata=identity.authority)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.set_alpn_protocols([protocol])
    return context


def trusting_context(protocols: list[str]) -> ssl.SSLContext:
    """A client side that accepts any certificate and offers these ALPN protocols."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(protocols)
    return context


def _named(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
