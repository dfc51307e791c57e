"""An upstream that writes down every request it gets, by the client that the proxy in front names in `X-Real-IP`."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast

from tests.framing import strict

if TYPE_CHECKING:
    from tests.framing.strict import Message

_SEEN: Final = b"x-seen"
# Requests on one connection: enough that one which ends in the wrong place spoils others.
_MOST_REQUESTS: Final = 16
# Proxies add to the heads that they take.
_LARGEST_HEAD: Final = 128 * 1024
_MOST_FIELDS: Final = 2000


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request as it arrived, with the number that its answer carries."""

    serial: int
    message: Message


@dataclass(slots=True)
class Carried:
    """All that one connection has carried, up to the end of its last whole request."""

    data: bytes
    arrivals: list[Arrival]


@dataclass(slots=True)
class Record:
    """What has arrived: by client, by connection, and what was no request at all."""

    by_client: dict[str, list[Arrival]] = field(default_factory=lambda: defaultdict(list))
    carried: deque[Carried] = field(default_factory=deque)
    broken: list[bytes] = field(default_factory=list)
    serial: int = 0
    keeps_connections: bool = False

    def take(self, client: str) -> list[Arrival]:
        """What a client's connection has led to since the last call."""
        return self.by_client.pop(client, [])


class Recorder(asyncio.Protocol):
    """One connection: answers each request with its number."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._data = b""
        self._start = 0
        self._arrivals: list[Arrival] = []
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        transport, record = self._transport, self._record
        if transport is None or transport.is_closing():
            return
        self._data += data
        while True:
            try:
                message = strict.request(self._data, self._start, _LARGEST_HEAD, _MOST_FIELDS)
            except strict.Unreadable as gap:
                if gap.rest is strict.Rest.GARBAGE:
                    record.broken.append(self._data)
                    transport.abort()
                return
            self._start = message.end
            record.serial += 1
            arrival = Arrival(record.serial, message)
            self._arrivals.append(arrival)
            record.by_client[message.field(b"x-real-ip").decode()].append(arrival)
            ends = message.closes or len(self._arrivals) == _MOST_REQUESTS
            transport.write(_answer(arrival, ends=ends))
            if ends:
                transport.close()
                return

    def connection_lost(self, exc: Exception | None) -> None:
        if self._record.keeps_connections and self._arrivals:
            self._record.carried.append(Carried(self._data[: self._start], self._arrivals))


def _answer(arrival: Arrival, *, ends: bool) -> bytes:
    close = b"Connection: close\r\n" if ends else b""
    head = b"HTTP/1.1 200 OK\r\nX-Seen: %d\r\nContent-Length: 2\r\n%b\r\n" % (arrival.serial, close)
    return head if arrival.message.method == b"HEAD" else head + b"ok"


def seen(answer: strict.Answer) -> int | None:
    """The number that an answer carries, if it comes from a recorder."""
    return next((int(value) for name, value in answer.fields if name == _SEEN), None)


async def listen(record: Record) -> tuple[asyncio.Server, int]:
    """Start a recorder on a free port of loopback."""
    server = await asyncio.get_running_loop().create_server(lambda: Recorder(record), "127.0.0.1", 0, backlog=1024)
    return server, server.sockets[0].getsockname()[1]
