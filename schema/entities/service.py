"""The service: an upstream application that routes lead to."""

from typing import Annotated, Any, ClassVar, Final
from urllib.parse import urlsplit

from pydantic import Field

from schema.addresses import tls_host_fault
from schema.base import Document, Entity, EntitySpec, Record, Ref, Unique
from schema.checks import NullWhen, RuleWhen
from schema.errors import Violation
from schema.protocols import Protocol
from schema.types import (
    Host,
    HttpPath,
    Integer,
    Milliseconds,
    Name,
    Port,
    Reference,
    ShortText,
    Url,
    Uuid,
    between,
    items,
)

_DEFAULT_PORTS: Final = {"https": 443}
_TIMEOUT_MS: Final = 60_000


class TlsSans(Record):
    """Further names that the upstream's certificate may carry."""

    dnsnames: list[ShortText] | None = None
    """DNS names."""
    uris: list[ShortText] | None = None
    """URIs."""


class Service(Entity):
    """An upstream application: where requests go once a route has matched."""

    spec: ClassVar[EntitySpec] = EntitySpec(
        plural="services",
        singular="service",
        natural_key="name",
        unique=(Unique(("name",)),),
        filters=("name",),
        checks=(
            NullWhen(("path",), "protocol", ("tcp", "tls", "udp", "grpc", "grpcs", "tls_passthrough")),
            NullWhen(
                ("client_certificate", "tls_verify", "tls_verify_depth", "ca_certificates", "tls_sans"),
                "protocol",
                ("https", "tls", "grpcs", "wss"),
                negate=True,
            ),
            RuleWhen("host", "protocol", ("https", "tls", "grpcs", "wss"), tls_host_fault),
        ),
        example={"name": "orders", "host": "orders.example.com", "protocol": "https", "port": 443, "tags": ["team-a"]},
    )

    name: Name | None = None
    """Unique name, usable instead of the id."""
    protocol: Protocol = "http"
    """How to speak to the upstream."""
    host: Host
    """Host name or address of the upstream, or the name of an upstream object."""
    port: Port = 80
    """Port of the upstream."""
    path: HttpPath | None = None
    """Prefix put before every path sent upstream."""
    retries: Annotated[Integer, between(0, 32_767)] = 5
    """Further attempts after a failed connection."""
    connect_timeout: Milliseconds = _TIMEOUT_MS
    """Time to establish a connection, in milliseconds."""
    write_timeout: Milliseconds = _TIMEOUT_MS
    """Longest pause between two writes to the upstream, in milliseconds."""
    read_timeout: Milliseconds = _TIMEOUT_MS
    """Longest pause between two reads from the upstream, in milliseconds."""
    client_certificate: Annotated[Reference | None, Ref("certificates", on_delete="restrict")] = None
    """Certificate shown to the upstream."""
    tls_verify: bool | None = None
    """Whether the upstream's certificate is verified; unset leaves it to the gateway's setting."""
    tls_verify_depth: Annotated[Integer, between(0, 64)] | None = None
    """Longest accepted certificate chain."""
    ca_certificates: Annotated[
        Annotated[list[Uuid], items(maximum=256)] | None, Ref("ca_certificates", on_delete="restrict")
    ] = None
    """Certificate authorities that the upstream's certificate is verified against."""
    tls_sans: TlsSans | None = None
    """Further names accepted in the upstream's certificate."""
    enabled: bool = True
    """A disabled service takes its routes out of the router."""
    url: Annotated[Url | None, Field(json_schema_extra={"writeOnly": True}, exclude=True)] = None
    """Shorthand that sets protocol, host, port and path at once; wins over them and is never returned."""

    @classmethod
    def expand(cls, document: Document) -> tuple[Document, list[Violation]]:
        url = document.get("url")
        if not isinstance(url, str):
            return document, []
        parts = _split_url(url)
        if parts is None:
            return document, []  # the field's own rule reports it
        return {name: value for name, value in document.items() if name != "url"} | parts, []


def _split_url(url: str) -> dict[str, Any] | None:
    """Scheme-less URLs are https on port 443, http otherwise; query and fragment are dropped."""
    try:
        parts = urlsplit(url if "//" in url else f"//{url}")
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if not host:
        return None
    protocol = parts.scheme or ("https" if port == 443 else "http")
    return {
        "protocol": protocol,
        "host": f"[{host}]" if ":" in host else _host_as_written(parts.netloc),
        "port": port if port is not None else _DEFAULT_PORTS.get(protocol, 80),
        "path": parts.path or None,
    }


def _host_as_written(netloc: str) -> str:
    """The parser lower-cases host names; clients compare what they get back with what they sent."""
    return netloc.rpartition("@")[2].partition(":")[0]
