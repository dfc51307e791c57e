"""Node certificates: the installation's node CA signs them, runtimes prove with them who they are.

A node certificate names its region and node in one URI, `sluice://region/<region>/node/<node id>`. A runtime signs short
assertions with its key and sends the certificate along; the region in the certificate, and nothing that the runtime says,
decides what it may see.
"""

import base64
import binascii
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeGuard, cast
from uuid import UUID

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from core.errors import SettingsError, Unauthenticated

AUDIENCE: Final = "sluice-runtime"
SCHEME: Final = "Sluice-Node"
URI_PREFIX: Final = "sluice://region/"
LONGEST_ASSERTION: Final = 16_384
LONGEST_LIFE_SECONDS: Final = 60
CLOCK_SKEW_SECONDS: Final = 30
VALID_DAYS: Final = 90
_BACKDATED: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Node:
    """A runtime that has proved who it is."""

    node_id: UUID
    region: str


class NodeCa:
    """Signs node certificates."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self._certificate = certificate
        self._key = key

    @classmethod
    def load(cls, certificate_file: Path | None, key_file: Path | None) -> "NodeCa":
        """Read the CA. Raises SettingsError: a file is not set or not usable."""
        certificate = load_ca_certificate(certificate_file)
        if key_file is None:
            raise SettingsError("SLUICE_NODE_CA_KEY_FILE", "is needed and not set")
        try:
            key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
        except (OSError, ValueError, TypeError) as error:
            raise SettingsError("SLUICE_NODE_CA_KEY_FILE", f"no usable key ({type(error).__name__})") from None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            raise SettingsError("SLUICE_NODE_CA_KEY_FILE", "is not the key of the node CA's certificate")
        return cls(certificate, key)

    def issue(self, node: Node, public_key: ec.EllipticCurvePublicKey, now: datetime, days: int = VALID_DAYS) -> bytes:
        """A certificate (PEM) for one node of one region."""
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        usage = x509.KeyUsage(
            digital_signature=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=False,
            crl_sign=False,
            encipher_only=False,
            decipher_only=False,
        )
        name = f"{URI_PREFIX}{node.region}/node/{node.node_id}"
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, str(node.node_id))]))
            .issuer_name(self._certificate.subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _BACKDATED)
            .not_valid_after(min(now + timedelta(days=days), self._certificate.not_valid_after_utc))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(name)]), critical=False)
            .add_extension(authority, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM)

    def ensure_files(
        self, node: Node, certificate_file: Path, key_file: Path, now: datetime, days: int = VALID_DAYS
    ) -> bool:
        """See to it that the files hold a key and a certificate for `node` with a third of its life left.

        The key is kept over renewals: the runtime's cache on disk is encrypted under it.

        Returns: whether anything was written.
        """
        key = _read_key(key_file)
        if key is not None and self._still_good(node, certificate_file, key.public_key(), now, days):
            return False
        if key is None:
            key = ec.generate_private_key(ec.SECP256R1())
            pem = key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            write_private(key_file, pem)
        write_private(certificate_file, self.issue(node, key.public_key(), now, days))
        return True

    def are_good(
        self, node: Node, certificate_file: Path, key_file: Path, now: datetime, days: int = VALID_DAYS
    ) -> bool:
        """Whether `ensure_files` would have nothing to do."""
        key = _read_key(key_file)
        return key is not None and self._still_good(node, certificate_file, key.public_key(), now, days)

    def _still_good(
        self, node: Node, certificate_file: Path, public_key: ec.EllipticCurvePublicKey, now: datetime, days: int
    ) -> bool:
        try:
            leaf = x509.load_pem_x509_certificate(certificate_file.read_bytes())
            leaf.verify_directly_issued_by(self._certificate)
            same = leaf.public_key() == public_key and node_of(leaf) == node
        except (OSError, ValueError, TypeError, InvalidSignature, Unauthenticated):
            return False
        return same and leaf.not_valid_after_utc - now > timedelta(days=days) / 3


class NodeVerifier:
    """Tells from an assertion which node is calling."""

    def __init__(self, certificate: x509.Certificate) -> None:
        self._store = Store([certificate])

    def verify(self, assertion: str, now: datetime) -> Node:
        """The node that signed a compact JWS (ES256, certificate chain in `x5c`; RFC 7515).

        Raises: Unauthenticated: anything about it is not as it has to be; the reason is for the log.
        """
        if len(assertion) > LONGEST_ASSERTION or assertion.count(".") != 2:
            raise Unauthenticated("node assertion: form")
        head, body, signature = assertion.split(".")
        header, claims = _json_segment(head), _json_segment(body)
        if header.get("alg") != "ES256":
            raise Unauthenticated("node assertion: algorithm")
        leaf = self._verified_leaf(header.get("x5c"), now)
        _check_signature(leaf, f"{head}.{body}".encode(), _base64url(signature))
        node = node_of(leaf)
        _check_claims(claims, node, now.timestamp())
        return node

    def _verified_leaf(self, x5c: object, now: datetime) -> x509.Certificate:
        if not isinstance(x5c, list) or not 1 <= len(cast("list[object]", x5c)) <= 4:
            raise Unauthenticated("node assertion: x5c")
        try:
            chain = [
                x509.load_der_x509_certificate(base64.b64decode(str(item), validate=True))
                for item in cast("list[object]", x5c)
            ]
            verifier = PolicyBuilder().store(self._store).time(now).build_client_verifier()
            return verifier.verify(chain[0], chain[1:]).chain[0]
        except (ValueError, binascii.Error, VerificationError) as error:
            raise Unauthenticated(f"node assertion: chain: {type(error).__name__}") from None


def node_of(certificate: x509.Certificate) -> Node:
    """Region and node that a node certificate names. Raises Unauthenticated when it names none."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        (uri,) = names.get_values_for_type(x509.UniformResourceIdentifier)
        region, marker, identifier = uri.removeprefix(URI_PREFIX).split("/")
        if not uri.startswith(URI_PREFIX) or marker != "node" or not region:
            raise Unauthenticated("node certificate: name")
        return Node(UUID(identifier), region)
    except (ValueError, x509.ExtensionNotFound):
        raise Unauthenticated("node certificate: name") from None


def load_ca_certificate(path: Path | None) -> x509.Certificate:
    """Read the node CA's certificate. Raises SettingsError: not set or not usable."""
    if path is None:
        raise SettingsError("SLUICE_NODE_CA_CERT_FILE", "is needed and not set")
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise SettingsError("SLUICE_NODE_CA_CERT_FILE", f"no usable certificate ({type(error).__name__})") from None


def write_private(path: Path, content: bytes) -> None:
    """Replace a file that only its owner may read."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    temporary.replace(path)


def _read_key(path: Path) -> ec.EllipticCurvePrivateKey | None:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError):
        return None
    return key if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1) else None


def _check_signature(leaf: x509.Certificate, signed: bytes, signature: bytes) -> None:
    key = leaf.public_key()
    if (
        not isinstance(key, ec.EllipticCurvePublicKey)
        or not isinstance(key.curve, ec.SECP256R1)
        or len(signature) != 64
    ):
        raise Unauthenticated("node assertion: signature form")
    der = encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
    try:
        key.verify(der, signed, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise Unauthenticated("node assertion: signature") from None


def _check_claims(claims: Mapping[str, Any], node: Node, now: float) -> None:
    issued, expires = claims.get("iat"), claims.get("exp")
    if not _is_integer(issued) or not _is_integer(expires) or not 0 < expires - issued <= LONGEST_LIFE_SECONDS:
        raise Unauthenticated("node assertion: lifetime")
    if not issued - CLOCK_SKEW_SECONDS <= now < expires + CLOCK_SKEW_SECONDS:
        raise Unauthenticated("node assertion: time")
    if claims.get("aud") != AUDIENCE or not claims.get("jti") or claims.get("sub") != str(node.node_id):
        raise Unauthenticated("node assertion: claims")


def _is_integer(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _json_segment(segment: str) -> dict[str, Any]:
    try:
        document = json.loads(_base64url(segment))
    except (ValueError, RecursionError):
        raise Unauthenticated("node assertion: JSON") from None
    if not isinstance(document, dict):
        raise Unauthenticated("node assertion: JSON")
    return cast("dict[str, Any]", document)


def _base64url(segment: str) -> bytes:
    try:
        return base64.b64decode(segment + "=" * (-len(segment) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raise Unauthenticated("node assertion: base64") from None
