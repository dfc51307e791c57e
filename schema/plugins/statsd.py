"""statsd: sends figures to a StatsD server."""

import re
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field

from schema.base import EVERY_PROTOCOL, NO_GROUP, PluginSpec, Record
from schema.checks import RequiredWhen
from schema.marks import GatewayRule
from schema.plugin_types import CalledPort, above
from schema.queue import QueuedConfig
from schema.types import Host, Number, Rule, Text, between, items

MetricName = Literal[
    "cache_datastore_hits_total",
    "cache_datastore_misses_total",
    "kong_latency",
    "latency",
    "request_count",
    "request_per_user",
    "request_size",
    "response_size",
    "shdict_usage",
    "status_count",
    "status_count_per_user",
    "status_count_per_user_per_route",
    "status_count_per_workspace",
    "unique_users",
    "upstream_latency",
]
ConsumerIdentifier = Literal["consumer_id", "custom_id", "username"]
ServiceIdentifier = Literal["service_host", "service_id", "service_name", "service_name_or_host"]
WorkspaceIdentifier = Literal["workspace_id", "workspace_name"]

_STATUSES: Final = re.compile(r"[0-9]+-[0-9]+", re.ASCII)


def _statuses_fault(value: str) -> str | None:
    return None if _STATUSES.fullmatch(value) else f"invalid value: {value}"


def _no_cache(name: str) -> str | None:
    return "this gateway has no cache of a database" if name.startswith("cache_datastore_") else None


def _no_host_name(told: bool) -> str | None:
    return "this gateway does not tell the name of its host" if told else None


class Metric(Record):
    """A figure that is sent."""

    checks = (RequiredWhen(("sample_rate",), "stat_type", ("counter", "gauge")),)

    name: Annotated[MetricName, GatewayRule(_no_cache)]
    """Which figure."""
    stat_type: Literal["counter", "gauge", "histogram", "meter", "set", "timer"]
    """What kind of figure it is for the server."""
    sample_rate: Annotated[Number, above(0)] | None = None
    """Which part of the requests is sent."""
    consumer_identifier: ConsumerIdentifier | None = None
    """How consumers are named."""
    service_identifier: ServiceIdentifier | None = None
    """How services are named."""
    workspace_identifier: WorkspaceIdentifier | None = None
    """How workspaces are named."""


_KINDS: Final[tuple[tuple[Any, Any], ...]] = (
    ("request_count", "counter"),
    ("latency", "timer"),
    ("request_size", "counter"),
    ("status_count", "counter"),
    ("response_size", "counter"),
    ("unique_users", "set"),
    ("request_per_user", "counter"),
    ("upstream_latency", "timer"),
    ("kong_latency", "timer"),
    ("status_count_per_user", "counter"),
    ("status_count_per_workspace", "counter"),
    ("status_count_per_user_per_route", "counter"),
    ("shdict_usage", "gauge"),
)
_DEFAULT: Final = [
    Metric(name=name, stat_type=kind, sample_rate=1 if kind in {"counter", "gauge"} else None) for name, kind in _KINDS
]


class Statsd(QueuedConfig):
    """Sends figures. Source: the behaviour of Kong Gateway's plugin of the same name."""

    spec: ClassVar[PluginSpec] = PluginSpec(
        name="statsd", priority=11, since="0.1.0", allowed_protocols=EVERY_PROTOCOL, scopes=NO_GROUP
    )

    host: Host = "localhost"
    """Host of the server."""
    port: CalledPort = 8125
    """Port of the server."""
    prefix: Text = "kong"
    """First part of every figure's name."""
    metrics: Annotated[list[Metric], items(maximum=256)] = Field(default=_DEFAULT)
    """Figures that are sent."""
    allow_status_codes: Annotated[list[Annotated[Text, Rule(_statuses_fault)]], items(maximum=256)] | None = None
    """Ranges of statuses that are counted, as `200-299`; unset: all."""
    udp_packet_size: Annotated[Number, between(0, 65_507)] = 0
    """Bytes up to which figures travel together in one datagram; 0: each in one of its own."""
    use_tcp: bool = False
    """Whether figures travel over TCP."""
    hostname_in_prefix: Annotated[bool, GatewayRule(_no_host_name)] = False
    """Whether names of figures tell the node."""
    consumer_identifier_default: ConsumerIdentifier = "custom_id"
    """How consumers are named where a figure does not say."""
    service_identifier_default: ServiceIdentifier = "service_name_or_host"
    """How services are named where a figure does not say."""
    workspace_identifier_default: WorkspaceIdentifier = "workspace_id"
    """How workspaces are named where a figure does not say."""
    tag_style: Literal["dogstatsd", "influxdb", "librato", "signalfx"] | None = None
    """How tags are written; unset: names of figures say everything."""
