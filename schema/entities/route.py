"""The route: which requests go to a service, and how they are changed on the way."""

from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field

from schema.base import Catalog, Document, Entity, EntitySpec, Record, Ref, Unique, Variant
from schema.checks import (
    Apart,
    ForbiddenFor,
    MutuallyExclusiveSets,
    Needs,
    OnlyWithAny,
    RequiredMatchers,
)
from schema.errors import Violation
from schema.expressions import expression_fault
from schema.patterns import regex_fault
from schema.protocols import FAMILIES, GRPC, HTTP, STREAM, WITH_TLS, Protocols
from schema.types import (
    Cidr,
    Distinct,
    HeaderName,
    HttpMethod,
    Integer,
    Name,
    Port,
    Reference,
    RouteHost,
    RoutePath,
    Rule,
    ShortText,
    Sni,
    Text,
    between,
    items,
)

_CLASSIC: Final = ("methods", "hosts", "paths", "headers", "snis", "sources", "destinations", "regex_priority")


MAX_REGEXES: Final = 100
"""Most regular expressions among the headers of one route, and most in one expression.

A gateway may have to try all of them for one request, and ends a search that takes too much without a result.
"""


def _check_headers(value: dict[str, Any]) -> str | None:
    if any(name.lower() == "host" for name in value):
        return "must not contain 'host' header"
    regexes = sum(match.startswith("~*") for matches in value.values() for match in matches)
    return f"more than {MAX_REGEXES} regular expressions" if regexes > MAX_REGEXES else None


def _check_header_match(value: str) -> str | None:
    if not value.startswith("~*"):
        return None
    wrong = regex_fault(value[2:], ignore_case=True)
    return None if wrong is None else f"invalid regex: '{value[2:]}' ({wrong})"


def _check_address(value: dict[str, Any]) -> str | None:
    return None if value else "at least one of these fields must be non-empty: 'ip', 'port'"


class Address(Record):
    """A peer address of a stream connection; at least one of the two is set."""

    ip: Cidr | None = None
    """IP address or range."""
    port: Port | None = None
    """Port."""


Addresses = Annotated[
    list[Annotated[Address, Rule(lambda value: _check_address(value.model_dump(exclude_none=True)))]],
    items(maximum=256),
]
HeaderMatch = Annotated[ShortText, Rule(_check_header_match)]
Headers = Annotated[
    dict[HeaderName, Annotated[list[HeaderMatch], items(maximum=256)]], items(maximum=256), Rule(_check_headers)
]


class Route(Entity):
    """Matches requests by host, path, method, header and more, and hands them to its service."""

    spec: ClassVar[EntitySpec] = EntitySpec(
        plural="routes",
        singular="route",
        natural_key="name",
        unique=(Unique(("name",)),),
        filters=("name",),
        checks=(
            MutuallyExclusiveSets("protocols", FAMILIES),
            RequiredMatchers(
                "protocols",
                (
                    ("https", ("methods", "hosts", "headers", "paths", "snis")),
                    ("http", ("methods", "hosts", "headers", "paths")),
                    ("grpcs", ("hosts", "headers", "paths", "snis")),
                    ("grpc", ("hosts", "headers", "paths")),
                    ("wss", ("hosts", "headers", "paths", "snis")),
                    ("ws", ("hosts", "headers", "paths")),
                    ("tls_passthrough", ("snis",)),
                    ("tls", ("sources", "destinations", "snis")),
                    ("tcp", ("sources", "destinations")),
                    ("udp", ("sources", "destinations")),
                ),
                unless="expression",
            ),
            ForbiddenFor("strip_path", "protocols", GRPC, forbidden=True),
            ForbiddenFor("methods", "protocols", GRPC),
            *(ForbiddenFor(name, "protocols", STREAM) for name in ("methods", "hosts", "paths", "headers")),
            *(ForbiddenFor(name, "protocols", (*HTTP, *GRPC, "ws", "wss")) for name in ("sources", "destinations")),
            OnlyWithAny("snis", "protocols", WITH_TLS),
            Apart("expression", _CLASSIC),
            Needs("priority", "expression"),
        ),
        variant=Variant(
            switch="expression",
            when_set=frozenset({"expression", "priority"}),
            # Kept as given, but nothing follows from it there, and decK takes it for absent.
            when_unset=frozenset({*_CLASSIC, "path_handling"}),
        ),
        example={"name": "orders", "paths": ["/orders"], "methods": ["GET", "POST"]},
    )

    name: Name | None = None
    """Unique name, usable instead of the id."""
    protocols: Protocols = Field(default=["http", "https"])
    """Protocols a request may arrive by."""
    methods: Annotated[list[HttpMethod], items(), Distinct] | None = None
    """Methods to match."""
    hosts: Annotated[list[RouteHost], items()] | None = None
    """Host names to match; a `*` may stand for the leftmost or the rightmost label."""
    paths: Annotated[list[RoutePath], items()] | None = None
    """Path prefixes to match; those that start with `~` are regular expressions."""
    headers: Headers | None = None
    """Headers to match, each with the accepted values; `~*` starts a regular expression."""
    snis: Annotated[list[Sni], items(), Distinct] | None = None
    """TLS server names to match."""
    sources: Addresses | None = None
    """Client addresses to match, for stream protocols."""
    destinations: Addresses | None = None
    """Local addresses to match, for stream protocols."""
    regex_priority: Annotated[Integer, between(-(2**31), 2**31 - 1)] = 0
    """Order among regular expressions that match: higher first."""
    strip_path: bool = True
    """Whether the matched prefix is removed from the path sent upstream."""
    path_handling: Literal["v0", "v1"] = "v0"
    """How the service's path and the request's path are joined."""
    preserve_host: bool = False
    """Whether the upstream sees the client's Host header."""
    https_redirect_status_code: Literal[426, 301, 302, 307, 308] = 426
    """Answer to a plain HTTP request on a route that accepts HTTPS only."""
    request_buffering: bool = True
    """Whether a request body is read in full before it is sent upstream."""
    response_buffering: bool = True
    """Whether a response body is read in full before it is sent to the client."""
    expression: Text | None = None
    """Matching rule in the expressions language, instead of the single matching fields."""
    priority: Annotated[Integer, between(0, 2**46 - 1)] = 0
    """Order among expressions that match: higher first."""
    service: Annotated[Reference | None, Ref("services", on_delete="restrict", nested=True)] = None
    """Where matched requests go; without it only plugins can answer."""

    @classmethod
    def complete(cls, document: Document, catalog: Catalog) -> tuple[Document, list[Violation]]:
        del catalog
        protocols: Any = document.get("protocols")
        expression: Any = document.get("expression")
        if isinstance(expression, str) and expression:
            stream = isinstance(protocols, list) and any(protocol in STREAM for protocol in protocols)
            if (wrong := expression_fault(expression, stream=stream, most_regexes=MAX_REGEXES)) is not None:
                return document, [Violation("expression", f"Router Expression failed validation: {wrong}")]
        grpc = isinstance(protocols, list) and any(protocol in GRPC for protocol in protocols)
        if grpc and document.get("strip_path") is None:
            return {**document, "strip_path": False}, []  # gRPC paths name methods, nothing can be stripped
        return document, []
