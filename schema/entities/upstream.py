"""The upstream: a named group of targets that requests are balanced over."""

from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field

from schema.base import Document, Entity, EntitySpec, Record, Ref, Unique
from schema.checks import DistinctValues, OneOfWhen, RequiredWhen
from schema.errors import Violation
from schema.types import (
    CookieName,
    HeaderName,
    HostWithPort,
    HttpPath,
    HttpStatus,
    Integer,
    Number,
    Reference,
    ShortText,
    Sni,
    UpstreamName,
    between,
    items,
)

HashInput = Literal["none", "consumer", "ip", "header", "cookie", "path", "query_arg", "uri_capture"]
_INPUTS: Final = ("none", "consumer", "ip", "header", "cookie", "path", "query_arg", "uri_capture")
ProbeType = Literal["tcp", "http", "https", "grpc", "grpcs"]
Seconds = Annotated[Number, between(0, 65_535, unit="seconds")]
Counter = Annotated[Integer, between(0, 255)]
Statuses = Annotated[list[HttpStatus], items(maximum=900)]
ProbeHeaders = Annotated[
    dict[HeaderName, Annotated[list[ShortText], items(maximum=64)]],
    items(maximum=64),
]


class ActiveHealthy(Record):
    """Probes of healthy targets, and what brings a target back."""

    interval: Seconds = 0
    """Seconds between two probes of a healthy target; 0 sends none."""
    http_statuses: Statuses = Field(default=[200, 302])
    """Statuses that count as a success."""
    successes: Counter = 0
    """Successes in a row that make a target healthy; 0 switches the criterion off."""


class ActiveUnhealthy(Record):
    """Probes of unhealthy targets, and what takes a target out."""

    interval: Seconds = 0
    """Seconds between two probes of an unhealthy target; 0 sends none."""
    http_statuses: Statuses = Field(default=[429, 404, 500, 501, 502, 503, 504, 505])
    """Statuses that count as a failure."""
    tcp_failures: Counter = 0
    """Connection errors that make a target unhealthy; 0 switches the criterion off."""
    timeouts: Counter = 0
    """Timeouts that make a target unhealthy; 0 switches the criterion off."""
    http_failures: Counter = 0
    """Failing statuses that make a target unhealthy; 0 switches the criterion off."""


class ActiveHealthchecks(Record):
    """Probes that the gateway sends by itself."""

    type: ProbeType = "http"
    """How to probe."""
    timeout: Seconds = 1
    """Longest wait for a probe's answer, in seconds."""
    concurrency: Annotated[Integer, between(1, 2**31)] = 10
    """Probes under way at once."""
    http_path: HttpPath = "/"
    """Path that HTTP probes ask for."""
    https_sni: Sni | None = None
    """Server name in the handshake of HTTPS probes."""
    https_verify_certificate: bool = True
    """Whether HTTPS probes verify the target's certificate."""
    headers: ProbeHeaders | None = None
    """Further headers of HTTP probes, each with its values."""
    healthy: ActiveHealthy = Field(default_factory=ActiveHealthy)
    """Probes of healthy targets."""
    unhealthy: ActiveUnhealthy = Field(default_factory=ActiveUnhealthy)
    """Probes of unhealthy targets."""


class PassiveHealthy(Record):
    """What proxied requests say in a target's favour."""

    http_statuses: Statuses = Field(default=[*range(200, 209), 226, *range(300, 309)])
    """Statuses that count as a success."""
    successes: Counter = 0
    """Successes in a row that make a target healthy; 0 switches the criterion off."""


class PassiveUnhealthy(Record):
    """What proxied requests say against a target."""

    http_statuses: Statuses = Field(default=[429, 500, 503])
    """Statuses that count as a failure."""
    tcp_failures: Counter = 0
    """Connection errors that make a target unhealthy; 0 switches the criterion off."""
    timeouts: Counter = 0
    """Timeouts that make a target unhealthy; 0 switches the criterion off."""
    http_failures: Counter = 0
    """Failing statuses that make a target unhealthy; 0 switches the criterion off."""


class PassiveHealthchecks(Record):
    """Circuit breaking by the outcome of proxied requests."""

    type: ProbeType = "http"
    """Whether statuses count (`http` and alike) or connections only (`tcp`)."""
    healthy: PassiveHealthy = Field(default_factory=PassiveHealthy)
    """What speaks for a target."""
    unhealthy: PassiveUnhealthy = Field(default_factory=PassiveUnhealthy)
    """What speaks against a target."""


class Healthchecks(Record):
    """How targets are found healthy or not."""

    threshold: Annotated[Number, between(0, 100)] = 0
    """Percentage of the targets' weight that must be available for the upstream to count as healthy."""
    active: ActiveHealthchecks = Field(default_factory=ActiveHealthchecks)
    """Probes."""
    passive: PassiveHealthchecks = Field(default_factory=PassiveHealthchecks)
    """Circuit breaking."""


def _needs(switch: str, value: str, name: str) -> RequiredWhen:
    return RequiredWhen((name,), switch, (value,))


def _fallback(hash_on: str, *refused: str) -> OneOfWhen:
    return OneOfWhen("hash_fallback", "hash_on", (hash_on,), tuple(one for one in _INPUTS if one not in refused))


class Upstream(Entity):
    """A named group of targets; a service whose host is its name is balanced over them."""

    spec: ClassVar[EntitySpec] = EntitySpec(
        plural="upstreams",
        singular="upstream",
        natural_key="name",
        unique=(Unique(("name",)),),
        filters=("name",),
        checks=(
            _needs("hash_on", "header", "hash_on_header"),
            _needs("hash_fallback", "header", "hash_fallback_header"),
            _needs("hash_on", "cookie", "hash_on_cookie"),
            _needs("hash_fallback", "cookie", "hash_on_cookie"),
            _needs("hash_on", "query_arg", "hash_on_query_arg"),
            _needs("hash_fallback", "query_arg", "hash_fallback_query_arg"),
            _needs("hash_on", "uri_capture", "hash_on_uri_capture"),
            _needs("hash_fallback", "uri_capture", "hash_fallback_uri_capture"),
            _needs("algorithm", "sticky-sessions", "sticky_sessions_cookie"),
            OneOfWhen("hash_fallback", "hash_on", ("none", "cookie"), ("none",)),
            _fallback("consumer", "consumer"),
            _fallback("ip", "ip"),
            _fallback("path", "path"),
            DistinctValues(("hash_on_header", "hash_fallback_header")),
            DistinctValues(("hash_on_query_arg", "hash_fallback_query_arg")),
            DistinctValues(("hash_on_uri_capture", "hash_fallback_uri_capture")),
        ),
        example={"name": "orders.internal", "algorithm": "least-connections", "tags": ["team-a"]},
    )

    name: UpstreamName
    """Unique name in the form of a host name; services refer to it by their host."""
    algorithm: Literal["round-robin", "least-connections", "consistent-hashing", "latency", "sticky-sessions"] = (
        "round-robin"
    )
    """How a target is picked."""
    hash_on: HashInput = "none"
    """What consistent hashing takes as its input."""
    hash_fallback: HashInput = "none"
    """The input when the first one is missing from a request."""
    hash_on_header: HeaderName | None = None
    """Header that is hashed."""
    hash_fallback_header: HeaderName | None = None
    """Header that is hashed when the first input is missing."""
    hash_on_cookie: CookieName | None = None
    """Cookie that is hashed; one is set where the request has none."""
    hash_on_cookie_path: HttpPath = "/"
    """Path of the cookie that is set."""
    hash_on_query_arg: ShortText | None = None
    """Query argument that is hashed."""
    hash_fallback_query_arg: ShortText | None = None
    """Query argument that is hashed when the first input is missing."""
    hash_on_uri_capture: ShortText | None = None
    """Capture of the route's path that is hashed."""
    hash_fallback_uri_capture: ShortText | None = None
    """Capture of the route's path that is hashed when the first input is missing."""
    slots: Annotated[Integer, between(10, 65_536)] = 10_000
    """Size of the hashing ring."""
    healthchecks: Healthchecks = Field(default_factory=Healthchecks)
    """How targets are found healthy or not."""
    host_header: HostWithPort | None = None
    """Host header sent to the targets."""
    client_certificate: Annotated[Reference | None, Ref("certificates", on_delete="restrict")] = None
    """Certificate shown to the targets."""
    use_srv_name: bool = False
    """Whether the name in an SRV record becomes the Host header and the server name."""
    sticky_sessions_cookie: CookieName | None = None
    """Cookie that keeps a client with its target."""
    sticky_sessions_cookie_path: HttpPath = "/"
    """Path of that cookie."""

    @classmethod
    def expand(cls, document: Document) -> tuple[Document, list[Violation]]:
        """An algorithm that does not hash wins over `hash_on`; else `hash_on` says which algorithm it is."""
        changed: dict[str, Any] = {}
        if document.get("algorithm") in ("least-connections", "latency", "sticky-sessions"):
            changed = {"hash_on": None}
        elif document.get("hash_on") == "none":
            changed = {"algorithm": "round-robin"}
        elif document.get("hash_on") is not None:
            changed = {"algorithm": "consistent-hashing"}
        return {**document, **changed}, []
