"""How credentials are kept and compared: never in clear where a hash will do.

Keys that callers present are compared as HMAC-SHA256 under a control plane's credential key (RFC 2104). Passwords are kept
as PBKDF2-HMAC-SHA256 (RFC 8018) in the PHC string format, `$pbkdf2-sha256$i=<iterations>$<salt>$<hash>`, both parts in
base64 without padding. Of passwords that come from Kong Gateway only the digest is known, in hex: SHA-1 or SHA-256 of the
password followed by the consumer's id. That digest is hashed like a password, under the name `$sha1+pbkdf2-sha256$…` or
`$sha256+pbkdf2-sha256$…`. Few iterations, as in SCRAM (RFC 7677): a gateway that others share checks whatever strangers present,
and the hashes are sealed at rest besides.
"""

import base64
import hashlib
import hmac
import os
import re
import secrets
import string
from typing import Final

ITERATIONS: Final = 4096
SALT_BYTES: Final = 16
HASH_BYTES: Final = 32
KEY_LENGTH: Final = 32
_ALPHABET: Final = string.ascii_letters + string.digits
# Exactly what `password_hash` makes: a configuration must not choose how much work a check is.
_HASHED: Final = re.compile(
    rf"\$(sha1\+|sha256\+)?pbkdf2-sha256\$i={ITERATIONS}\$[A-Za-z0-9+/]{{22}}\$[A-Za-z0-9+/]{{43}}", re.ASCII
)
_HEX: Final = re.compile(r"[0-9a-fA-F]+", re.ASCII)
_DIGESTS: Final = {40: "sha1", 64: "sha256"}


def new_key() -> str:
    """A random key for a caller that brought none."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(KEY_LENGTH))


def key_hash(credential_key: bytes, key: str) -> str:
    """What a gateway knows of a key: its keyed hash in base64."""
    return base64.b64encode(hmac.digest(credential_key, key.encode(), "sha256")).decode()


def password_hash(password: str) -> str:
    """The salted hash of a password; a hash of this form stays as it is, so what was read can be written back."""
    return password if _HASHED.fullmatch(password) else _derived("", password)


def hash_of_digest(digest: str) -> str | None:
    """The salted hash of a password of which only the digest is known; None if the text is no digest, nor such a hash."""
    if _HASHED.fullmatch(digest):
        return digest
    kind = _DIGESTS.get(len(digest)) if _HEX.fullmatch(digest) else None
    return None if kind is None else _derived(f"{kind}+", digest.lower())


def _derived(prefix: str, text: str) -> str:
    salt = os.urandom(SALT_BYTES)
    derived = hashlib.pbkdf2_hmac("sha256", text.encode(), salt, ITERATIONS, HASH_BYTES)
    return f"${prefix}pbkdf2-sha256$i={ITERATIONS}${_unpadded(salt)}${_unpadded(derived)}"


def _unpadded(raw: bytes) -> str:
    return base64.b64encode(raw).decode().rstrip("=")
