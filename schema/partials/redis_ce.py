"""redis-ce: the server that plugins share counters in."""

from typing import ClassVar

from schema.base import PartialConfig
from schema.redis import Redis


class RedisCe(Redis, PartialConfig):
    """A single Redis-compatible server."""

    kind: ClassVar[str] = "redis-ce"
