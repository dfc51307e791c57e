"""HTTP/2 requests that would become something else when they are written as HTTP/1."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Final

from hpack import Decoder, Encoder, HPACKError

if TYPE_CHECKING:
    from collections.abc import Iterator

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RESET, _SETTINGS, _GOAWAY, _CONTINUATION = 0, 1, 3, 4, 7, 9
_END_STREAM, _END_HEADERS = 1, 4
_STATUS: Final = b":status"
_INNER: Final = b"GET /inner HTTP/1.1\r\nHost: a\r\n\r\n"

Field = tuple[bytes, bytes]

_METHODS: Final = (
    b"GET", b"POST", b"GET /inner HTTP/1.1\r\nHost: a\r\n\r\nGET", b"G T", b"", b"get", b"CONNECT", b"TRACE", b"POST\r\nX: y", b"GET\0", b"PRI",
)  # fmt: skip
_PATHS: Final = (
    b"/r", b"/r HTTP/1.1\r\nX: y", b"/r x", b"", b"r", b"*", b"http://a/r", b"//a/r", b"/r\r\n", b"/r\n", b"/r\0", b"/r\t", b"/r#x",
    b"/r HTTP/1.1\r\nHost: a\r\n\r\n" + _INNER, b"/r\xff", b"/r?a b", b"\r\n/r", b"/r\x7f", b"/whole/r",
)  # fmt: skip
_AUTHORITIES: Final = (
    b"a", b"a\r\nX: y", b"a b", b"", b"a@b", b"a/b", b"a:80", b"a:x", b"a\0", b"a?b", b"a#b", b"a, b", b"[::1]", b"a\n", b"\xff",
)  # fmt: skip
_SCHEMES: Final = (b"http", b"https", b"", b"http://a/x", b"ftp", b"http\r\nX: y", b"HTTP")
_FIELDS: Final[tuple[Field, ...]] = (
    (b"x", b"y"), (b"x", b"y\r\nTransfer-Encoding: chunked"), (b"x", b"y\nz"), (b"x", b"y\rz"), (b"x", b"\0"), (b"x\r\ny", b"z"), (b"x: y", b"z"),
    (b"X", b"y"), (b"", b"y"), (b"x y", b"z"), (b"transfer-encoding", b"chunked"), (b"transfer-encoding", b"identity"), (b"te", b"trailers"),
    (b"te", b"chunked"), (b"te", b"trailers, chunked"), (b"connection", b"close"), (b"connection", b"x"), (b"keep-alive", b"1"),
    (b"proxy-connection", b"close"), (b"upgrade", b"websocket"), (b"upgrade", b"h2c"), (b"host", b"a"), (b"host", b"b"), (b"host", b"a\r\nX: y"),
    (b"content-length", b"5"), (b"content-length", b"4"), (b"content-length", b"6"), (b"content-length", b"0"), (b"content-length", b"+5"),
    (b"content-length", b"5, 5"), (b"content-length", b""), (b"content-length", b"5\r\nX: y"), (b"content_length", b"5"),
    (b"transfer_encoding", b"chunked"), (b"expect", b"100-continue"), (b"cookie", b"a=1"), (b"cookie", b"b=2\r\nX: y"), (b"cookie", b""),
    (b":path", b"/other"), (b":method", b"PUT"), (b":authority", b"b"), (b":status", b"200"), (b":x", b"y"), (b":protocol", b"websocket"),
    (b"transfer-encoding\0", b"chunked"), (b"content-length\t", b"5"), (b"trailer", b"x"), (b"x-real-ip", b"9.9.9.9"), (b"x", b" y "),
    (b"http2-settings", b"AAMAAABkAAQAAP__"), (b"x\xff", b"y"), (b"x", b"\xff"), (b"x(", b"y"),
)  # fmt: skip
_TRAILERS: Final[tuple[Field, ...]] = (
    (b"x-t", b"1"), (b":path", b"/x"), (b":status", b"200"), (b"content-length", b"5"), (b"transfer-encoding", b"chunked"), (b"x", b"a\r\nb: c"),
    (b"connection", b"close"), (b"x-forwarded-for", b"9"), (b"X", b"y"), (b"x\r\n\r\nGET / HTTP/1.1", b"y"), (b"host", b"b"), (b"te", b"trailers"),
)  # fmt: skip
_BODIES: Final = (b"", b"hello", b"0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n", _INNER, b"hello" + _INNER)


@dataclass(frozen=True, slots=True)
class Downgrade:
    """One HTTP/2 connection with one request, and what it asks for if it is a request at all.

    `fragments` says whether its fields come in several frames.
    """

    stream: bytes
    methods: tuple[bytes, ...]
    paths: tuple[bytes, ...]
    body: bytes
    fragments: bool


@dataclass(frozen=True, slots=True)
class Reply:
    """What the client got on its stream: a status (None without one), and whether the stream or connection is over."""

    status: int | None
    over: bool


def request(seed: int, number: int) -> Downgrade:
    """The request of this number."""
    dice = Random(seed * 1_000_003 + number)  # requests are to be made again, not to be secret
    odd = dice.randrange(6)
    body = dice.choice(_BODIES)
    fields: list[Field] = [
        (b":method", dice.choice(_METHODS) if odd == 0 else dice.choice((b"GET", b"POST"))),
        (b":scheme", dice.choice(_SCHEMES) if odd == 1 else b"http"),
        (b":authority", dice.choice(_AUTHORITIES) if odd == 2 else b"a"),
        (b":path", dice.choice(_PATHS) if odd == 3 else dice.choice((b"/r", b"/whole/r", b"/r?x=1"))),
    ]
    if dice.random() < 0.15:
        del fields[dice.randrange(len(fields))]
    for _ in range(dice.choice((0, 0, 0, 1, 2))):
        field = dice.choice(_FIELDS)
        at = len(fields) if dice.random() < 0.7 else dice.randrange(len(fields) + 1)
        fields.insert(at, field)
    if dice.random() < 0.3:
        fields.append(
            (b"content-length", b"%d" % dice.choice((len(body), len(body), len(body) + 1, max(len(body) - 1, 0))))
        )
    if dice.random() < 0.1:
        dice.shuffle(fields)
    trailers = [dice.choice(_TRAILERS) for _ in range(1 + dice.randrange(2))] if dice.random() < 0.3 else []
    pieces = 1 if dice.random() < 0.7 else 1 + dice.randrange(4)
    frames = b"".join(_frames(dice, fields, body, trailers, pieces))
    named = {name: tuple(value for own, value in fields if own == name) for name in (b":method", b":path")}
    return Downgrade(
        _PREFACE + _frame(_SETTINGS, 0, 0, b"") + frames, named[b":method"], named[b":path"], body, pieces > 1
    )


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def _frames(dice: Random, fields: list[Field], body: bytes, trailers: list[Field], pieces: int) -> Iterator[bytes]:
    encoder = Encoder()
    ends = not body and not trailers
    block = encoder.encode(fields, huffman=dice.random() < 0.5)
    yield from _headers(block, pieces, _END_STREAM if ends else 0)
    if body:
        cut = dice.randrange(len(body) + 1)
        yield _frame(_DATA, 0, 1, body[:cut])
        yield _frame(_DATA, 0 if trailers else _END_STREAM, 1, body[cut:])
    if trailers:
        yield from _headers(encoder.encode(trailers), 1, _END_STREAM)


def _headers(block: bytes, pieces: int, flags: int) -> Iterator[bytes]:
    size = -(-len(block) // pieces) or 1
    cut = [block[start : start + size] for start in range(0, len(block), size)] or [b""]
    for index, piece in enumerate(cut):
        last = _END_HEADERS if index == len(cut) - 1 else 0
        yield _frame(_CONTINUATION if index else _HEADERS, last | (0 if index else flags), 1, piece)


def reply(data: bytes) -> Reply:
    """Reads what the gateway has sent so far."""
    decoder, status, start = Decoder(), None, 0
    if data.startswith(b"HTTP/1.1 "):
        return Reply(int(data[9:12]), over=True)
    while len(data) >= start + 9:
        length, kind, flags = int.from_bytes(data[start : start + 3]), data[start + 3], data[start + 4]
        payload = data[start + 9 : start + 9 + length]
        if len(payload) < length:
            break
        start += 9 + length
        if kind == _HEADERS:
            try:
                fields = decoder.decode(payload, raw=True)
            except HPACKError:
                return Reply(None, over=True)
            status = next((int(value) for name, value in fields if name == _STATUS), status)
        over = kind in {_RESET, _GOAWAY} or (kind in {_HEADERS, _DATA} and flags & _END_STREAM)
        if over:
            return Reply(status, over=True)
    return Reply(status, over=False)
