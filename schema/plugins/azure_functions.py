"""azure-functions: has a function of Azure answer."""

from typing import ClassVar

from schema.base import EVERY_PROTOCOL, NO_GROUP, PluginConfig, PluginSpec
from schema.plugin_types import SecretText
from schema.types import Number, Text


class AzureFunctions(PluginConfig):
    """Calls a function instead of an upstream. Source: the behaviour of Kong Gateway's plugin of the same name."""

    spec: ClassVar[PluginSpec] = PluginSpec(
        name="azure-functions", priority=749, allowed_protocols=EVERY_PROTOCOL, scopes=NO_GROUP
    )

    timeout: Number = 600_000
    """Longest wait for the function, in milliseconds."""
    keepalive: Number = 60_000
    """How long an idle connection is kept, in milliseconds."""
    https: bool = True
    """Whether TLS is spoken."""
    https_verify: bool = True
    """Whether the function's certificate is verified."""
    apikey: SecretText | None = None
    """Key of the function."""
    clientid: SecretText | None = None
    """Name of the key."""
    appname: Text
    """App that the function belongs to."""
    hostdomain: Text = "azurewebsites.net"
    """Domain of the app."""
    routeprefix: Text = "api"
    """First part of the path."""
    functionname: Text
    """Name of the function."""
