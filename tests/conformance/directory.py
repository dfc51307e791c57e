"""A directory that knows a few passwords: as much of LDAP as it takes to ask about them (RFC 4511), in the encoding it is written in."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from tests.conformance.certificates import backend_identity, server_context
from tests.conformance.received import Recorded

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

PASSWORDS: Final = {
    b"uid=ann,ou=people,dc=test": b"secret",
    b"uid=bob,ou=people,dc=test": b"p:w",
    b"uid=a\\2cb,ou=people,dc=test": b"secret",
    b"cn=ann,dc=test": b"other",
}
"""The passwords by the names that have one."""
_RESULTS: Final = {b"busy": 51, b"unwilling": 53}
"""What is said of passwords that nobody has; of all others that they are wrong."""
_SUCCESS: Final = 0
_WRONG: Final = 49
_BIND: Final = 0x60
_EXTENDED: Final = 0x77


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, record: Callable[[Recorded], None]) -> None:
    """Answer until the other side has no more questions; each name that is asked about is recorded with how the connection was."""
    asked = 0
    is_secure = writer.get_extra_info("ssl_object") is not None
    with contextlib.suppress(asyncio.IncompleteReadError, IndexError, OSError):  # one that is no LDAP is no question
        while True:
            number, kind, content = await _question(reader)
            if kind == _EXTENDED and not is_secure:
                writer.write(_answer(number, 0x78, _SUCCESS))
                await writer.drain()
                await writer.start_tls(context())
                is_secure = True
            elif kind == _BIND:
                name, password = _name_and_password(content)
                asked += 1
                record(Recorded(name, method="tls" if is_secure else "plain", path=str(asked)))
                if password == b"hang up":
                    return
                if password == b"nonsense":
                    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                    return
                right = PASSWORDS.get(name) == password
                writer.write(_answer(number, 0x61, _SUCCESS if right else _RESULTS.get(password, _WRONG)))
                await writer.drain()
            else:
                return


def context() -> ssl.SSLContext:
    """How it speaks TLS; its name is 127.0.0.1."""
    return server_context(backend_identity(), "ldap")


async def _question(reader: asyncio.StreamReader) -> tuple[int, int, bytes]:
    await reader.readexactly(1)
    length = (await reader.readexactly(1))[0]
    if length >= 0x80:
        length = int.from_bytes(await reader.readexactly(length & 0x7F))
    content = await reader.readexactly(length)
    number, rest = _split(content)
    operation, _ = _split(rest)
    return int.from_bytes(number), rest[0], operation


def _split(data: bytes) -> tuple[bytes, bytes]:
    """The content of the first element, and what follows it."""
    length, start = data[1], 2
    if length >= 0x80:
        start += length & 0x7F
        length = int.from_bytes(data[2:start])
    return data[start : start + length], data[start + length :]


def _name_and_password(bind: bytes) -> tuple[bytes, bytes]:
    version, rest = _split(bind)
    assert version == b"\x03"
    name, rest = _split(rest)
    assert rest[0] == 0x80  # a simple bind
    return name, _split(rest)[0]


def _answer(number: int, kind: int, result: int) -> bytes:
    operation = bytes([kind, 7, 0x0A, 1, result, 4, 0, 4, 0])
    content = bytes([2, 1, number]) + operation
    return bytes([0x30, len(content)]) + content
