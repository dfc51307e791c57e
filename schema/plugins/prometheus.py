"""prometheus: counts requests, for a Prometheus server to read."""

from typing import Annotated, ClassVar

from schema.base import EVERY_PROTOCOL, NO_GROUP, PluginConfig, PluginSpec
from schema.marks import Deprecated, GatewayRule


def _not_here(wanted: object) -> str | None:
    return "this gateway has nothing of the kind to count" if wanted else None


class Prometheus(PluginConfig):
    """Counts and times requests. Source: the behaviour of Kong Gateway's plugin of the same name."""

    spec: ClassVar[PluginSpec] = PluginSpec(
        name="prometheus", priority=13, since="0.1.0", allowed_protocols=EVERY_PROTOCOL, scopes=NO_GROUP
    )

    per_consumer: bool = False
    """Whether figures are told apart by consumer."""
    status_code_metrics: bool = False
    """Whether requests are counted by status."""
    ai_metrics: Annotated[bool, GatewayRule(_not_here)] = False
    """Whether calls of language models are counted."""
    latency_metrics: bool = False
    """Whether requests are timed."""
    bandwidth_metrics: bool = False
    """Whether bytes are counted."""
    upstream_health_metrics: bool = False
    """Whether the health of targets is told."""
    wasm_metrics: Annotated[bool | None, Deprecated(), GatewayRule(_not_here)] = None
    """Of old configurations: whether figures of WebAssembly filters are told."""
