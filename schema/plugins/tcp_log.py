"""tcp-log: writes a line per request to a TCP connection."""

from typing import ClassVar

from schema.base import EVERY_PROTOCOL, NO_GROUP, PluginConfig, PluginSpec
from schema.plugin_types import CustomFields
from schema.types import Host, Number, Port, Text


class TcpLog(PluginConfig):
    """Writes records to a connection. Source: the behaviour of Kong Gateway's plugin of the same name."""

    spec: ClassVar[PluginSpec] = PluginSpec(
        name="tcp-log", priority=7, allowed_protocols=EVERY_PROTOCOL, scopes=NO_GROUP
    )

    host: Host
    """Host of the server."""
    port: Port
    """Port of the server."""
    timeout: Number = 10_000
    """Longest wait for the server, in milliseconds."""
    keepalive: Number = 60_000
    """How long an idle connection is kept, in milliseconds."""
    tls: bool = False
    """Whether TLS is spoken."""
    tls_sni: Text | None = None
    """Server name in the handshake."""
    ssl_verify: bool = True
    """Whether the server's certificate is verified."""
    custom_fields_by_lua: CustomFields | None = None
    """Further fields of the record."""
