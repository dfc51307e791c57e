"""opentelemetry: sends traces, logs and figures over OTLP."""

from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from schema.aliases import Alias
from schema.base import EVERY_PROTOCOL, NO_GROUP, PluginConfig, PluginSpec, Record
from schema.checks import AtLeastOneOf
from schema.marks import Deprecated, GatewayRule, Referenceable
from schema.plugin_types import CalledUrl, CustomFields, ReferableText, ReferableUrl, Timeout
from schema.propagation import HeaderType, Propagation
from schema.queue import Queue
from schema.types import HeaderName, Integer, Number, Text, between, has_control_characters, items

_Endpoint = Annotated[CalledUrl, Referenceable()]
_OWN: Final = frozenset({"host", "content-length", "content-type", "transfer-encoding", "connection"})


def _not_sent(endpoint: object) -> str | None:
    return "this gateway sends traces and records of requests only" if endpoint else None


def _headers_fault(headers: dict[str, str]) -> str | None:
    own = next((name for name in headers if name.lower() in _OWN), None)
    if own is not None:
        return f"cannot contain '{own}' header"
    return next(
        (
            f"{name}: must not contain control characters"
            for name, value in headers.items()
            if has_control_characters(value)
        ),
        None,
    )


def _resource_fault(attributes: dict[str, str]) -> str | None:
    templates = any("$(" in value for value in attributes.values())
    return "this gateway reports the same of all requests: templates are not filled in" if templates else None


class SpanQueue(Queue):
    """Batches, bounds and retries of what is waiting."""

    max_batch_size: Annotated[Integer, between(1, 1_000_000)] = 200
    """Most entries that are delivered at once."""


class AccessLogs(Record):
    """Records of requests."""

    endpoint: _Endpoint | None = None
    """Where they are sent; unset: nowhere."""
    custom_attributes_by_lua: CustomFields | None = None
    """Further attributes, each with the Lua expression that gives the value."""


class Metrics(Record):
    """Figures."""

    endpoint: Annotated[ReferableUrl, GatewayRule(_not_sent)] | None = None
    """Where they are sent; unset: nowhere."""
    push_interval: Number = 60
    """Seconds between two reports."""
    enable_ai_metrics: bool = False
    """Whether calls of language models are counted."""
    enable_bandwidth_metrics: bool = False
    """Whether bytes are counted."""
    enable_consumer_attribute: bool = False
    """Whether figures are told apart by consumer."""
    enable_latency_metrics: bool = False
    """Whether requests are timed."""
    enable_request_metrics: bool = False
    """Whether requests are counted."""
    enable_upstream_health_metrics: bool = False
    """Whether the health of targets is told."""


class Opentelemetry(PluginConfig):
    """Reports over OTLP/HTTP. Source: the behaviour of Kong Gateway's plugin of the same name."""

    spec: ClassVar[PluginSpec] = PluginSpec(
        name="opentelemetry",
        priority=14,
        since="0.1.0",
        allowed_protocols=EVERY_PROTOCOL,
        scopes=NO_GROUP,
        checks=(AtLeastOneOf(("traces_endpoint", "logs_endpoint", "metrics.endpoint", "access_logs.endpoint")),),
    )
    aliases = (Alias("endpoint", ("traces_endpoint",)),)

    traces_endpoint: _Endpoint | None = None
    """Where traces are sent; unset: nowhere."""
    logs_endpoint: Annotated[ReferableUrl, GatewayRule(_not_sent)] | None = None
    """Where the gateway's own log lines about requests are sent; unset: nowhere."""
    access_logs: AccessLogs = Field(default_factory=AccessLogs)
    """Records of requests."""
    metrics: Metrics = Field(default_factory=Metrics)
    """Figures."""
    headers: Annotated[dict[HeaderName, ReferableText], items(maximum=64), GatewayRule(_headers_fault)] | None = None
    """Further headers of the reports."""
    resource_attributes: Annotated[dict[Text, Text], items(maximum=256), GatewayRule(_resource_fault)] | None = None
    """Further attributes of whoever reports."""
    queue: SpanQueue = Field(default_factory=SpanQueue)
    """What is waiting to be sent."""
    batch_span_count: Annotated[Integer | None, Deprecated("queue.max_batch_size")] = None
    """Of old configurations: spans per batch."""
    batch_flush_delay: Annotated[Integer | None, Deprecated("queue.max_coalescing_delay")] = None
    """Of old configurations: seconds that a batch waits for more."""
    connect_timeout: Timeout = 1000
    """Longest wait for a connection, in milliseconds."""
    send_timeout: Timeout = 5000
    """Longest pause between two writes, in milliseconds."""
    read_timeout: Timeout = 5000
    """Longest pause between two reads, in milliseconds."""
    http_response_header_for_traceid: HeaderName | None = None
    """Header that tells the client the id of its trace."""
    header_type: Annotated[HeaderType, Deprecated("propagation.default_format")] = "preserve"
    """Of old configurations: format of the headers that carry traces."""
    sampling_rate: Annotated[Number, between(0, 1)] | None = None
    """Which part of the requests is traced; unset: as the gateway is set up."""
    sampling_strategy: Literal["parent_drop_probability_fallback", "parent_probability_fallback"] = (
        "parent_drop_probability_fallback"
    )
    """What a caller's decision counts: it holds where it says no, or in any case is only a hint."""
    propagation: Propagation = Field(default_factory=Propagation)
    """Headers that carry traces."""
