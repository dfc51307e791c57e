"""JSON Web Keys (RFC 7517, RFC 7518 section 6, RFC 8037): what is wrong with a text. None means nothing."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from schema.errors import Violation
from schema.marks import is_reference
from schema.pem import halves_match

_MEMBERS: Final[Mapping[str, tuple[str, ...]]] = {
    "RSA": ("n", "e"),
    "EC": ("x", "y"),
    "OKP": ("x",),
    "oct": ("k",),
}
"""What a key of each type cannot do without, apart from the curve; all of it in base64url."""
_CURVED: Final = frozenset({"EC", "OKP"})
_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


def jwk_fault(value: str) -> str | None:
    """What is wrong with a key."""
    key = _read(value)
    if key is None:
        return "could not load JWK: expected a JSON object"
    kind = key.get("kty")
    if not isinstance(kind, str) or kind not in _MEMBERS:
        return f"could not load JWK: kty is none of {', '.join(_MEMBERS)}"
    if kind in _CURVED and not isinstance(key.get("crv"), str):
        return "could not load JWK: crv is missing"
    for name in _MEMBERS[kind]:
        member = key.get(name)
        if not isinstance(member, str) or _BASE64URL.fullmatch(member) is None:
            return f"could not load JWK: {name} is not in base64url"
    return None


def _read(value: str) -> dict[str, Any] | None:
    try:
        key: object = json.loads(value)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", key) if isinstance(key, dict) else None


@dataclass(frozen=True, slots=True)
class KidOfJwk:
    """A key's own id is the one that is written in it."""

    kid: str
    jwk: str

    @property
    def fields(self) -> frozenset[str]:
        return frozenset({self.kid, self.jwk})

    def violations(self, document: Mapping[str, Any]) -> Iterable[Violation]:
        text = document.get(self.jwk)
        if not isinstance(text, str) or is_reference(text):
            return
        key = _read(text)
        if key is not None and key.get("kid") != document.get(self.kid):
            yield Violation("", f"{self.kid} in {self.jwk}.{self.kid} must be equal to keys.{self.kid}")


@dataclass(frozen=True, slots=True)
class PairInRecord:
    """At least one half of a key is there; two halves belong together."""

    record: str
    private_key: str
    public_key: str

    @property
    def fields(self) -> frozenset[str]:
        return frozenset({self.record})

    def violations(self, document: Mapping[str, Any]) -> Iterable[Violation]:
        record = document.get(self.record)
        if not isinstance(record, dict):
            return
        members: dict[str, Any] = record
        private_key, public_key = members.get(self.private_key), members.get(self.public_key)
        if private_key is None and public_key is None:
            names = f"'{self.private_key}', '{self.public_key}'"
            yield Violation(self.record, f"at least one of these fields must be non-empty: {names}")
        halves = [half for half in (private_key, public_key) if isinstance(half, str) and not is_reference(half)]
        if len(halves) == 2 and not halves_match(*halves):
            yield Violation(self.record, "private key does not match public key")
