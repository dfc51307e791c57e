"""udp-log: sends a datagram per request."""

from typing import ClassVar

from schema.base import EVERY_PROTOCOL, NO_GROUP, PluginConfig, PluginSpec
from schema.plugin_types import CalledPort, CustomFields
from schema.types import Host, Number


class UdpLog(PluginConfig):
    """Sends records as datagrams. Source: the behaviour of Kong Gateway's plugin of the same name."""

    spec: ClassVar[PluginSpec] = PluginSpec(
        name="udp-log", priority=8, since="0.1.0", streams=True, allowed_protocols=EVERY_PROTOCOL, scopes=NO_GROUP
    )

    host: Host
    """Host of the server."""
    port: CalledPort
    """Port of the server."""
    timeout: Number = 10_000
    """Longest wait, in milliseconds."""
    custom_fields_by_lua: CustomFields | None = None
    """Further fields of the record."""
