"""redirect: sends clients elsewhere."""

from typing import Annotated, ClassVar

from schema.base import PluginConfig, PluginSpec
from schema.marks import GatewayRule
from schema.plugin_types import status_fault
from schema.types import Integer, Url, between, has_control_characters


def _control_fault(location: str) -> str | None:
    return "must not contain control characters" if has_control_characters(location) else None


class Redirect(PluginConfig):
    """Answers with another place. Source: the behaviour of Kong Gateway's plugin of the same name."""

    spec: ClassVar[PluginSpec] = PluginSpec(name="redirect", priority=779, since="0.1.0")

    location: Annotated[Url, GatewayRule(_control_fault)]
    """Where to."""
    status_code: Annotated[Integer, between(100, 599), GatewayRule(status_fault)] = 301
    """Status of the answer."""
    keep_incoming_path: bool = False
    """Whether path and query are those of the request."""
