"""correlation-id: gives every request an id that all logs can have in common."""

from typing import ClassVar, Literal

from schema.base import NO_GROUP, PluginConfig, PluginSpec
from schema.types import HeaderName


class CorrelationId(PluginConfig):
    """Numbers requests. Source: the behaviour of Kong Gateway's plugin of the same name."""

    spec: ClassVar[PluginSpec] = PluginSpec(name="correlation-id", priority=100_001, since="0.1.0", scopes=NO_GROUP)

    header_name: HeaderName = "Kong-Request-ID"
    """Header that carries the id."""
    generator: Literal["uuid", "uuid#counter", "tracker"] = "uuid#counter"
    """What an id is made of: a UUID, a UUID of the process with a number, or address, process and time."""
    echo_downstream: bool = False
    """Whether the client is told the id."""
