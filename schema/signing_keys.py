"""Public keys that gateways verify signatures with, in the form that they take."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from schema.pem import RSA_BITS

_RSA: Final = f"an RSA key of {RSA_BITS[0]} to {RSA_BITS[1]} bits"
_CURVES: Final[Mapping[str, type[ec.EllipticCurve]]] = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1}
ALGORITHMS: Final[Mapping[str, str]] = MappingProxyType(
    dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), _RSA)
    | {"ES256": "a key on the curve P-256", "ES384": "a key on the curve P-384"}
    | dict.fromkeys(("EdDSA", "Ed25519"), "an Ed25519 key")
)
"""Algorithms of gateways, with the key that each of them takes."""


def raw(pem: str | None, algorithm: str) -> bytes | None:
    """The key for an algorithm: `RSAPublicKey` (RFC 8017), an uncompressed point (SEC 1) or the 32 bytes of Ed25519.

    None for a key that belongs to another algorithm, and for what is no key.
    """
    try:
        key = load_pem_public_key((pem or "").encode())
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    if isinstance(key, rsa.RSAPublicKey):
        fits = ALGORITHMS.get(algorithm) == _RSA and RSA_BITS[0] <= key.key_size <= RSA_BITS[1]
        return key.public_bytes(Encoding.DER, PublicFormat.PKCS1) if fits else None
    if isinstance(key, ec.EllipticCurvePublicKey):
        fits = isinstance(key.curve, _CURVES.get(algorithm, ()))
        return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint) if fits else None
    if isinstance(key, ed25519.Ed25519PublicKey) and algorithm in {"EdDSA", "Ed25519"}:
        return key.public_bytes_raw()
    return None
