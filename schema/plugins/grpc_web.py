"""grpc-web: lets browsers call gRPC services."""

from typing import ClassVar

from schema.base import EVERY_PROTOCOL, NO_GROUP, PluginConfig, PluginSpec
from schema.plugin_types import HeaderText
from schema.types import Text


class GrpcWeb(PluginConfig):
    """Translates gRPC-Web to gRPC. Source: the behaviour of Kong Gateway's plugin of the same name."""

    spec: ClassVar[PluginSpec] = PluginSpec(
        name="grpc-web", priority=3, allowed_protocols=EVERY_PROTOCOL, scopes=NO_GROUP
    )

    proto: Text | None = None
    """File with the service's description; needed for JSON only."""
    pass_stripped_path: bool | None = None
    """Whether the upstream gets the path without the part that the route matched."""
    allow_origin_header: HeaderText = "*"
    """Origins that may call."""
