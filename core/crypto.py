"""Keys and what is done with them. One master key; everything else derives from it.

- API tokens are stored as HMAC-SHA256 under a key derived from the master key: a stolen table cannot be tried offline.
- Secrets that must be read back are sealed with AES-256-GCM under a random data key per organization. That key is
  stored wrapped under the master key, so the master key can be changed by wrapping the data keys again.
- The associated data of a sealed value is its place (organization, table, row, field): a value copied into another row
  or tenant does not open.
"""

import base64
import hmac
import os
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from core.errors import OperatorError

_NONCE_BYTES: Final = 12
_VERSION: Final = "v1"
# Data keys held unwrapped at once; an AES-GCM unwrap is some microseconds, the table only spares it in loops.
_UNWRAPPED_KEYS: Final = 4096


class UnsealFailed(OperatorError):
    """A sealed value does not open: wrong master key, or the value was moved or changed."""

    code = "unseal-failed"


@dataclass(frozen=True, slots=True)
class OrganizationKey:
    """An organization's data key as it is stored: wrapped, useless without the master key."""

    organization_id: UUID
    wrapped: str


class KeyRing:
    """All cryptography of the control plane. Thread-safe; holds the master key only as derived keys."""

    def __init__(self, master_key: bytes) -> None:
        if len(master_key) != 32:
            raise ValueError("the master key must be 32 bytes")
        self._token_key = _derive(master_key, "sluice/token-pepper/v1")
        self._lookup_key = _derive(master_key, "sluice/lookup-hash/v1")
        self._wrapping = AESGCM(_derive(master_key, "sluice/data-key-wrapping/v1"))
        self._cipher = lru_cache(maxsize=_UNWRAPPED_KEYS)(self._make_cipher)

    def __repr__(self) -> str:
        return "KeyRing()"

    def token_hash(self, token: str) -> bytes:
        """32 bytes under which an API token is stored and looked up."""
        return hmac.digest(self._token_key, token.encode(), "sha256")

    def lookup_hash(self, organization_id: UUID, table: str, field: str, value: str) -> bytes:
        """32 bytes for the uniqueness and look-up of a sealed value within one organization."""
        return hmac.digest(self._lookup_key, _place(organization_id, table, field, value), "sha256")

    def new_organization_key(self, organization_id: UUID) -> OrganizationKey:
        """A fresh random data key, wrapped for storing."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._wrapping.encrypt(nonce, AESGCM.generate_key(256), _place(organization_id, "data-key"))
        return OrganizationKey(organization_id, _encode(nonce + sealed))

    def seal(self, key: OrganizationKey, table: str, row_id: UUID | str, field: str, plaintext: str) -> str:
        """Encrypt one field of one row; returns printable text."""
        nonce = os.urandom(_NONCE_BYTES)
        place = _place(key.organization_id, table, str(row_id), field)
        return _encode(nonce + self._cipher(key).encrypt(nonce, plaintext.encode(), place))

    def open(self, key: OrganizationKey, table: str, row_id: UUID | str, field: str, sealed: str) -> str:
        """The plaintext of a sealed field. Raises UnsealFailed when key or place do not match."""
        raw = _decode(sealed)
        place = _place(key.organization_id, table, str(row_id), field)
        try:
            return self._cipher(key).decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], place).decode()
        except InvalidTag:
            raise UnsealFailed(f"{table}.{field} of row {row_id} does not open with this master key") from None

    def credential_key(self, key: OrganizationKey, control_plane_id: UUID) -> bytes:
        """32 bytes under which one control plane's gateways compare what callers present.

        It comes from the organization's data key, so it stays the same when the master key changes.
        """
        return _derive(self._unwrap(key), f"sluice/credential-key/v1/{control_plane_id}")

    def _make_cipher(self, key: OrganizationKey) -> AESGCM:
        return AESGCM(self._unwrap(key))

    def _unwrap(self, key: OrganizationKey) -> bytes:
        raw = _decode(key.wrapped)
        try:
            return self._wrapping.decrypt(
                raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], _place(key.organization_id, "data-key")
            )
        except InvalidTag:
            raise UnsealFailed(
                f"the data key of organization {key.organization_id} does not open: is SLUICE_MASTER_KEY the one it was made with?"
            ) from None


def new_master_key() -> str:
    """A random master key in the form of the setting."""
    return base64.b64encode(os.urandom(32)).decode()


def _derive(key: bytes, info: str) -> bytes:
    # The key is uniformly random, so no salt is needed (RFC 5869 section 3.1).
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info.encode()).derive(key)


def _place(organization_id: UUID, *parts: str) -> bytes:
    # Hashed parts have a fixed length, so ("a|b", "c") and ("a", "b|c") differ.
    return b"|".join([organization_id.bytes, *(sha256(part.encode()).digest() for part in parts)])


def _encode(raw: bytes) -> str:
    return f"{_VERSION}:{base64.urlsafe_b64encode(raw).decode()}"


def _decode(text: str) -> bytes:
    version, _, payload = text.partition(":")
    if version != _VERSION:
        raise UnsealFailed("a sealed value has an unknown format version")
    return base64.urlsafe_b64decode(payload)
