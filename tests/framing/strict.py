"""A reader of HTTP/1 that shares nothing with the engine's: by the letter of RFC 9112, without any leniency.

What it gives up on, a gateway has to refuse; what it understands, everyone has to understand in the same way.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

LARGEST_HEAD: Final = 32 * 1024
MOST_FIELDS: Final = 1024

_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# RFC 9110 allows any token; nobody uses other methods, and whatever stands before a method's name would make one.
_METHOD: Final = re.compile(rb"[A-Z_-]+")
_VALUE: Final = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_HOST: Final = re.compile(rb"(?:[A-Za-z0-9._~-]+|\[[0-9A-Za-z._~:\[\]-]*\])(?::([0-9]*))?")
_TARGET: Final = re.compile(rb"[\x21\x22\x24-\x7e\x80-\xff]+")
_ABSOLUTE: Final = re.compile(rb"https?://([^/?]*)(.*)", re.IGNORECASE)
_DIGITS: Final = re.compile(rb"[0-9]{1,18}")
_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,16})(?:;([\t\x20-\x7e\x80-\xff]*))?")
_STATUS: Final = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2}) ([\t\x20-\x7e\x80-\xff]*)")
_LONGEST_SIZE_LINE: Final = 512
_LONGEST_EXTENSIONS: Final = 16 * 1024
_LONGEST_TRAILERS: Final = 8 * 1024
_MOST_TRAILERS: Final = 64
_UNSAFE_NAMES: Final = (b"content_length", b"transfer_encoding")


class Rest(Enum):
    """What comes after the last message that was understood."""

    NOTHING = "nothing"
    CLOSED = "closed"
    PART = "a part of a message"
    GARBAGE = "garbage"


class Unreadable(Exception):
    """There is no message here; `rest` says what there is instead."""

    def __init__(self, rest: Rest, why: str = "") -> None:
        super().__init__(why)
        self.rest = rest


@dataclass(frozen=True, slots=True)
class Message:
    """A request: its method, its target in origin form, its decoded body, and where it ends in the stream."""

    method: bytes
    target: bytes
    body: bytes
    end: int
    closes: bool
    fields: tuple[tuple[bytes, bytes], ...]

    def field(self, name: bytes) -> bytes:
        """Value of a field by its lower-case name; empty when absent."""
        return next((value for own, value in self.fields if own == name), b"")

    @property
    def shape(self) -> tuple[bytes, bytes, bytes]:
        """What all readers have to agree on."""
        return self.method, self.target, self.body


@dataclass(frozen=True, slots=True)
class Answer:
    """A response: its status, its decoded body, where it ends, and whether the connection goes on after it."""

    status: int
    body: bytes
    end: int
    closes: bool
    fields: tuple[tuple[bytes, bytes], ...]


def requests(data: bytes) -> tuple[list[Message], Rest]:
    """All requests of a connection, and what follows them."""
    found: list[Message] = []
    start = 0
    while True:
        try:
            message = request(data, start)
        except Unreadable as gap:
            return found, gap.rest
        found.append(message)
        if message.closes:
            return found, Rest.CLOSED
        start = message.end


def request(data: bytes, start: int, largest_head: int = LARGEST_HEAD, most_fields: int = MOST_FIELDS) -> Message:
    """The request that begins here, after empty lines.

    Raises: Unreadable.
    """
    while data.startswith(b"\r\n", start):
        start += 2
    if start >= len(data):
        raise Unreadable(Rest.NOTHING)
    lines, end = _lines(data, start, largest_head)
    words = lines[0].split(b" ")
    if len(words) != 3 or words[2] not in {b"HTTP/1.1", b"HTTP/1.0"}:
        raise Unreadable(Rest.GARBAGE, "request line")
    method, target, version = words
    if not _METHOD.fullmatch(method) or method in {b"CONNECT", b"TRACE"}:
        raise Unreadable(Rest.GARBAGE, "method")
    old = version == b"HTTP/1.0"
    fields = _fields(lines[1:], most_fields)
    hosts = [value for name, value in fields if name == b"host"]
    if len(hosts) > 1 or (not hosts and not old) or any(not _is_host(host) for host in hosts):
        raise Unreadable(Rest.GARBAGE, "host")
    if any(name in _UNSAFE_NAMES for name, _ in fields):
        raise Unreadable(Rest.GARBAGE, "name")
    options = _options(fields)
    closes = b"close" in options or (old and b"keep-alive" not in options)
    chunked, length = _framing(fields, old=old)
    if chunked:
        body, end = _chunked(data, end)
    else:
        body, end = _sized(data, end, length or 0)
    return Message(method, _origin(target, hosts), body, end, closes, fields)


def response(data: bytes, start: int, method: bytes, *, ended: bool) -> Answer:
    """The response to a request with this method. `ended` says that nothing follows the data.

    Raises: Unreadable.
    """
    if start >= len(data):
        raise Unreadable(Rest.NOTHING)
    lines, end = _lines(data, start, 256 * 1024)
    line = _STATUS.fullmatch(lines[0])
    if line is None:
        raise Unreadable(Rest.GARBAGE, "status line")
    status, old = int(line[2]), line[1] == b"0"
    fields = _fields(lines[1:], 2 * MOST_FIELDS)
    options = _options(fields)
    closes = b"close" in options or (old and b"keep-alive" not in options)
    chunked, length = _framing(fields, old=old)
    if method == b"HEAD" or status < 200 or status in {204, 304}:
        return Answer(status, b"", end, closes, fields)
    if chunked:
        body, end = _chunked(data, end)
    elif length is not None:
        body, end = _sized(data, end, length)
    elif ended:
        body, end, closes = data[end:], len(data), True
    else:
        raise Unreadable(Rest.PART)
    return Answer(status, body, end, closes, fields)


def _lines(data: bytes, start: int, most: int) -> tuple[list[bytes], int]:
    """Lines up to the first empty one, each without its CRLF, and where the next thing begins."""
    end = data.find(b"\r\n\r\n", start)
    head = data[start : end + 2] if end >= 0 else data[start:]
    if b"\n" in head.replace(b"\r\n", b""):
        raise Unreadable(Rest.GARBAGE, "bare LF")
    if len(head) + 2 > most:
        raise Unreadable(Rest.GARBAGE, "head too large")
    if end < 0:
        raise Unreadable(Rest.PART)
    return head[:-2].split(b"\r\n"), end + 4


def _fields(lines: list[bytes], most: int) -> tuple[tuple[bytes, bytes], ...]:
    if len(lines) > most:
        raise Unreadable(Rest.GARBAGE, "too many fields")
    found: list[tuple[bytes, bytes]] = []
    for line in lines:
        name, colon, value = line.partition(b":")
        value = value.strip(b" \t")
        if not colon or not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
            raise Unreadable(Rest.GARBAGE, "field")
        found.append((name.lower(), value))
    return tuple(found)


def _options(fields: tuple[tuple[bytes, bytes], ...]) -> set[bytes]:
    values = [value for name, value in fields if name == b"connection"]
    return {option.strip(b" \t").lower() for value in values for option in value.split(b",")}


def _framing(fields: tuple[tuple[bytes, bytes], ...], *, old: bool) -> tuple[bool, int | None]:
    lengths = [value for name, value in fields if name == b"content-length"]
    codings = [value for name, value in fields if name == b"transfer-encoding"]
    if codings:
        if lengths or old or len(codings) > 1 or codings[0].lower() != b"chunked":
            raise Unreadable(Rest.GARBAGE, "transfer-encoding")
        return True, None
    if not lengths:
        return False, None
    if len(lengths) > 1 or not _DIGITS.fullmatch(lengths[0]):
        raise Unreadable(Rest.GARBAGE, "content-length")
    return False, int(lengths[0])


def _sized(data: bytes, start: int, length: int) -> tuple[bytes, int]:
    end = start + length
    if end > len(data):
        raise Unreadable(Rest.PART)
    return data[start:end], end


def _chunked(data: bytes, start: int) -> tuple[bytes, int]:
    body: list[bytes] = []
    extensions = 0
    while True:
        newline = data.find(b"\n", start)
        line = data[start:newline] if newline >= 0 else data[start:]
        if newline < 0:
            raise Unreadable(Rest.PART)
        match = _SIZE.fullmatch(line[:-1]) if line.endswith(b"\r") else None
        if match is None or len(line) >= _LONGEST_SIZE_LINE:
            raise Unreadable(Rest.GARBAGE, "chunk size")
        extensions += len(match[2]) + 1 if match[2] is not None else 0
        if extensions > _LONGEST_EXTENSIONS:
            raise Unreadable(Rest.GARBAGE, "chunk extensions")
        start, size = newline + 1, int(match[1], 16)
        if size == 0:
            return b"".join(body), _trailers(data, start)
        piece, start = _sized(data, start, size)
        body.append(piece)
        if not data.startswith(b"\r\n", start):
            raise Unreadable(Rest.GARBAGE if len(data) >= start + 2 else Rest.PART, "end of a chunk")
        start += 2


def _trailers(data: bytes, start: int) -> int:
    if data.startswith(b"\r\n", start):
        return start + 2
    lines, end = _lines(data, start, _LONGEST_TRAILERS)
    _fields(lines, _MOST_TRAILERS)
    return end


def _is_host(host: bytes) -> bool:
    match = _HOST.fullmatch(host)
    return match is not None and (not match[1] or int(match[1]) <= 65535)


def _origin(target: bytes, hosts: list[bytes]) -> bytes:
    if not _TARGET.fullmatch(target) or not _is_text(target):
        raise Unreadable(Rest.GARBAGE, "target")
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is not None:
        if not hosts or absolute[1].lower() != hosts[0].lower():
            raise Unreadable(Rest.GARBAGE, "authority of the target")
        target = absolute[2] or b"/"
    if not target.startswith(b"/"):
        raise Unreadable(Rest.GARBAGE, "form of the target")
    return target


def _is_text(target: bytes) -> bool:
    try:
        target.decode()
    except UnicodeDecodeError:
        return False
    return True
