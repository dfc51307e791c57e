"""Requests to the API over a few kept connections, by a client that costs little itself."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tests.bench.processes import BenchError, usage_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.bench.installation import Address


@dataclass(frozen=True, slots=True)
class Request:
    """One request, and the status without which the measurement ends."""

    method: str
    path: str
    status: int
    body: bytes = b""


@dataclass(slots=True)
class Measured:
    """Seconds of each request, of all together, and CPU seconds of the API in all."""

    times: list[float] = field(default_factory=list[float])
    seconds: float = 0.0
    cpu: float = 0.0


class Client:
    """Asks one API, whose process is `pid`."""

    def __init__(self, address: Address, pid: int) -> None:
        target = urlsplit(address.api)
        self._host, self._port = target.hostname or "127.0.0.1", target.port or 80
        self._head = f"Host: {target.netloc}\r\nAuthorization: Bearer {address.token}\r\n"
        self._pid = pid

    async def repeat(self, request: Callable[[int], Request], seconds: float, connections: int) -> Measured:
        """Requests with running numbers in a closed loop, for so long."""
        until = time.monotonic() + seconds

        def numbered() -> Iterator[Request]:
            for number in count():
                if time.monotonic() >= until:
                    return
                yield request(number)

        return await self.send(numbered(), connections)

    async def send(self, requests: Iterator[Request], connections: int) -> Measured:
        """All of them, so many at a time."""
        found = Measured()
        cpu, begun = usage_of(self._pid).cpu_seconds, time.monotonic()
        await asyncio.gather(*(self._connection(requests, found.times) for _ in range(connections)))
        found.seconds, found.cpu = time.monotonic() - begun, usage_of(self._pid).cpu_seconds - cpu
        return found

    async def _connection(self, requests: Iterator[Request], times: list[float]) -> None:
        reader, writer = await asyncio.open_connection(self._host, self._port, limit=2**26)
        try:
            for request in requests:
                begun = time.monotonic()
                await self._exchange(request, reader, writer)
                times.append(time.monotonic() - begun)
        finally:
            writer.close()

    async def _exchange(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = len(request.body)
        content = f"Content-Type: application/json\r\nContent-Length: {length}\r\n" if length else ""
        line = f"{request.method} {request.path} HTTP/1.1\r\n"
        writer.write(f"{line}{self._head}{content}\r\n".encode() + request.body)
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
        answered = next((int(item[15:]) for item in lines if item.startswith("content-length:")), 0)
        answer = await reader.readexactly(answered)
        if int(lines[0].split()[1]) != request.status:
            message = f"{request.method} {request.path}: {lines[0]} {answer[:300]!r}"
            raise BenchError(message)
