"""Host names, addresses and URLs: what is wrong with a text, in Kong's words. None means nothing."""

import ipaddress
import re
from typing import Final
from urllib.parse import urlsplit

_LABEL = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*", re.ASCII)
_DOTTED = re.compile(r"[0-9]{1,8}(\.[0-9]{1,8}){3}", re.ASCII)
_PREFIX_LENGTH = re.compile(r"0|[1-9][0-9]{0,2}", re.ASCII)


def is_ip(text: str) -> bool:
    """Whether the text is an IPv4 or (possibly bracketed) IPv6 address, without a zone."""
    bracketed = text.startswith("[") and text.endswith("]")
    bare = text[1:-1] if bracketed else text
    try:
        version = ipaddress.ip_address(bare).version
    except ValueError:
        return False
    return "%" not in bare and (version == 6 or not bracketed)


def split_port(text: str) -> tuple[str, int | None] | None:
    """`host[:port]` apart, None when the port is no port. A bare IPv6 address has no port."""
    if is_ip(text):
        return text, None
    host, colon, port = text.rpartition(":")
    if not colon:
        return text, None
    if not port.isascii() or not port.isdigit() or int(port) > 65535:
        return None
    return host, int(port)


def is_host_name(text: str) -> bool:
    """Dot separated labels of letters, digits, `-` and `_`; one trailing dot is fine."""
    name = text.removesuffix(".")
    labels = name.split(".")
    return (
        0 < len(name) <= 253
        and _LABEL.fullmatch(name) is not None
        and all(0 < len(label) <= 63 and label[0] != "-" != label[-1] for label in labels)
    )


def host_fault(value: str) -> str | None:
    split = split_port(value)
    if split is None:
        return f"invalid value: {value}"
    if split[1] is not None:
        return "must not have a port"
    return None if is_ip(value) or is_host_name(value) else f"invalid value: {value}"


def tls_host_fault(value: str) -> str | None:
    """What is wrong with a host that TLS is spoken with: a name that ends in a number is no name in certificates."""
    last = value.removesuffix(".").rpartition(".")[2]
    ends_in_number = _NUMBER.fullmatch(last) is not None and not is_ip(value.removesuffix("."))
    return f"invalid value: {value}" if ends_in_number else None


def tls_name_fault(value: str) -> str | None:
    """What is wrong with a name that a gateway is to call a server by in a TLS handshake."""
    return tls_host_fault(value) if is_host_name(value) else f"invalid value: {value}"


def wildcard_fault(value: str) -> str | None:
    """What is wrong with `name`, `*.name` or `name.*`."""
    if "*" not in value:
        return None if is_host_name(value) else f"invalid value: {value}"
    if value.count("*") > 1:
        return "only one wildcard must be specified"
    if value.startswith("*."):
        rest = value[2:]
    elif value.endswith(".*"):
        rest = value[:-2]
    else:
        return "wildcard must be leftmost or rightmost character"
    return None if is_host_name(rest) else f"invalid value: {value}"


def route_host_fault(value: str) -> str | None:
    split = split_port(value)
    if split is None:
        return f"invalid value: {value}"
    if is_ip(split[0]):
        return None if split[0].startswith("[") or ":" not in split[0] else f"invalid value: {value}"
    return wildcard_fault(split[0])


def sni_fault(value: str) -> str | None:
    if is_ip(value):
        return "must not be an IP"
    if ":" in value:
        return "must not have a port"
    return wildcard_fault(value)


def normal_server_name(value: str) -> str:
    """The one form of a TLS server name, which has no letter case and no trailing dot (RFC 6066 section 3)."""
    return value.lower().removesuffix(".")


def cidr_fault(value: str) -> str | None:
    address, slash, length = value.partition("/")
    try:
        ipaddress.ip_network(value, strict=False)
        plain = "%" not in address and (not slash or _PREFIX_LENGTH.fullmatch(length) is not None)
    except ValueError:
        plain = False
    return None if plain else f"invalid ip or cidr range: '{value}'"


def url_fault(value: str) -> str | None:
    try:
        parts = urlsplit(value)
        port_fits = parts.port is None or parts.port >= 0
    except ValueError:
        return "missing host in url"
    return None if parts.hostname and port_fits else "missing host in url"


def called_url_fault(value: str) -> str | None:
    """What is wrong with a URL that a gateway is to ask; see the engine's `Destination`."""
    scheme, colon, rest = value.partition("://")
    if not colon:
        return "missing scheme"
    if scheme.lower() not in {"http", "https"}:
        return "scheme must be http or https"
    end = re.search(r"[/?#]", rest)
    authority, target = (rest, "") if end is None else (rest[: end.start()], rest[end.start() :])
    if not all("!" <= char <= "~" for char in target.partition("#")[0]):
        return "invalid path"
    host = authority.rpartition("@")[2]
    split = split_port(host)
    if split is None or split[1] == 0 or host.endswith(":"):
        return "invalid port"
    if not (is_ip(split[0]) and ("[" in split[0] or ":" not in split[0])) and not is_host_name(split[0]):
        return "invalid host"
    return tls_host_fault(split[0]) and "invalid host" if scheme.lower() == "https" else None


def asked_url_fault(value: str) -> str | None:
    """The same of a URL whose user information nobody would send."""
    authority = re.split(r"[/?#]", value.partition("://")[2], maxsplit=1)[0]
    return "a URL with user information is not supported" if "@" in authority else called_url_fault(value)


DEFAULT_TARGET_PORT: Final = 8000


def normal_target(value: str) -> str | None:
    """`host:port` in its one form: IPv4 without leading zeros, IPv6 in full and in brackets, port 8000 unless given.

    None for what is no host name or address with an optional port.
    """
    split = split_port(value)
    if split is None:
        return None
    host, port = split
    address = _address(host)
    if address is None and not is_host_name(host):
        return None
    shown = host if address is None else f"[{address.exploded}]" if address.version == 6 else str(address)
    return f"{shown}:{DEFAULT_TARGET_PORT if port is None else port}"


def target_fault(value: str) -> str | None:
    known = normal_target(value) is not None
    return None if known else f"Invalid target ('{value}'); not a valid hostname or ip address"


def upstream_name_fault(value: str) -> str | None:
    split = split_port(value)
    if split is not None and _address(split[0]) is not None:
        return f"Invalid name ('{value}'); no ip addresses allowed"
    if split is None or not is_host_name(split[0]):
        return f"Invalid name ('{value}'); must be a valid hostname"
    return None if split[1] is None else f"Invalid name ('{value}'); no port allowed"


def host_with_port_fault(value: str) -> str | None:
    split = split_port(value)
    known = split is not None and (is_ip(split[0]) or is_host_name(split[0]))
    return None if known else f"invalid value: {value}"


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that a text stands for. Leading zeros of IPv4 are decimal, as everywhere in Kong's configuration."""
    if _DOTTED.fullmatch(host):
        host = ".".join(str(int(part)) for part in host.split("."))
    if not is_ip(host):
        return None
    return ipaddress.ip_address(host[1:-1] if host.startswith("[") else host)
