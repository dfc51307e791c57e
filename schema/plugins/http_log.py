"""http-log: sends records of requests to an HTTP server."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final, Literal
from urllib.parse import urlsplit

from schema.base import EVERY_PROTOCOL, NO_GROUP, PluginSpec, Ref
from schema.errors import Violation
from schema.marks import GatewayRule, Referenceable, Sealed
from schema.plugin_types import CalledUrl, CustomFields, ReferableText
from schema.queue import OnceQueuedConfig, Queue
from schema.types import HeaderName, Number, Reference, Rule, has_control_characters, items

_OWN: Final = ("Host", "Content-Length", "Content-Type")


def _own_header(name: str) -> str | None:
    return next((f"cannot contain '{own}' header" for own in _OWN if name.lower() == own.lower()), None)


def _no_certificate(certificate: object) -> str | None:
    return "this gateway shows no certificate to servers of logs" if certificate else None


def _value_fault(value: str) -> str | None:
    return "must not contain control characters" if has_control_characters(value) else None


_HeaderValue = Annotated[ReferableText, GatewayRule(_value_fault)]


@dataclass(frozen=True, slots=True)
class OneAuthorization:
    """Credentials stand in the address or in a header."""

    @property
    def fields(self) -> frozenset[str]:
        return frozenset({"http_endpoint", "headers"})

    def violations(self, document: Mapping[str, Any]) -> Iterable[Violation]:
        names = {str(name).lower() for name in document["headers"] or ()}
        if "authorization" in names and "@" in urlsplit(document["http_endpoint"]).netloc:
            text = "specifying both an 'Authorization' header and user info in 'http_endpoint' is not allowed"
            yield Violation("", text)


class HttpLog(OnceQueuedConfig):
    """Posts records. Source: the behaviour of Kong Gateway's plugin of the same name."""

    spec: ClassVar[PluginSpec] = PluginSpec(
        name="http-log",
        priority=12,
        since="0.1.0",
        streams=True,
        allowed_protocols=EVERY_PROTOCOL,
        scopes=NO_GROUP,
        checks=(OneAuthorization(),),
    )

    http_endpoint: Annotated[CalledUrl, Referenceable(), Sealed()]
    """Where records are sent."""
    method: Literal["POST", "PUT", "PATCH"] = "POST"
    """Method of the requests."""
    content_type: Literal["application/json", "application/json; charset=utf-8"] = "application/json"
    """Media type of the requests."""
    timeout: Number = 10_000
    """Longest wait for the server, in milliseconds."""
    keepalive: Number = 60_000
    """How long an idle connection is kept, in milliseconds."""
    headers: Annotated[dict[Annotated[HeaderName, Rule(_own_header)], _HeaderValue], items(maximum=64)] | None = None
    """Further headers of the requests."""
    ssl_verify: bool = True
    """Whether the server's certificate is verified."""
    client_certificate: Annotated[Reference | None, Ref("certificates"), GatewayRule(_no_certificate)] = None
    """Certificate shown to the server."""
    custom_fields_by_lua: CustomFields | None = None
    """Further fields of the record."""
    queue: Queue | None = None
    """What is waiting to be delivered; unset: the defaults."""
