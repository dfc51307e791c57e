"""Who this runtime is: a node certificate, and short-lived assertions signed with its key."""

import base64
import json
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

AUDIENCE: Final = "sluice-runtime"
LIFETIME_SECONDS: Final = 60
RENEW_BEFORE_SECONDS: Final = 20


class IdentityError(Exception):
    """Certificate or key cannot be used; the message names the file, never its content."""


class NodeIdentity:
    """Signs assertions: compact JWS, ES256, with the certificate chain in `x5c` (RFC 7515 section 4.1.6).

    The files are read again for every new assertion, so a renewed certificate is taken up without a restart. The key must
    stay the same over renewals: the last-known-good cache is encrypted under it.
    """

    def __init__(
        self,
        node_id: UUID,
        certificate_file: Path,
        key_file: Path,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._node_id = node_id
        self._certificate_file = certificate_file
        self._key_file = key_file
        self._now = now
        self._cached = ""
        self._expires_at = 0.0
        self._key = _load_key(key_file)
        _load_chain(certificate_file)

    def assertion(self) -> str:
        """A token with at least 20 s to live; made anew when the current one is nearly over."""
        now = self._now()
        # The second test notices a clock that was set back: the control plane refuses tokens from the future.
        fresh = now + RENEW_BEFORE_SECONDS < self._expires_at <= now + LIFETIME_SECONDS
        if not fresh:
            self._cached = self._sign(int(now))
            self._expires_at = int(now) + LIFETIME_SECONDS
        return self._cached

    def derive_key(self, purpose: str, salt: bytes) -> bytes:
        """32 bytes bound to the node's private key and `purpose` (HKDF-SHA256, RFC 5869)."""
        secret = self._key.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return HKDF(hashes.SHA256(), 32, salt, purpose.encode()).derive(secret)

    def _sign(self, issued_at: int) -> str:
        key = _load_key(self._key_file)
        header = {"alg": "ES256", "typ": "JWT", "x5c": _load_chain(self._certificate_file)}
        claims = {
            "sub": str(self._node_id),
            "aud": AUDIENCE,
            "iat": issued_at,
            "exp": issued_at + LIFETIME_SECONDS,
            "jti": secrets.token_urlsafe(16),
        }
        signed = f"{_segment(header)}.{_segment(claims)}"
        r, s = decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{_base64url(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise IdentityError(f"{path}: no usable private key ({type(error).__name__})") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise IdentityError(f"{path}: not a P-256 key")
    return key


def _load_chain(path: Path) -> list[str]:
    try:
        chain = x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as error:
        raise IdentityError(f"{path}: no usable certificate ({type(error).__name__})") from None
    return [base64.b64encode(item.public_bytes(serialization.Encoding.DER)).decode() for item in chain]


def _segment(document: Mapping[str, object]) -> str:
    return _base64url(json.dumps(document, separators=(",", ":")).encode())


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
