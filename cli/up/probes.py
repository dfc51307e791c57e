"""Small checks of "is it there yet", cheap enough to repeat every few milliseconds."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

_PAUSE_SECONDS = 0.05
_ANSWER_SECONDS = 2.0


async def until(check: Callable[[], Awaitable[bool]], timeout_seconds: float) -> bool:
    """Repeat `check` until it holds. Returns False when it did not in time."""
    try:
        async with asyncio.timeout(timeout_seconds):
            while not await check():  # noqa: ASYNC110  # the other side is a process, it sets no event
                await asyncio.sleep(_PAUSE_SECONDS)
    except TimeoutError:
        return False
    return True


async def http_ok(host: str, port: int, path: str) -> bool:
    """Whether a GET is answered with 200."""
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
                status = await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False
    return status.split(b" ")[1:2] == [b"200"]


async def gateway_progress(host: str, port: int) -> tuple[int, int] | None:
    """How many control planes a gateway knows and how many of them it still has to fetch; None without an answer."""
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(f"GET /status HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
                body = (await reader.read()).partition(b"\r\n\r\n")[2]
            finally:
                writer.close()
        tenants = json.loads(body)["tenants"]
        return int(tenants["total"]), int(tenants["behind"])
    except (OSError, TimeoutError, ValueError, KeyError, TypeError):
        return None


async def valkey_answers(path: Path) -> bool:
    """Whether a Valkey server on a Unix socket serves commands (it refuses them while it loads its data)."""
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            reader, writer = await asyncio.open_unix_connection(str(path))
            try:
                writer.write(b"PING\r\n")
                answer = await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False
    return answer.startswith(b"+PONG")
