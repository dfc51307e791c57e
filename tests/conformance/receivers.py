"""Receivers of what plugins send about requests: HTTP requests, lines, datagrams and files; and a directory, which records who is asked about."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final, Self, cast

from tests.conformance import directory
from tests.conformance.case import CaseError
from tests.conformance.echo import HOST, RECEIVER
from tests.conformance.received import Recorded

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable

    from tests.conformance.play import Gateway
    from tests.conformance.received import Record

_TCP: Final = "$receiver_tcp"
_UDP: Final = "$receiver_udp"
_DIRECTORY: Final = "$directory"
_DIRECTORY_TLS: Final = "$directory_tls"
KINDS: Final = frozenset({_TCP, _UDP, _DIRECTORY, _DIRECTORY_TLS})
"""Receivers that are no HTTP servers."""
_LOOK_SECONDS: Final = 0.02

if TYPE_CHECKING:
    _Converse = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


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
                receivers.addresses[name] = await _SERVERS[name](taken, stack)
            yield receivers


async def _datagrams(taken: list[Recorded], stack: contextlib.AsyncExitStack) -> tuple[str, int]:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(taken), local_addr=(HOST, 0))
    stack.callback(transport.close)
    return cast("tuple[str, int]", transport.get_extra_info("sockname"))


async def _lines(taken: list[Recorded], stack: contextlib.AsyncExitStack) -> tuple[str, int]:
    async def converse(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        while (line := await reader.readline()).endswith(b"\n"):
            taken.append(Recorded(line[:-1]))

    return await _server(converse, stack)


async def _directory(taken: list[Recorded], stack: contextlib.AsyncExitStack) -> tuple[str, int]:
    return await _server(lambda reader, writer: directory.serve(reader, writer, taken.append), stack)


async def _directory_tls(taken: list[Recorded], stack: contextlib.AsyncExitStack) -> tuple[str, int]:
    tls = directory.context()
    return await _server(lambda reader, writer: directory.serve(reader, writer, taken.append), stack, tls)


async def _server(
    converse: _Converse, stack: contextlib.AsyncExitStack, tls: ssl.SSLContext | None = None
) -> tuple[str, int]:
    open_now: set[asyncio.StreamWriter] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_now.add(writer)
        with contextlib.suppress(OSError):
            await converse(reader, writer)
        open_now.discard(writer)
        writer.close()

    server = await asyncio.start_server(accept, HOST, 0, limit=1 << 20, ssl=tls)

    async def end() -> None:
        server.close()
        for writer in open_now:
            writer.transport.abort()
        await server.wait_closed()

    stack.push_async_callback(end)
    return cast("tuple[str, int]", server.sockets[0].getsockname())


_SERVERS: Final = {_TCP: _lines, _UDP: _datagrams, _DIRECTORY: _directory, _DIRECTORY_TLS: _directory_tls}


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
