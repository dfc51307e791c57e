"""Protocol names and the families they fall into."""

from typing import Annotated, Final, Literal

from schema.types import Distinct, items

Protocol = Literal["grpc", "grpcs", "http", "https", "tcp", "tls", "tls_passthrough", "udp", "ws", "wss"]
Protocols = Annotated[list[Protocol], items(minimum=1), Distinct]

HTTP: Final = ("http", "https")
GRPC: Final = ("grpc", "grpcs")
STREAM: Final = ("tcp", "tls", "tls_passthrough", "udp")
WEBSOCKET: Final = ("ws", "wss")
WITH_TLS: Final = ("grpcs", "https", "tls", "tls_passthrough", "wss")

FAMILIES: Final = (HTTP, ("tcp", "tls", "udp"), ("tls_passthrough",), GRPC, WEBSOCKET)
"""A route's protocols come from one of these only."""
