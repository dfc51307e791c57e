"""azure-functions: has a function of Azure answer."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from schema.addresses import asked_url_fault
from schema.base import EVERY_PROTOCOL, NO_GROUP, PluginConfig, PluginSpec
from schema.errors import Violation
from schema.plugin_types import SecretHeader
from schema.types import Number, Text


@dataclass(frozen=True, slots=True)
class FunctionAddress:
    """The parts of the function's address make one that can be called."""

    @property
    def fields(self) -> frozenset[str]:
        return frozenset({"https", "appname", "hostdomain", "routeprefix", "functionname"})

    def violations(self, document: Mapping[str, Any]) -> Iterable[Violation]:
        scheme = "https" if document["https"] else "http"
        path = "/".join(part for part in (document["routeprefix"], document["functionname"]) if part)
        wrong = asked_url_fault(f"{scheme}://{document['appname']}.{document['hostdomain']}/{path}")
        if wrong is not None:
            yield Violation("", f"no address of a function: {wrong}")


class AzureFunctions(PluginConfig):
    """Calls a function instead of an upstream. Source: the behaviour of Kong Gateway's plugin of the same name."""

    spec: ClassVar[PluginSpec] = PluginSpec(
        name="azure-functions",
        priority=749,
        since="0.1.0",
        allowed_protocols=EVERY_PROTOCOL,
        scopes=NO_GROUP,
        gateway_checks=(FunctionAddress(),),
    )

    timeout: Number = 600_000
    """Longest wait for the function, in milliseconds."""
    keepalive: Number = 60_000
    """How long an idle connection is kept, in milliseconds."""
    https: bool = True
    """Whether TLS is spoken."""
    https_verify: bool = True
    """Whether the function's certificate is verified."""
    apikey: SecretHeader | None = None
    """Key of the function."""
    clientid: SecretHeader | None = None
    """Name of the key."""
    appname: Text
    """App that the function belongs to."""
    hostdomain: Text = "azurewebsites.net"
    """Domain of the app."""
    routeprefix: Text = "api"
    """First part of the path."""
    functionname: Text
    """Name of the function."""
