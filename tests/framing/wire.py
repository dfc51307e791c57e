"""Raw bytes out, raw bytes in."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from collections.abc import Callable

# Only something that hangs waits this long.
PATIENCE_SECONDS: Final = 20.0
# A side that has said nothing for so long wants more, or has nothing to say.
_SILENCE_SECONDS: Final = 0.1


class _Line(asyncio.Protocol):
    """Collects what comes; ends its own side once `finished` says so of what has come."""

    def __init__(self) -> None:
        self.data = b""
        self.finished: Callable[[bytes], bool] | None = None
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.look()

    def look(self) -> None:
        """End the own side if it is time to."""
        if self.finished is not None and self.finished(self.data):
            self.end()

    def end(self) -> None:
        """End the own side."""
        self.finished = None
        if self._transport is not None:
            # The other side may have ended the connection before it had read everything.
            with contextlib.suppress(OSError):
                self._transport.write_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)


async def talk(
    port: int, client: str, pieces: list[bytes], finished: Callable[[bytes], bool] | None = None
) -> tuple[bytes, bool]:
    """Send pieces from the address `client` and return what came until the other side closed, and whether it did.

    `finished` is asked, whenever something has come, whether this side is to be ended; without it, that is done when
    the other side has fallen silent.
    """
    loop = asyncio.get_running_loop()
    transport, line = await loop.create_connection(_Line, "127.0.0.1", port, local_addr=(client, 0))
    try:
        for index, piece in enumerate(pieces):
            if index:
                await asyncio.sleep(0)
            if transport.is_closing():
                break
            transport.write(piece)
        line.finished = finished
        line.look()
        if finished is None:
            await _until_silent(line)
        await asyncio.wait_for(line.ended, PATIENCE_SECONDS)
    except TimeoutError:
        return line.data, False
    finally:
        transport.abort()
    return line.data, True


async def _until_silent(line: _Line) -> None:
    length = -1
    while not line.ended.done() and length < len(line.data):
        length = len(line.data)
        await asyncio.wait([line.ended], timeout=_SILENCE_SECONDS)
    if not line.ended.done():
        line.end()
