"""syslog: writes a message per request to the system's log (RFC 5424)."""

from typing import ClassVar, Literal

from schema.base import EVERY_PROTOCOL, NO_GROUP, PluginConfig, PluginSpec
from schema.plugin_types import CustomFields, Severity

Facility = Literal[
    "auth", "authpriv", "cron", "daemon", "ftp", "kern", "lpr", "mail", "news", "syslog", "user", "uucp",
    "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
]  # fmt: skip


class Syslog(PluginConfig):
    """Writes records to the system's log. Source: the behaviour of Kong Gateway's plugin of the same name."""

    spec: ClassVar[PluginSpec] = PluginSpec(
        name="syslog", priority=4, allowed_protocols=EVERY_PROTOCOL, scopes=NO_GROUP
    )

    log_level: Severity = "info"
    """Least severity that is written."""
    successful_severity: Severity = "info"
    """Severity of responses below 400."""
    client_errors_severity: Severity = "info"
    """Severity of responses from 400 to 499."""
    server_errors_severity: Severity = "info"
    """Severity of responses from 500."""
    facility: Facility = "user"
    """Facility of the messages."""
    custom_fields_by_lua: CustomFields | None = None
    """Further fields of the record."""
