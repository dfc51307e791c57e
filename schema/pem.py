"""Certificates and keys in PEM: what is wrong with a text, in Kong's words. None means nothing.

A gateway refuses a whole configuration that holds a key it cannot use, so such a key is refused here first.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from schema.errors import Violation

MOST_CERTIFICATES: Final = 16
"""Certificates in one chain."""
RSA_BITS: Final = (2048, 4096)
_CURVES: Final = (ec.SECP256R1, ec.SECP384R1)
_USABLE: Final = "RSA of 2048 to 4096 bits, P-256, P-384 and Ed25519 are supported"


class _Unreadable(ValueError):
    pass


def certificate_fault(value: str) -> str | None:
    """What is wrong with a chain, its own certificate first."""
    try:
        if len(_chain(value)) > MOST_CERTIFICATES:
            return f"invalid certificate: more than {MOST_CERTIFICATES} in one chain"
    except _Unreadable:
        return "invalid certificate"
    return None


def private_key_fault(value: str) -> str | None:
    """What is wrong with a private key: unreadable, encrypted, or of a kind that gateways cannot use."""
    try:
        key = _key(value)
    except _Unreadable:
        return "invalid key"
    if isinstance(key, rsa.RSAPrivateKey):
        usable = RSA_BITS[0] <= key.key_size <= RSA_BITS[1]
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        usable = isinstance(key.curve, _CURVES)
    else:
        usable = isinstance(key, ed25519.Ed25519PrivateKey)
    return None if usable else f"invalid key: {_USABLE}"


def any_private_key_fault(value: str) -> str | None:
    """What is wrong with a private key of whatever kind, which no gateway loads."""
    try:
        _key(value)
    except _Unreadable:
        return "could not load private key"
    return None


def public_key_fault(value: str) -> str | None:
    """What is wrong with a public key of whatever kind."""
    return None if _public_key(value) is not None else "invalid key"


def halves_match(private_key: str, public_key: str) -> bool:
    """Whether two halves, each valid by itself, are of one key."""
    return _public_of_key(private_key) == _public_key(public_key)


def authority_fault(value: str) -> str | None:
    """What is wrong with the one certificate of an authority."""
    try:
        chain = _chain(value)
    except _Unreadable:
        return "invalid certificate"
    if len(chain) != 1:
        return "please submit only one certificate at a time"
    try:
        constraints = chain[0].extensions.get_extension_for_class(x509.BasicConstraints).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, ValueError):
        constraints = None
    if constraints is None or not constraints.ca:
        return 'certificate does not appear to be a CA because it is missing the "CA" basic constraint'
    if chain[0].not_valid_after_utc < datetime.now(UTC):
        return 'certificate expired, "Not After" time is in the past'
    return None


def digest(value: str) -> str | None:
    """SHA-256 in hex over the DER form of the first certificate; None if there is none."""
    try:
        first = _chain(value)[0]
    except _Unreadable:
        return None
    return hashlib.sha256(first.public_bytes(Encoding.DER)).hexdigest()


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and the private key that belongs to it."""

    certificate: str
    key: str

    @property
    def fields(self) -> frozenset[str]:
        return frozenset({self.certificate, self.key})

    def violations(self, document: Mapping[str, Any]) -> Iterable[Violation]:
        certificate, key = document.get(self.certificate), document.get(self.key)
        if isinstance(certificate, str) and isinstance(key, str) and _public(certificate) != _public_of_key(key):
            yield Violation("", "certificate does not match key")


@dataclass(frozen=True, slots=True)
class OtherKeyType:
    """Two certificates for one name: their keys are of different types, or a client could not choose."""

    one: str
    other: str

    @property
    def fields(self) -> frozenset[str]:
        return frozenset({self.one, self.other})

    def violations(self, document: Mapping[str, Any]) -> Iterable[Violation]:
        one, other = document.get(self.one), document.get(self.other)
        if isinstance(one, str) and isinstance(other, str) and _type(one) == _type(other):
            text = "certificate and alternative certificate need to have different type (e.g. RSA and ECDSA), "
            yield Violation("", text + "the provided certificates were both of the same type")


def _chain(value: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(value.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise _Unreadable from None


def _key(value: str) -> Any:
    try:
        return load_pem_private_key(value.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _Unreadable from None


def _public(certificate: str) -> bytes | None:
    try:
        return _chain(certificate)[0].public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, UnsupportedAlgorithm):
        return None


def _public_of_key(key: str) -> bytes:
    return _key(key).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _public_key(value: str) -> bytes | None:
    try:
        return load_pem_public_key(value.encode()).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None


def _type(certificate: str) -> type[Any] | None:
    try:
        return type(_chain(certificate)[0].public_key())
    except (ValueError, UnsupportedAlgorithm):
        return None
