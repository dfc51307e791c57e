"""Clients and a backend that misbehave, for the soak: each leaves the gateway something to clean up."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final, Self

from tests.bench.tenants import PATH

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

_PROMISED = 100_000
_MESSAGE = b"\x81\x85\x01\x02\x03\x04ieohn"  # one masked text frame (RFC 6455, 5.2); the echo is not unmasked


class Backend:
    """Answers by path: `…/socket` switches protocols and echoes, `…/cut` breaks off in the body, `…/slow` takes half a second; all others read the body and say 200."""

    def __init__(self) -> None:
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.create_task(self._answer_all(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _answer_all(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError, EOFError, ValueError):
                while await self._answer(reader, writer):
                    pass
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request; whether another may follow."""
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        path = head.split(b" ", 2)[1]
        if path.endswith(b"/socket"):
            switch = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
            writer.write(switch)
            while received := await reader.read(4096):
                writer.write(received)
            return False
        if path.endswith(b"/cut"):
            writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {_PROMISED}\r\n\r\n".encode() + bytes(1000))
            await writer.drain()
            return False
        if path.endswith(b"/slow"):
            await asyncio.sleep(0.5)
        for line in head.split(b"\r\n"):
            if line.startswith(b"content-length:"):
                await reader.readexactly(int(line.partition(b":")[2]))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await writer.drain()
        return True


async def half_a_head(port: int, host: str) -> None:
    """Says half of what it wants, and leaves."""
    await _send_and_leave(port, f"GET {PATH} HTTP/1.1\r\nHost: {host}\r\nX-Half".encode())


async def half_a_body(port: int, host: str) -> None:
    """Promises more than it sends, and leaves."""
    head = f"POST {PATH} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {_PROMISED}\r\n\r\n"
    await _send_and_leave(port, head.encode() + bytes(1000))


async def gone_before_the_answer(port: int, host: str) -> None:
    """Asks for what takes long, and does not wait for it."""
    await _send_and_leave(port, f"GET {PATH}/slow HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())


async def no_http(port: int, host: str) -> None:
    """Speaks something else."""
    await _send_and_leave(port, b"\x16\x03\x01 " + host.encode() + b"\r\n\r\n")


async def broken_off(port: int, host: str) -> None:
    """Reads an answer whose backend breaks off in the body."""
    reader, writer = await _connect(port)
    async with _closing(writer):
        writer.write(f"GET {PATH}/cut HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        while await reader.read(65536):
            pass


async def web_socket(port: int, host: str) -> None:
    """A WebSocket with a message each way, ended without saying so."""
    reader, writer = await _connect(port)
    async with _closing(writer):
        head = f"GET {PATH}/socket HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        head += "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        writer.write(head.encode())
        await reader.readuntil(b"\r\n\r\n")
        writer.write(_MESSAGE)
        await reader.readexactly(len(_MESSAGE))
        writer.transport.abort()


NUISANCES: Final[Mapping[str, Callable[[int, str], Awaitable[None]]]] = {
    "half a head": half_a_head,
    "half a body": half_a_body,
    "gone before the answer": gone_before_the_answer,
    "no HTTP": no_http,
    "broken off": broken_off,
    "WebSocket": web_socket,
}


async def _connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port)


@contextlib.asynccontextmanager
async def _closing(writer: asyncio.StreamWriter) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _send_and_leave(port: int, data: bytes) -> None:
    _, writer = await _connect(port)
    async with _closing(writer):
        writer.write(data)
        await writer.drain()
        await asyncio.sleep(0.02)
        writer.transport.abort()
