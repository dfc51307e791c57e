"""zipkin: sends traces to a Zipkin server."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field

from schema.base import EVERY_PROTOCOL, NO_GROUP, PluginConfig, PluginSpec, Record
from schema.errors import Violation
from schema.marks import Deprecated
from schema.plugin_types import CalledUrl, Timeout
from schema.propagation import HeaderType, Propagation, Written
from schema.queue import Queue
from schema.types import HeaderName, Number, Rule, Text, between, items

_OWN_TAGS: Final = frozenset(
    {
        "error",
        "http.method",
        "http.path",
        "http.status_code",
        "kong.balancer.state",
        "kong.balancer.try",
        "kong.consumer",
        "kong.credential",
        "kong.node.id",
        "kong.route",
        "kong.service",
        "lc",
        "peer.hostname",
    }
)


def _tag_fault(name: str) -> str | None:
    return f"must not be one of: {', '.join(sorted(_OWN_TAGS))}" if name in _OWN_TAGS else None


@dataclass(frozen=True, slots=True)
class DistinctTags:
    """A span has a tag once."""

    @property
    def fields(self) -> frozenset[str]:
        return frozenset({"static_tags"})

    def violations(self, document: Mapping[str, Any]) -> Iterable[Violation]:
        seen: set[str] = set()
        for tag in document["static_tags"] or ():
            if tag["name"] in seen:
                yield Violation("static_tags", f"repeated tags are not allowed: {tag['name']}")
            seen.add(tag["name"])


class B3Propagation(Propagation):
    """Headers that are read, removed and written."""

    default_format: Written = "b3"
    """Format that goes upstream where none was found."""


class StaticTag(Record):
    """A tag of every span."""

    name: Annotated[Text, Rule(_tag_fault)]
    """Name of the tag."""
    value: Text
    """Value of the tag."""


class Zipkin(PluginConfig):
    """Reports spans. Source: the behaviour of Kong Gateway's plugin of the same name."""

    spec: ClassVar[PluginSpec] = PluginSpec(
        name="zipkin",
        priority=100_000,
        since="0.1.0",
        allowed_protocols=EVERY_PROTOCOL,
        scopes=NO_GROUP,
        checks=(DistinctTags(),),
    )

    local_service_name: Text = "kong"
    """Name of the gateway in traces."""
    http_endpoint: CalledUrl | None = None
    """Where spans are sent; unset: nowhere, while headers are passed on."""
    sample_ratio: Annotated[Number, between(0, 1)] = 0.001
    """Which part of the requests is traced where the caller has not decided."""
    default_service_name: Text | None = None
    """Name of upstreams whose service has none."""
    include_credential: bool = True
    """Whether spans name the credential."""
    traceid_byte_count: Literal[8, 16] = 16
    """Bytes of a trace's id."""
    header_type: Annotated[HeaderType, Deprecated("propagation.default_format")] = "preserve"
    """Of old configurations: format of the headers that carry traces."""
    default_header_type: Annotated[Written, Deprecated("propagation.default_format")] = "b3"
    """Of old configurations: format where none was found."""
    tags_header: HeaderName = "Zipkin-Tags"
    """Header in which callers give further tags."""
    static_tags: Annotated[list[StaticTag], items(maximum=256)] | None = None
    """Tags of every span."""
    http_span_name: Literal["method", "method_path"] = "method"
    """Whether names of spans tell the path."""
    connect_timeout: Timeout = 2000
    """Longest wait for a connection, in milliseconds."""
    send_timeout: Timeout = 5000
    """Longest pause between two writes, in milliseconds."""
    read_timeout: Timeout = 5000
    """Longest pause between two reads, in milliseconds."""
    http_response_header_for_traceid: HeaderName | None = None
    """Header that tells the client the id of its trace."""
    phase_duration_flavor: Literal["annotations", "tags"] = "annotations"
    """How spans tell how long each phase took."""
    queue: Queue | None = None
    """What is waiting to be sent; unset: the defaults."""
    propagation: B3Propagation = Field(default_factory=B3Propagation)
    """Headers that carry traces."""
