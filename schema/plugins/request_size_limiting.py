"""request-size-limiting: refuses requests with too large a body."""

from typing import Annotated, ClassVar, Literal

from schema.base import NO_GROUP, PluginConfig, PluginSpec
from schema.marks import GatewayRule
from schema.types import Integer


def _size_fault(size: int) -> str | None:
    return "value must not be negative" if size < 0 else None


class RequestSizeLimiting(PluginConfig):
    """Refuses large bodies. Source: the behaviour of Kong Gateway's plugin of the same name."""

    spec: ClassVar[PluginSpec] = PluginSpec(name="request-size-limiting", priority=951, since="0.1.0", scopes=NO_GROUP)

    allowed_payload_size: Annotated[Integer, GatewayRule(_size_fault)] = 128
    """Largest body, in `size_unit`."""
    size_unit: Literal["megabytes", "kilobytes", "bytes"] = "megabytes"
    """Unit of `allowed_payload_size`; a kilobyte has 1024 bytes."""
    require_content_length: bool = False
    """Whether a request has to say how large its body is."""
