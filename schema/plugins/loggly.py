"""loggly: sends records of requests to Loggly."""

from typing import ClassVar

from pydantic import Field

from schema.base import EVERY_PROTOCOL, NO_GROUP, PluginConfig, PluginSpec
from schema.plugin_types import CalledPort, CustomFields, SecretText, Severity, TextSet
from schema.types import Host, Number


class Loggly(PluginConfig):
    """Sends records as datagrams. Source: the behaviour of Kong Gateway's plugin of the same name."""

    spec: ClassVar[PluginSpec] = PluginSpec(
        name="loggly", priority=6, since="0.1.0", streams=True, allowed_protocols=EVERY_PROTOCOL, scopes=NO_GROUP
    )

    host: Host = "logs-01.loggly.com"
    """Host of the service."""
    port: CalledPort = 514
    """Port of the service."""
    key: SecretText
    """Token of the account."""
    tags: TextSet = Field(default=["kong"])
    """Tags of the records."""
    log_level: Severity = "info"
    """Least severity that is sent."""
    successful_severity: Severity = "info"
    """Severity of responses below 400."""
    client_errors_severity: Severity = "info"
    """Severity of responses from 400 to 499."""
    server_errors_severity: Severity = "info"
    """Severity of responses from 500."""
    timeout: Number = 10_000
    """Longest wait, in milliseconds."""
    custom_fields_by_lua: CustomFields | None = None
    """Further fields of the record."""
