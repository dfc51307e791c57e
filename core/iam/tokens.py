"""The form of API tokens: prefix, 43 random characters, 6 characters of checksum.

The checksum (CRC-32) is no protection; it lets a mistyped or made-up token be refused without asking the database, and
lets secret scanners tell a token from noise. The 43 characters of base 62 carry 256 bits.
"""

import re
import secrets
import string
import zlib
from typing import Final

USER_PREFIX: Final = "kpat_"

_ALPHABET: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_RANDOM_LENGTH: Final = 43
_CHECKSUM_LENGTH: Final = 6
_FORM: Final = re.compile(rf"kpat_[0-9A-Za-z]{{{_RANDOM_LENGTH + _CHECKSUM_LENGTH}}}")


def mint() -> str:
    """A new personal access token."""
    body = USER_PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM_LENGTH))
    return body + _checksum(body)


def is_well_formed(token: str) -> bool:
    """Whether `token` could be one of ours: form and checksum."""
    if not _FORM.fullmatch(token):
        return False
    body, checksum = token[:-_CHECKSUM_LENGTH], token[-_CHECKSUM_LENGTH:]
    return _checksum(body) == checksum


def _checksum(body: str) -> str:
    rest = zlib.crc32(body.encode())
    digits: list[str] = []
    for _ in range(_CHECKSUM_LENGTH):
        rest, digit = divmod(rest, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
