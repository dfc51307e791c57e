"""Where a plugin finds the Redis-compatible server that it shares state in."""

from typing import Annotated

from pydantic import Field

from schema.base import Record
from schema.types import Integer, Port, Sealed, Text, between


class Redis(Record):
    """A server and how to reach it."""

    host: Text | None = None
    """Name or address."""
    port: Port = 6379
    """Port."""
    timeout: Annotated[Integer, between(0, 2_147_483_646, unit="milliseconds")] = 2000
    """Bound of connecting, sending and receiving."""
    username: Text | None = None
    """User name, where the server knows several users."""
    password: Annotated[Text | None, Sealed()] = None
    """Password."""
    database: Integer = 0
    """Number of the database."""
    ssl: bool = False
    """Whether TLS is spoken."""
    ssl_verify: bool = True
    """Whether the server's certificate is verified."""
    server_name: Text | None = None
    """Name in the server's certificate."""
    cloud_authentication: None = Field(default=None)
    """Reserved: must be null."""
