"""Responses that are nearly HTTP, as a hostile upstream sends them; each is made from a seed and its number, so it can be made again."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Final

from tests.framing.oddities import CHUNK_BODIES, CODING_NAMES, CODINGS, HELLO, LENGTH_NAMES, LENGTHS, NASTY

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

SURPLUS: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nsurplus"
"""A whole answer that nobody has asked for."""

# The statuses that gateways give for a broken answer do not occur, so that theirs can be told apart.
_STATUSES: Final = (b"200 OK", b"200 OK", b"200 OK", b"404 Not Found", b"201", b"203 ", b"418 I'm a teapot")
_LINES: Final = (
    b"HTTP/1.1 200", b"HTTP/1.1  200 OK", b"HTTP/1.2 200 OK", b"HTTP/2 200 OK", b"HTTP/2.0 200 OK", b"http/1.1 200 OK", b"HTTP/1.1 20 OK",
    b"HTTP/1.1 2000 OK", b"HTTP/1.1 099 OK", b"HTTP/1.1 000 OK", b"ICY 200 OK", b"HTTP/1.1\t200 OK", b" HTTP/1.1 200 OK",
    b"\r\nHTTP/1.1 200 OK", b"HTTP/1.1 200 OK\rX: y", b"HTTP/1.1 200 \0", b"HTTP/1.1 200 O\x0bK", b"HTTP/1.0 200 OK", b"HTTP/0.9 200 OK",
    b"HTTP/1.1 +20 OK", b"HTTP/11.1 200 OK", b"HTTP/1.1 200\tOK", b"HTTP/1.1 200OK", b"HTTP/1.1 0x1 OK", b"HTTP/1.1 999 x",
    b"HTTP/1.1 600 x", b"HTTP/1.1 200 \xff\xfe", b"HTTP/1.1 ", b"HTTP/1.1", b"", b"200 OK", b"HTTP/1.1 200 OK HTTP/1.1 201 OK",
    b"HTTP /1.1 200 OK", b"HTTP/1.10 200 OK", b"HTTP/1.1 2 0 0", b"HTTP/1.1 200\xa0OK", b"HTTPS/1.1 200 OK", b"RTSP/1.0 200 OK",
)  # fmt: skip
_EXTRAS: Final = (
    b"", b"", b"Connection: keep-alive\r\n", b"Connection: close\r\n", b"X-A: 1\r\n", b"Content-Type: text/plain\r\n", b"X:\r\n",
    b"Keep-Alive: timeout=5\r\n", b"Connection: Content-Length\r\n", b"Connection: Transfer-Encoding, close\r\n",
    b"Trailer: X\r\n", b"Upgrade: h2c\r\n", b"Content-Encoding: gzip\r\n", b"Set-Cookie: a=1\r\n",
)  # fmt: skip
_NAMES: Final = (
    b": x", b"X : y", b" X: y", b"X", b"X y: z", b"X\0: y", b"X\xff: y", b"X(: y", b'"X": y', b"X\t: y", b"Content-Length : 5",
    b"Content-Length: 5 : 6", b"X: \0", b"X: a\rb", b"X: a\nb", b"X: a\r\n b", b"X: a\r\n\tTransfer-Encoding: chunked", b"Content_Length: 5",
    b"Transfer_Encoding: chunked", b"Connection: Content-Length", b"Connection: x" + b",y" * 40, b"X: \x7f", b"HTTP/1.1 200 OK",
    b"Date: x\r\nDate: y", b"X" * 300 + b": y", b"Connection: keep-alive, close", b"Transfer-Encoding: chunked\r\nX : y",
)  # fmt: skip
_TRAILERS: Final = (
    b"X-T: 1\r\n", b"Content-Length: 5\r\n", b" X: 1\r\n", b"X: 1\r\n folded\r\n", b"X\r\n", b"X: a\rb\r\n", b": 1\r\n", b"X : 1\r\n",
    b"X: 1\n", b"X: \0\r\n", b"Set-Cookie: a=1\r\n", b"HTTP/1.1 200 OK\r\n", b"Connection: close\r\n",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class HostileAnswer:
    """What the upstream sends to a request with this method, and whether it ends the connection afterwards."""

    method: bytes
    data: bytes
    closes: bool


def _answer(fields: bytes, body: bytes, line: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return line + b"\r\n" + fields + b"\r\n" + body


def _sound(dice: Random) -> bytes:
    line = b"HTTP/1.1 " + dice.choice(_STATUSES)
    if dice.random() < 0.5:
        return _answer(dice.choice(_EXTRAS) + b"Transfer-Encoding: chunked\r\n", HELLO, line)
    return _answer(b"Content-Length: 5\r\n" + dice.choice(_EXTRAS), b"hello", line)


def _body(dice: Random) -> bytes:
    body = dice.choice((HELLO, b"hello", b"", dice.choice(CHUNK_BODIES)))
    return body + SURPLUS if dice.random() < 0.3 else body


def lengths(dice: Random) -> bytes:
    """Numbers that are none, several of them, lists of them, and bodies that are longer or shorter."""
    values = [dice.choice((b"5", dice.choice(LENGTHS))) for _ in range(dice.choice((1, 1, 2, 3)))]
    names = (dice.choice((b"Content-Length", dice.choice(LENGTH_NAMES))) for _ in values)
    fields = b"".join(name + b": " + value + b"\r\n" for name, value in zip(names, values, strict=True))
    return _answer(fields, dice.choice((b"hello", b"hel", b"hello" + SURPLUS, b"")))


def codings(dice: Random) -> bytes:
    """A `Transfer-Encoding` that some readers see and others do not, with a length beside it or not."""
    body = _body(dice)
    colon = dice.choice((b": ", b":", b" :", b":\t", b":\x0b", b"\r\n :"))
    lines = [dice.choice((b"Transfer-Encoding", dice.choice(CODING_NAMES))) + colon + dice.choice(CODINGS) + b"\r\n"]
    if dice.random() < 0.5:
        length = dice.choice((b"%d" % len(body), b"0", b"5", dice.choice(LENGTHS)))
        lines.append(b"Content-Length: " + length + b"\r\n")
    if dice.random() < 0.2:
        lines.append(dice.choice(_EXTRAS))
    dice.shuffle(lines)
    return _answer(b"".join(lines), body, dice.choice((b"HTTP/1.1 200 OK", b"HTTP/1.1 200 OK", b"HTTP/1.0 200 OK")))


def chunks(dice: Random) -> bytes:
    """Chunk sizes, extensions, ends and trailers that are not what they should be."""
    body = dice.choice(CHUNK_BODIES)
    if dice.random() < 0.4:
        fields = b"".join(dice.choice(_TRAILERS) for _ in range(dice.randrange(4)))
        body = b"5\r\nhello\r\n0\r\n" + fields + dice.choice((b"\r\n", b"\r\n", b"\n", b"\r", b""))
    return _answer(b"Transfer-Encoding: chunked\r\n", body + (SURPLUS if dice.random() < 0.3 else b""))


def status_lines(dice: Random) -> bytes:
    """First lines that are none."""
    return _answer(b"Content-Length: 5\r\n", b"hello", dice.choice(_LINES))


def bodiless(dice: Random) -> bytes:
    """Statuses that have no body, with one; interim answers, and protocols that nobody wanted to switch to."""
    framing, body = dice.choice((
        (b"", b""), (b"Content-Length: 0\r\n", b""), (b"Content-Length: 5\r\n", b"hello"), (b"Transfer-Encoding: chunked\r\n", HELLO),
        (b"Content-Length: 5\r\n", b""), (b"Transfer-Encoding: chunked\r\n", b""), (b"", SURPLUS),
    ))  # fmt: skip
    status = dice.choice(
        (b"204 x", b"304 x", b"205 x", b"100 x", b"101 x", b"102 x", b"103 x", b"199 x", b"204", b"304")
    )
    first = _answer(framing, body, b"HTTP/1.1 " + status)
    if status[:1] == b"1":
        return first * dice.choice((1, 1, 3)) + dice.choice((_sound(dice), _sound(dice), b"", SURPLUS * 2))
    return first + (SURPLUS if dice.random() < 0.3 else b"")


def line_ends(dice: Random) -> bytes:
    """LF or CR where CRLF belongs."""
    text = bytearray(_sound(dice))
    ends = [index for index in range(len(text) - 1) if text[index : index + 2] == b"\r\n"]
    for index in sorted(dice.sample(ends, min(len(ends), 1 + dice.randrange(2))), reverse=True):
        text[index : index + 2] = dice.choice((b"\n", b"\r", b"\n\r", b"\r\r\n", b"\r \n", b"\r\n\n", b"\r\n\r"))
    return bytes(text)


def names(dice: Random) -> bytes:
    """Header lines that are none, or that somebody may take for another."""
    framing = dice.choice((b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b""))
    odd = dice.choice(_NAMES) + b"\r\n"
    return _answer(dice.choice((odd + framing, framing + odd)), _body(dice))


def versions(dice: Random) -> bytes:
    """HTTP/1.0 with and without keep-alive, ends that close, and what it must not carry."""
    framing, body = dice.choice((
        (b"", b"hello"), (b"Content-Length: 5\r\n", b"hello"), (b"Transfer-Encoding: chunked\r\n", HELLO), (b"", b"hello" + SURPLUS),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 15\r\n", HELLO), (b"Content-Length: 5\r\n", b"hel"), (b"", b""),
    ))  # fmt: skip
    return _answer(dice.choice(_EXTRAS) + framing, body, dice.choice((b"HTTP/1.0 200 OK", b"HTTP/1.1 200 OK")))


def surplus(dice: Random) -> bytes:
    """More than was asked for, right behind a sound answer."""
    return _sound(dice) + dice.choice(
        (SURPLUS, SURPLUS * 2, b"\r\n", b"\0", b"hello", SURPLUS[:20], b"0\r\n\r\n", HELLO)
    )


def oversized(dice: Random) -> bytes:
    """Heads around what a reader takes."""
    size = dice.choice((4000, 8192, 16300, 32700, 66000, 130_000, 300_000))
    if dice.random() < 0.5:
        return _answer(b"X-Big: " + b"v" * size + b"\r\nContent-Length: 5\r\n", b"hello")
    count = dice.choice((60, 100, 128, 129, 500, 1023, 1024, 1100))
    return _answer(b"".join(b"x%d: y\r\n" % index for index in range(count)) + b"Content-Length: 5\r\n", b"hello")


def mutations(dice: Random) -> bytes:
    """Anything of the others, with random damage."""
    text = bytearray(dice.choice([*FAMILIES.values()])(dice)) or bytearray(SURPLUS)
    for _ in range(1 + dice.randrange(3)):
        at = dice.randrange(len(text))
        match dice.randrange(4):
            case 0:
                text.insert(at, dice.choice(NASTY))
            case 1:
                text[at] = dice.choice(NASTY)
            case 2:
                text[at] ^= 1 << dice.randrange(8)
            case _:
                text[at:at] = text[at : at + 1 + dice.randrange(20)]
    return bytes(text)


FAMILIES: Final[Mapping[str, Callable[[Random], bytes]]] = {
    "lengths": lengths,
    "codings": codings,
    "chunks": chunks,
    "status-lines": status_lines,
    "bodiless": bodiless,
    "line-ends": line_ends,
    "names": names,
    "versions": versions,
    "surplus": surplus,
    "oversized": oversized,
}
NAMES: Final[Sequence[str]] = (*FAMILIES, "mutations")


def answer(seed: int, number: int, family: str) -> HostileAnswer:
    """The answer of this number."""
    dice = Random(seed * 1_000_003 + number)  # answers are to be made again, not to be secret
    data = FAMILIES.get(family, mutations)(dice)
    method = dice.choice((b"GET", b"GET", b"GET", b"HEAD", b"POST"))
    return HostileAnswer(method, data, closes=dice.random() < 0.5)
