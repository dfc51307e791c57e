"""HTTP/1 message framing from raw bytes, for client and echo backend alike: nothing is normalised or forgiven."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio

Headers = list[tuple[str, str]]

_READ_BYTES: Final = 64 * 1024
_LARGEST_HEAD: Final = 1024 * 1024
_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


class WireError(Exception):
    """The bytes are not the HTTP message that they should be."""


class EarlyEnd(Exception):
    """The connection ended within a message, or before it."""


def text(raw: bytes) -> str:
    """Bytes of a message as text that can be turned back into the same bytes."""
    return raw.decode("utf-8", "surrogateescape")


def raw(value: str) -> bytes:
    """The reverse of `text`."""
    return value.encode("utf-8", "surrogateescape")


def values_of(headers: Headers, name: str) -> list[str]:
    """All values of a header, in order; the name in any letter case."""
    wanted = name.lower()
    return [value for key, value in headers if key.lower() == wanted]


def has_token(headers: Headers, name: str, token: str) -> bool:
    """Whether a comma-separated header contains a token, in any letter case."""
    return any(token == part.strip().lower() for value in values_of(headers, name) for part in value.split(","))


@dataclass(slots=True)
class Body:
    """What arrived of a body."""

    data: bytearray = field(default_factory=bytearray)
    complete: bool = False
    trailers: Headers = field(default_factory=list)


class MessageReader:
    """Reads messages from one connection and keeps what comes behind them."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._held = bytearray()

    @property
    def held(self) -> bytes:
        """Bytes that arrived and belong to no message read so far."""
        return bytes(self._held)

    async def head(self) -> tuple[bytes, Headers]:
        """The next start line and its header lines, names and values as received, surrounding white space removed.

        Raises: EarlyEnd: closed before the end of the head. WireError: a line that is no header line.
        """
        while (end := self._held.find(b"\r\n\r\n")) < 0:
            if len(self._held) > _LARGEST_HEAD:
                raise WireError("head without end")
            await self._fill()
        lines = bytes(self._held[:end]).split(b"\r\n")
        del self._held[: end + 4]
        return lines[0], [_header_line(line) for line in lines[1:]]

    async def body(self, headers: Headers, body: Body, *, until_close: bool) -> None:
        """Read a body as the headers frame it into `body`, which fills while the bytes arrive.

        Without framing headers it is empty, or with `until_close` lasts to the end of the connection.
        Raises: EarlyEnd: closed too early. WireError: contradicting or broken framing.
        """
        lengths = values_of(headers, "content-length")
        codings = values_of(headers, "transfer-encoding")
        if codings:
            if [coding.lower() for coding in codings] != ["chunked"]:
                message = f"transfer-encoding {codings}"
                raise WireError(message)
            if lengths:
                raise WireError("both content-length and transfer-encoding")
            await self._chunks(body)
        elif lengths:
            if len(lengths) > 1 or not lengths[0].isascii() or not lengths[0].isdigit():
                message = f"content-length {lengths}"
                raise WireError(message)
            await self._exactly(int(lengths[0]), body)
        elif until_close:
            await self._to_the_end(body)
        body.complete = True

    async def exactly(self, length: int) -> bytes:
        """So many bytes that are no message, as many as come when the connection ends before."""
        while len(self._held) < length:
            try:
                await self._fill()
            except EarlyEnd:
                break
        data = bytes(self._held[:length])
        del self._held[:length]
        return data

    async def _fill(self) -> None:
        received = await self._reader.read(_READ_BYTES)
        if not received:
            raise EarlyEnd
        self._held += received

    async def _exactly(self, length: int, body: Body) -> None:
        missing = length
        while missing:
            if not self._held:
                await self._fill()
            part = self._held[:missing]
            del self._held[: len(part)]
            body.data += part
            missing -= len(part)

    async def _to_the_end(self, body: Body) -> None:
        while True:
            body.data += self._held
            self._held.clear()
            try:
                await self._fill()
            except EarlyEnd:
                return

    async def _line(self) -> bytes:
        while (end := self._held.find(b"\r\n")) < 0:
            await self._fill()
        line = bytes(self._held[:end])
        del self._held[: end + 2]
        return line

    async def _chunks(self, body: Body) -> None:
        while True:
            size_text = (await self._line()).split(b";")[0].strip()
            if not re.fullmatch(rb"[0-9a-fA-F]{1,16}", size_text):
                message = f"chunk size {size_text!r}"
                raise WireError(message)
            size = int(size_text, 16)
            if size == 0:
                break
            await self._exactly(size, body)
            if await self._line():
                raise WireError("chunk longer than its size")
        while line := await self._line():
            body.trailers.append(_header_line(line))


def _header_line(line: bytes) -> tuple[str, str]:
    name, colon, value = line.partition(b":")
    if not colon or not _TOKEN.fullmatch(name):
        message = f"header line {line!r}"
        raise WireError(message)
    if b"\n" in value or b"\r" in value or b"\0" in value:
        message = f"control byte in header line {line!r}"
        raise WireError(message)
    return text(name), text(value.strip(b" \t"))
