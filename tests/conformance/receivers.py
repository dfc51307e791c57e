"""Receivers of what plugins send about requests: HTTP requests, lines, datagrams and files."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self, cast

from tests.conformance.case import CaseError
from tests.conformance.echo import HOST, RECEIVER

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable

    from tests.conformance.play import Gateway
    from tests.conformance.received import Record
    from tests.conformance.wire import Headers

_TCP: Final = "$receiver_tcp"
_UDP: Final = "$receiver_udp"
KINDS: Final = frozenset({_TCP, _UDP})
"""Receivers that are no HTTP servers."""
_LOOK_SECONDS: Final = 0.02


@dataclass(frozen=True, slots=True)
class Recorded:
    """A record: the body of a request, a line without its end, or a datagram. The first has the other fields."""

    data: bytes
    method: str = ""
    path: str = ""
    headers: Headers = field(default_factory=list)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, taken: list[Recorded]) -> None:
        self._taken = taken

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        del addr
        self._taken.append(Recorded(data))


class Receivers:
    """Those of one case, on ports of their own, and what each has got so far."""

    def __init__(self) -> None:
        self.addresses: dict[str, tuple[str, int]] = {}
        self.taken: dict[str, list[Recorded]] = {}

    @classmethod
    @contextlib.asynccontextmanager
    async def serve(cls, names: Iterable[str]) -> AsyncGenerator[Self, None]:
        """Receive under these names."""
        receivers = cls()
        async with contextlib.AsyncExitStack() as stack:
            for name in sorted(names):
                taken = receivers.taken.setdefault(name, [])
                address = await (_lines(taken, stack) if name == _TCP else _datagrams(taken, stack))
                receivers.addresses[name] = address
            yield receivers


async def _datagrams(taken: list[Recorded], stack: contextlib.AsyncExitStack) -> tuple[str, int]:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(taken), local_addr=(HOST, 0))
    stack.callback(transport.close)
    return cast("tuple[str, int]", transport.get_extra_info("sockname"))


async def _lines(taken: list[Recorded], stack: contextlib.AsyncExitStack) -> tuple[str, int]:
    open_now: set[asyncio.StreamWriter] = set()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_now.add(writer)
        with contextlib.suppress(OSError):
            while (line := await reader.readline()).endswith(b"\n"):
                taken.append(Recorded(line[:-1]))
        open_now.discard(writer)
        writer.transport.abort()

    server = await asyncio.start_server(converse, HOST, 0, limit=1 << 20)

    async def end() -> None:
        server.close()
        for writer in open_now:
            writer.transport.abort()
        await server.wait_closed()

    stack.push_async_callback(end)
    return cast("tuple[str, int]", server.sockets[0].getsockname())


class Records:
    """What receivers have got and nobody has looked at yet, in order."""

    def __init__(self, gateway: Gateway, posted: Record, receivers: Receivers) -> None:
        self._gateway = gateway
        self._posted = posted
        self._receivers = receivers
        self._seen: dict[str, int] = {}

    async def next(self, receiver: str, patience_seconds: float) -> Recorded | None:
        """The next record at a receiver or in a file; None if there is none in time.

        Raises: CaseError: there is no such receiver.
        """
        seen = self._seen.get(receiver, 0)
        deadline = asyncio.get_running_loop().time() + patience_seconds
        while True:
            records = await self._all(receiver)
            if len(records) > seen:
                self._seen[receiver] = seen + 1
                return records[seen]
            if asyncio.get_running_loop().time() >= deadline:
                return None
            await asyncio.sleep(_LOOK_SECONDS)

    async def _all(self, receiver: str) -> list[Recorded]:
        if receiver == RECEIVER:
            requests = [request for request in self._posted.requests if request.body.complete]
            return [Recorded(bytes(item.body.data), item.method, item.path, item.headers) for item in requests]
        if receiver in self._receivers.taken:
            return self._receivers.taken[receiver]
        if receiver.startswith("/"):
            *lines, _ = (await self._gateway.logged(receiver)).split(b"\n")
            return [Recorded(line) for line in lines]
        message = f"no such receiver: {receiver}"
        raise CaseError(message)
