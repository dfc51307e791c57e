"""How credentials are kept and compared: never in clear where a hash will do.

Keys that callers present are compared as HMAC-SHA256 under a control plane's credential key (RFC 2104). Passwords are kept
as PBKDF2-HMAC-SHA256 (RFC 8018) in the PHC string format, `$pbkdf2-sha256$i=<iterations>$<salt>$<hash>`, both parts in
base64 without padding. Few iterations, as in SCRAM (RFC 7677): a gateway that others share checks whatever strangers present,
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
_HASHED: Final = re.compile(rf"\$pbkdf2-sha256\$i={ITERATIONS}\$[A-Za-z0-9+/]{{22}}\$[A-Za-z0-9+/]{{43}}", re.ASCII)


def new_key() -> str:
    """A random key for a caller that brought none."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(KEY_LENGTH))


def key_hash(credential_key: bytes, key: str) -> str:
    """What a gateway knows of a key: its keyed hash in base64."""
    return base64.b64encode(hmac.digest(credential_key, key.encode(), "sha256")).decode()


def password_hash(password: str) -> str:
    """The salted hash of a password; a hash of this form stays as it is, so what was read can be written back."""
    if _HASHED.fullmatch(password):
        return password
    salt = os.urandom(SALT_BYTES)
    derived = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ITERATIONS, HASH_BYTES)
    return f"$pbkdf2-sha256$i={ITERATIONS}${_unpadded(salt)}${_unpadded(derived)}"


def _unpadded(raw: bytes) -> str:
    return base64.b64encode(raw).decode().rstrip("=")
