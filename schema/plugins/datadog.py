"""datadog: sends figures to a Datadog agent."""

from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field

from schema.base import EVERY_PROTOCOL, NO_GROUP, PluginSpec, Record
from schema.checks import RequiredWhen
from schema.plugin_types import CalledPort, ReferableHost
from schema.queue import QueuedConfig
from schema.types import Number, Rule, Text, between, items

Tag = Annotated[Text, Rule(lambda value: f"invalid value: {value}" if value.endswith(":") else None)]


class Metric(Record):
    """A figure that is sent."""

    checks = (RequiredWhen(("sample_rate",), "stat_type", ("counter", "gauge")),)

    name: Literal["kong_latency", "latency", "request_count", "request_size", "response_size", "upstream_latency"]
    """Which figure."""
    stat_type: Literal["counter", "gauge", "histogram", "meter", "set", "timer", "distribution"]
    """What kind of figure it is for the agent."""
    tags: Annotated[list[Tag], items(maximum=256)] | None = None
    """Further tags, as `name:value`."""
    sample_rate: Annotated[Number, between(0, 1)] | None = None
    """Which part of the requests is sent."""
    consumer_identifier: Literal["consumer_id", "custom_id", "username"] | None = None
    """How consumers are named."""


def _metric(name: Any, stat_type: Any, sample_rate: int | None = None) -> Metric:
    tags = ["app:kong"]
    return Metric(name=name, stat_type=stat_type, sample_rate=sample_rate, tags=tags, consumer_identifier="custom_id")


_DEFAULT: Final = [
    _metric("request_count", "counter", 1),
    *(
        _metric(name, "timer")
        for name in ("latency", "request_size", "response_size", "upstream_latency", "kong_latency")
    ),
]


class Datadog(QueuedConfig):
    """Sends figures as datagrams. Source: the behaviour of Kong Gateway's plugin of the same name."""

    spec: ClassVar[PluginSpec] = PluginSpec(
        name="datadog", priority=10, since="0.1.0", allowed_protocols=EVERY_PROTOCOL, scopes=NO_GROUP
    )

    host: ReferableHost = "localhost"
    """Host of the agent."""
    port: CalledPort = 8125
    """Port of the agent."""
    prefix: Text = "kong"
    """First part of every figure's name."""
    service_name_tag: Text = "name"
    """Tag that names the service."""
    route_name_tag: Text | None = None
    """Tag that names the route."""
    status_tag: Text = "status"
    """Tag that tells the status."""
    consumer_tag: Text = "consumer"
    """Tag that names the consumer."""
    metrics: Annotated[list[Metric], items(maximum=256)] = Field(default=_DEFAULT)
    """Figures that are sent."""
