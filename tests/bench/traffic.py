"""A client for single requests that costs little: one keep-alive connection, GET, and the answer's status."""

from __future__ import annotations

import asyncio
import contextlib
from urllib.parse import urlsplit


class TrafficError(Exception):
    """The connection broke, or what came was no answer."""


class Client:
    """Requests of one host, at a base URL of plain HTTP."""

    def __init__(self, base_url: str, host: str) -> None:
        parts = urlsplit(base_url)
        self._address = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._host = host
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def status(self, path: str) -> int:
        """The status of the answer to one GET; answers have a Content-Length."""
        try:
            if self._streams is None:
                self._streams = await asyncio.open_connection(*self._address)
            reader, writer = self._streams
            writer.write(f"GET {path} HTTP/1.1\r\nHost: {self._host}\r\n\r\n".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
            await reader.readexactly(int(fields["content-length"]))
            if fields.get("connection") == "close":
                await self.close()
            return int(head.split(" ", 2)[1])
        except (OSError, EOFError, ValueError, KeyError, asyncio.LimitOverrunError) as error:
            await self.close()
            message = f"{path}: {type(error).__name__}"
            raise TrafficError(message) from error

    async def close(self) -> None:
        """End the connection; the next request makes another."""
        if self._streams is not None:
            writer = self._streams[1]
            self._streams = None
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
