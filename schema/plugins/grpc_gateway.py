"""grpc-gateway: lets HTTP clients call gRPC services."""

from typing import ClassVar

from schema.base import EVERY_PROTOCOL, NO_GROUP, PluginConfig, PluginSpec
from schema.types import Text


class GrpcGateway(PluginConfig):
    """Translates JSON over HTTP to gRPC. Source: the behaviour of Kong Gateway's plugin of the same name."""

    spec: ClassVar[PluginSpec] = PluginSpec(
        name="grpc-gateway", priority=998, allowed_protocols=EVERY_PROTOCOL, scopes=NO_GROUP
    )

    proto: Text | None = None
    """File with the service's description, whose annotations say which paths there are."""
