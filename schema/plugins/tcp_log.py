"""tcp-log: writes a line per request to a TCP connection."""

from typing import Annotated, ClassVar

from schema.addresses import tls_host_fault, tls_name_fault
from schema.base import EVERY_PROTOCOL, NO_GROUP, PluginConfig, PluginSpec
from schema.checks import RuleWhen
from schema.marks import GatewayRule
from schema.plugin_types import CalledPort, CustomFields
from schema.types import Host, Number, Text


class TcpLog(PluginConfig):
    """Writes records to a connection. Source: the behaviour of Kong Gateway's plugin of the same name."""

    spec: ClassVar[PluginSpec] = PluginSpec(
        name="tcp-log",
        priority=7,
        since="0.1.0",
        streams=True,
        allowed_protocols=EVERY_PROTOCOL,
        scopes=NO_GROUP,
        checks=(RuleWhen("host", "tls", (True,), tls_host_fault),),
    )

    host: Host
    """Host of the server."""
    port: CalledPort
    """Port of the server."""
    timeout: Number = 10_000
    """Longest wait for the server, in milliseconds."""
    keepalive: Number = 60_000
    """How long an idle connection is kept, in milliseconds."""
    tls: bool = False
    """Whether TLS is spoken."""
    tls_sni: Annotated[Text, GatewayRule(tls_name_fault)] | None = None
    """Server name in the handshake."""
    ssl_verify: bool = True
    """Whether the server's certificate is verified."""
    custom_fields_by_lua: CustomFields | None = None
    """Further fields of the record."""
