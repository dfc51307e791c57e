"""redirect: sends clients elsewhere."""

from typing import Annotated, ClassVar

from schema.base import PluginConfig, PluginSpec
from schema.types import Integer, Url, between


class Redirect(PluginConfig):
    """Answers with another place. Source: the behaviour of Kong Gateway's plugin of the same name."""

    spec: ClassVar[PluginSpec] = PluginSpec(name="redirect", priority=779)

    location: Url
    """Where to."""
    status_code: Annotated[Integer, between(100, 599)] = 301
    """Status of the answer."""
    keep_incoming_path: bool = False
    """Whether path and query are those of the request."""
