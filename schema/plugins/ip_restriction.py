"""ip-restriction: which addresses may pass."""

from typing import Annotated, ClassVar

from schema.base import EVERY_PROTOCOL, WEB, PluginConfig, PluginSpec
from schema.checks import AtLeastOneOf
from schema.marks import GatewayRule
from schema.plugin_types import status_fault
from schema.types import Cidr, Number, Text, items


class IpRestriction(PluginConfig):
    """Lets clients pass by their addresses. Source: the behaviour of Kong Gateway's plugin of the same name."""

    spec: ClassVar[PluginSpec] = PluginSpec(
        name="ip-restriction",
        priority=990,
        since="0.1.0",
        streams=True,
        protocols=(*WEB, "tcp", "tls"),
        allowed_protocols=EVERY_PROTOCOL,
        checks=(AtLeastOneOf(("allow", "deny")),),
    )

    allow: Annotated[list[Cidr], items()] | None = None
    """Addresses and ranges that pass; unset: all."""
    deny: Annotated[list[Cidr], items()] | None = None
    """Addresses and ranges that do not pass, whatever `allow` says."""
    status: Annotated[Number, GatewayRule(status_fault)] | None = None
    """Status of refusals; 403 unless given."""
    message: Text | None = None
    """Message of refusals."""
