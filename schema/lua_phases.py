"""Chunks of Lua by the phase in which they run."""

from typing import Annotated, Final

from pydantic import Field

from schema.base import PluginConfig
from schema.types import Text, items

Chunks = Annotated[list[Text], items(maximum=256)]

PHASES: Final = (
    "certificate",
    "rewrite",
    "access",
    "header_filter",
    "body_filter",
    "log",
    "ws_handshake",
    "ws_client_frame",
    "ws_upstream_frame",
    "ws_close",
)


class LuaPhases(PluginConfig):
    """Base of the plugins that run a user's Lua."""

    certificate: Chunks = Field(default=[])
    """While a certificate is chosen for a handshake."""
    rewrite: Chunks = Field(default=[])
    """Before the route is known."""
    access: Chunks = Field(default=[])
    """Before the request goes upstream."""
    header_filter: Chunks = Field(default=[])
    """Once the response's headers are there."""
    body_filter: Chunks = Field(default=[])
    """With each piece of the response's body."""
    log: Chunks = Field(default=[])
    """After the last byte."""
    ws_handshake: Chunks = Field(default=[])
    """Before a connection becomes a WebSocket."""
    ws_client_frame: Chunks = Field(default=[])
    """With each frame of the client."""
    ws_upstream_frame: Chunks = Field(default=[])
    """With each frame of the upstream."""
    ws_close: Chunks = Field(default=[])
    """When a WebSocket has ended."""
