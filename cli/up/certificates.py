"""Certificates of the installation: a development CA for HTTPS, a node CA for gateway runtimes, their leaves."""

from __future__ import annotations

import datetime as dt
import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cli.faults import Fault
from cli.up.state import write_private

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_CA_DAYS = 3650
# The longest life that the strictest platform accepts for a leaf, whoever signed it.
_LEAF_DAYS = 397
_RENEW_BEFORE = dt.timedelta(days=30)


@dataclass(frozen=True)
class Authority:
    """A certificate authority on disk, PEM files."""

    certificate_file: Path
    key_file: Path

    def ensure(self, common_name: str) -> None:
        """Make it when missing. An existing one is kept for ever: others trust it.

        A key alone is what an interrupted first start leaves behind: it gets its certificate now.

        Raises: Fault: the certificate is there and its key is not, or the key is unusable.
        """
        if self.certificate_file.exists():
            if not self.key_file.exists():
                raise Fault(f"{self.key_file} is missing while its certificate is there: restore it, or remove both")
            return
        key = self._key() if self.key_file.exists() else ec.generate_private_key(ec.SECP256R1())
        name = _name(common_name)
        certificate = (
            _builder(name, name, key.public_key(), _CA_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        write_private(self.key_file, _key_pem(key))
        write_private(self.certificate_file, certificate.public_bytes(serialization.Encoding.PEM))

    def ensure_server(self, certificate_file: Path, key_file: Path, names: Iterable[str]) -> None:
        """Make a server certificate for DNS names and IP addresses, or renew it.

        Kept while it names exactly these, was signed by this authority and has a month to live.
        """
        wanted = list(dict.fromkeys(names))
        issuer = x509.load_pem_x509_certificate(self.certificate_file.read_bytes())
        if key_file.exists() and _still_good(certificate_file, issuer, wanted):
            return
        issuer_key = self._key()
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _builder(_name("sluice-api"), issuer.subject, key.public_key(), _LEAF_DAYS)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName([_alternative(name) for name in wanted]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
            .sign(issuer_key, hashes.SHA256())
        )
        chain = certificate.public_bytes(serialization.Encoding.PEM) + self.certificate_file.read_bytes()
        write_private(key_file, _key_pem(key))
        write_private(certificate_file, chain)

    def _key(self) -> ec.EllipticCurvePrivateKey:
        try:
            key = serialization.load_pem_private_key(self.key_file.read_bytes(), password=None)
        except (OSError, ValueError, TypeError) as error:
            raise Fault(f"{self.key_file} is not usable as a private key ({type(error).__name__})") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise Fault(f"{self.key_file} is not an elliptic curve key")
        return key


def _still_good(certificate_file: Path, issuer: x509.Certificate, names: list[str]) -> bool:
    try:
        leaf = x509.load_pem_x509_certificate(certificate_file.read_bytes())
        leaf.verify_directly_issued_by(issuer)
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except Exception:  # noqa: BLE001  # whatever is wrong with it, a new one is the remedy
        return False
    fresh = leaf.not_valid_after_utc - _RENEW_BEFORE > dt.datetime.now(dt.UTC)
    return fresh and set(found) == {_alternative(name) for name in names}


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))  # clocks of containers and hosts differ a little
        .not_valid_after(now + dt.timedelta(days=days))
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
