"""Placeholders: which backends and receivers a case names, and putting their addresses in."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, cast

from tests.conformance.case import CaseError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.conformance.certificates import Identity

# Everything that looks like one is taken, so that a misspelt name is an error and not literal text.
_WORD: Final = re.compile(r"\$(?:upstream|receiver|directory)[A-Za-z0-9_]*")
_PEM: Final = re.compile(r"\$(cert|key)\(([a-z][a-z0-9-]*)\)")
_SCHEMES: Final = {
    "$upstream_tls": "https",
    "$upstream_grpc": "grpc",
    "$upstream_grpcs": "grpcs",
    "$receiver_tcp": "tcp",
    "$receiver_udp": "udp",
    "$directory": "ldap",
    "$directory_tls": "ldaps",
}
_KNOWN: Final = re.compile(
    r"""\$upstream(?:
        (?P<ca>_tls_ca)
      | (?P<name>[2-9]|_tls|_down|_silent|_grpcs|_grpc)?(?:_(?P<part>host|port)(?P<number>[2-9])?)?
    )""",
    re.VERBOSE,
)
_RECEIVER: Final = re.compile(r"(?P<name>\$receiver(?:_tcp|_udp)?|\$directory(?:_tls)?)(?:_(?P<part>host|port))?")
CA: Final = "$upstream_tls_ca"


def backend_of(word: str) -> tuple[str, str]:
    """The backend that a placeholder speaks of, and which part of its address: `url`, `host`, `port` or `ca`.

    Raises: CaseError: there is no such placeholder.
    """
    receiver = _RECEIVER.fullmatch(word)
    if receiver is not None:
        return receiver["name"], receiver["part"] or "url"
    match = _KNOWN.fullmatch(word)
    if match is None or (match["name"] and match["number"]):
        message = f"unknown placeholder: {word}"
        raise CaseError(message)
    if match["ca"]:
        return "$upstream_tls", "ca"
    return f"$upstream{match['name'] or match['number'] or ''}", match["part"] or "url"


def backends_in(document: object) -> set[str]:
    """Names of all backends that a document names, anywhere.

    Raises: CaseError: an unknown placeholder.
    """
    return {backend_of(word)[0] for text in _texts(document) for word in _WORD.findall(text)}


def url_of(name: str, address: tuple[str, int]) -> str:
    """Base URL of a backend."""
    return f"{_SCHEMES.get(name, 'http')}://{address[0]}:{address[1]}"


def substitute(
    document: Any,
    addresses: Mapping[str, tuple[str, int]],
    ca: str,
    certificates: Mapping[str, Identity] = MappingProxyType({}),
) -> Any:
    """A copy of `document` with every placeholder replaced.

    `addresses` gives host and port per backend name, `ca` the PEM text behind `$upstream_tls_ca`, `certificates` what
    `$cert(name)` and `$key(name)` speak of. Text that is nothing but
    a port placeholder becomes a number, because that is what a port field takes.
    """

    def value(word: str) -> str:
        name, part = backend_of(word)
        host, port = addresses[name]
        return {"url": url_of(name, (host, port)), "host": host, "port": str(port), "ca": ca}[part]

    def pem(match: re.Match[str]) -> str:
        identity = certificates.get(match[2])
        if identity is None:
            message = f"the case has no certificate {match[2]!r}"
            raise CaseError(message)
        return identity.certificate if match[1] == "cert" else identity.key

    def walk(node: Any) -> Any:
        if isinstance(node, str):
            if _WORD.fullmatch(node) and backend_of(node)[1] == "port":
                return int(value(node))
            return _PEM.sub(pem, _WORD.sub(lambda match: value(match[0]), node))
        if isinstance(node, dict):
            return {walk(key): walk(item) for key, item in cast("dict[Any, Any]", node).items()}
        if isinstance(node, list):
            return [walk(item) for item in cast("list[Any]", node)]
        return node

    return walk(document)


def _texts(node: object) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        for key, item in cast("dict[object, object]", node).items():
            yield from _texts(key)
            yield from _texts(item)
    elif isinstance(node, list):
        for item in cast("list[object]", node):
            yield from _texts(item)
