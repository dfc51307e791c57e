"""What the engines have to do, and what an engine is to the comparison."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = "Bearer bench-2b7e151628aed2a6"
HOST = "bench.test"
PREFIX = "/api"
KEYS = 1_000
"""Consumers, each with one key."""
KEY_HEADER = "apikey"
LIMIT = 1_000_000_000
"""Requests per minute that a consumer may make: counted, never reached."""


def consumer(number: int) -> str:
    """Name of a consumer; `number` counts from 0 to KEYS - 1."""
    return f"consumer-{number}"


def key(number: int) -> str:
    """The key of a consumer."""
    return f"key-{number:04}-6bc1bee22e409f96"


@dataclass(frozen=True, slots=True)
class Job:
    """One variant of the work: always match the prefix, strip it and proxy."""

    inject: bool = False
    """Set `Authorization` to the shared secret, which the backend insists on."""
    authenticate: bool = False
    """Find the consumer by its key, tell the backend who it is, count its requests of this minute and tell the client how many are left."""
    tls: bool = False
    """The client speaks TLS 1.3."""
    request_headers: int = 0
    """Further request headers."""
    response_headers: int = 0
    """Further response headers."""


@dataclass(frozen=True, slots=True)
class Ends:
    """Where a proxy listens and where its backend is, both on 127.0.0.1; `place` is a directory of its own."""

    port: int
    backend_port: int
    place: Path
    certificate: Path
    """PEM file of certificate and key together, for TLS."""
    tool: Path
    """The program with the load generator."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """One engine: why it cannot do a job (or None), and the command that runs it in the foreground."""

    name: str
    missing: Callable[[Job], str | None]
    command: Callable[[Ends, Job], list[str]]
    sees_prefix: bool = True
    """False for what only passes bytes on: its client asks for what the backend expects."""


def program(name: str) -> str | None:
    """Where a program is. Debian keeps servers in /usr/sbin, which is not on everybody's path."""
    sbin = Path("/usr/sbin") / name
    return shutil.which(name) or (str(sbin) if sbin.is_file() else None)
