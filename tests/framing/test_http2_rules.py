"""What the gateway says to frames that break HTTP/2's rules, and to odd ones that do not: raw frames, one table.

Sources are sections of RFC 9113, and of RFC 7541 (HPACK) where that is named.
"""

from __future__ import annotations

import asyncio
import struct
from typing import Final

import pytest
from hpack import Decoder, Encoder

from tests.framing.gateway import gateway
from tests.framing.recorder import Record, listen
from tests.framing.wire import talk

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _PRIORITY, _RESET, _SETTINGS, _PUSH, _PING, _GOAWAY, _WINDOW, _CONTINUATION = range(10)
_END_STREAM, _ACK, _END_HEADERS, _PADDED, _WITH_PRIORITY = 1, 1, 4, 8, 32
_NO, _PROTOCOL, _FLOW, _CLOSED, _SIZE, _COMPRESSION = 0, 1, 3, 5, 6, 9
_MARK: Final = b"the mark"


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame."""
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def fields(*more: tuple[str, str], without: str = "", **changed: str) -> bytes:
    """The header block of a GET with changes: pseudo headers by name, further fields after them."""
    pseudo = {"method": "GET", "scheme": "http", "authority": "a", "path": "/r"} | changed
    block = [(f":{name}", value) for name, value in pseudo.items() if name != without]
    return Encoder().encode([*block, *more], huffman=False)


def head(block: bytes, flags: int = _END_STREAM | _END_HEADERS, stream: int = 1) -> bytes:
    """A HEADERS frame."""
    return frame(_HEADERS, flags, stream, block)


def settings(name: int, value: int) -> bytes:
    """A SETTINGS frame with one setting."""
    return frame(_SETTINGS, 0, 0, struct.pack(">HI", name, value))


_GET: Final = fields()
_POST: Final = fields(method="POST")
_OPEN: Final = head(_POST, _END_HEADERS)

# Name; section; frames; what the gateway does: a status, "refuses" the request (a status of 4xx or a reset stream, and the
# upstream hears nothing), "ends" the connection (with one of these codes, if it says one), or "goes on".
_TABLE: Final[tuple[tuple[str, str, bytes, object], ...]] = (
    ("a request", "8.1", head(_GET), 200),
    ("a request with data", "8.1", _OPEN + frame(_DATA, _END_STREAM, 1, b"hello"), 200),
    ("a HEAD", "8.1", head(fields(method="HEAD")), 200),
    ("trailers", "8.1", _OPEN + frame(_DATA, 0, 1, b"x") + head(Encoder().encode([("x-t", "1")])), 200),
    ("padded data", "6.1", _OPEN + frame(_DATA, _END_STREAM | _PADDED, 1, b"\x03hello\0\0\0"), 200),
    ("a padded head", "6.2", head(b"\x02" + _GET + b"\0\0", _END_STREAM | _END_HEADERS | _PADDED), 200),
    ("a head with a priority", "6.2", head(b"\0\0\0\0\x0f" + _GET, _END_STREAM | _END_HEADERS | _WITH_PRIORITY), 200),
    ("a head in four frames", "6.10", head(_GET[:2], _END_STREAM) + frame(_CONTINUATION, 0, 1, _GET[2:5]) + frame(_CONTINUATION, 0, 1) + frame(_CONTINUATION, _END_HEADERS, 1, _GET[5:]), 200),
    ("Huffman codes", "RFC 7541 5.2", head(Encoder().encode([(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/r")], huffman=True)), 200),
    ("content-length that is right", "8.1.1", head(fields(("content-length", "5"), method="POST"), _END_HEADERS) + frame(_DATA, _END_STREAM, 1, b"hello"), 200),
    ("te: trailers", "8.2.2", head(fields(("te", "trailers"))), 200),
    ("an unknown frame", "4.1", frame(0x16, 0, 0, b"x" * 8) + head(_GET), 200),
    ("unknown flags", "4.1", frame(_PING, 0xF0, 0, b"12345678") + head(_GET), 200),
    ("a reserved bit", "4.1", frame(_PING, 0, 1 << 31, b"12345678") + head(_GET), 200),
    ("an unknown setting", "6.5.2", settings(0xFF, 1) + head(_GET), 200),
    ("a priority", "6.3", frame(_PRIORITY, 0, 1, b"\0\0\0\0\x10") + head(_GET), 200),
    ("an unknown reason for a reset", "7", _OPEN + frame(_RESET, 0, 1, b"\0\0\0\xff"), "goes on"),
    ("an acknowledged ping", "6.7", frame(_PING, _ACK, 0, b"unasked!"), "goes on"),
    ("a preface that is none", "3.4", b"", "ends"),
    # The h2 library is lenient here: the frames mean what they mean without the settings.
    ("a first frame that is no SETTINGS", "3.4", b"", "goes on"),
    ("DATA larger than allowed", "4.2", _OPEN + frame(_DATA, 0, 1, b"x" * 16_385), (_SIZE,)),
    ("a head larger than a frame may be", "4.2", head(b"x" * 16_385), (_SIZE,)),
    ("a block that is no HPACK", "4.3", head(b"\xff\xff\xff\xff\xff\xff\xff"), (_COMPRESSION,)),
    ("index 0", "RFC 7541 6.1", head(b"\x80"), (_COMPRESSION,)),
    ("an index beyond the table", "RFC 7541 2.3.3", head(b"\xfe"), (_COMPRESSION,)),
    ("a literal with an index beyond the table", "RFC 7541 2.3.3", head(b"\x7e\x01x"), (_COMPRESSION,)),
    ("a table larger than allowed", "RFC 7541 6.3", head(b"\x3f\xe2\x7f" + _GET), (_COMPRESSION,)),
    ("a change of the table's size at the end", "RFC 7541 4.2", head(_GET + b"\x20"), (_COMPRESSION,)),
    ("Huffman padding of zeros", "RFC 7541 5.2", head(b"\x00\x81\x00\x01x"), (_COMPRESSION,)),
    ("Huffman padding of a byte", "RFC 7541 5.2", head(b"\x00\x82\x1f\xff\x01x"), (_COMPRESSION,)),
    ("the end of strings in a string", "RFC 7541 5.2", head(b"\x00\x84\xff\xff\xff\xff\x01x"), (_COMPRESSION,)),
    ("a head that another stream interrupts", "6.2", head(_GET[:3], _END_STREAM) + head(_GET, stream=3), (_PROTOCOL,)),
    ("a head that a PING interrupts", "6.10", head(_GET[:3], _END_STREAM) + frame(_PING, 0, 0, b"12345678"), (_PROTOCOL,)),
    ("a continuation of nothing", "6.10", frame(_CONTINUATION, _END_HEADERS, 1, _GET), (_PROTOCOL,)),
    ("a continuation after the end", "6.10", head(_POST, _END_HEADERS) + frame(_CONTINUATION, _END_HEADERS, 1, b""), (_PROTOCOL,)),
    ("a continuation of another stream", "6.10", head(_GET[:3], _END_STREAM) + frame(_CONTINUATION, _END_HEADERS, 3, _GET[3:]), (_PROTOCOL,)),
    ("DATA on an idle stream", "5.1", frame(_DATA, _END_STREAM, 1, b"x"), (_PROTOCOL, _CLOSED)),
    ("a reset of an idle stream", "5.1", frame(_RESET, 0, 1, b"\0\0\0\x08"), (_PROTOCOL,)),
    ("a window of an idle stream", "5.1", frame(_WINDOW, 0, 1, b"\0\0\0\x64"), (_PROTOCOL,)),
    ("an even stream", "5.1.1", head(_GET, stream=2), (_PROTOCOL,)),
    ("a stream below an earlier one", "5.1.1", head(_GET, stream=5) + head(_GET, stream=3), (_PROTOCOL, _CLOSED)),
    ("DATA on stream 0", "6.1", frame(_DATA, 0, 0, b"x"), (_PROTOCOL,)),
    ("padding longer than the data", "6.1", _OPEN + frame(_DATA, _END_STREAM | _PADDED, 1, b"\x06hello"), (_PROTOCOL,)),
    ("a head on stream 0", "6.2", head(_GET, stream=0), (_PROTOCOL,)),
    ("padding longer than the head", "6.2", head(b"\xff" + _GET, _END_STREAM | _END_HEADERS | _PADDED), (_PROTOCOL,)),
    ("a priority of stream 0", "6.3", frame(_PRIORITY, 0, 0, b"\0\0\0\0\x10"), (_PROTOCOL,)),
    ("a reset of stream 0", "6.4", frame(_RESET, 0, 0, b"\0\0\0\x08"), (_PROTOCOL,)),
    ("a reset of the wrong size", "6.4", _OPEN + frame(_RESET, 0, 1, b"\0\0\x08"), (_SIZE,)),
    ("an acknowledgement with settings", "6.5", frame(_SETTINGS, _ACK, 0, b"\0" * 6), (_SIZE,)),
    ("settings of a stream", "6.5", frame(_SETTINGS, 0, 1, b""), (_PROTOCOL,)),
    ("settings of the wrong size", "6.5", frame(_SETTINGS, 0, 0, b"\0" * 5), (_SIZE,)),
    ("a push that is neither on nor off", "6.5.2", settings(2, 2), (_PROTOCOL,)),
    ("a window that is too large", "6.5.2", settings(4, 1 << 31), (_FLOW,)),
    ("frames smaller than allowed", "6.5.2", settings(5, 16_383), (_PROTOCOL,)),
    ("frames larger than allowed", "6.5.2", settings(5, 1 << 24), (_PROTOCOL,)),
    ("a push of the client's", "8.4", _OPEN + frame(_PUSH, _END_HEADERS, 1, b"\0\0\0\x02" + _GET), (_PROTOCOL,)),
    ("a ping of a stream", "6.7", frame(_PING, 0, 1, b"12345678"), (_PROTOCOL,)),
    ("a ping of the wrong size", "6.7", frame(_PING, 0, 0, b"1234567"), (_SIZE,)),
    ("a farewell of a stream", "6.8", frame(_GOAWAY, 0, 1, b"\0" * 8), (_PROTOCOL,)),
    ("no more of a window", "6.9", frame(_WINDOW, 0, 0, b"\0\0\0\0"), (_PROTOCOL,)),
    ("a window of the wrong size", "6.9", frame(_WINDOW, 0, 0, b"\0\0\x01"), (_SIZE,)),
    ("a connection's window beyond all bounds", "6.9.1", frame(_WINDOW, 0, 0, b"\x7f\xff\xff\xff") * 2, (_FLOW,)),
    ("no more of a stream's window", "6.9", _OPEN + frame(_WINDOW, 0, 1, b"\0\0\0\0"), "refuses"),
    ("a stream's window beyond all bounds", "6.9.1", _OPEN + frame(_WINDOW, 0, 1, b"\x7f\xff\xff\xff") * 2, "refuses"),
    ("a second head without an end", "8.1", _OPEN + head(_POST, _END_HEADERS), "refuses"),
    ("capital letters in a name", "8.2.1", head(_GET + b"\x00\x01X\x01y"), "refuses"),
    ("a line end in a value", "8.2.1", head(_GET + b"\x00\x01x\x04a\r\nb"), "refuses"),
    ("a NUL in a value", "8.2.1", head(_GET + b"\x00\x01x\x01\x00"), "refuses"),
    ("a colon in a name", "8.2.1", head(_GET + b"\x00\x03x:y\x01z"), "refuses"),
    ("connection", "8.2.2", head(fields(("connection", "close"))), "refuses"),
    ("transfer-encoding", "8.2.2", head(fields(("transfer-encoding", "chunked"))), "refuses"),
    ("upgrade", "8.2.2", head(fields(("upgrade", "h2c"))), "refuses"),
    ("te: chunked", "8.2.2", head(fields(("te", "chunked"))), "refuses"),
    ("an unknown pseudo header", "8.3", head(fields(x="y")), "refuses"),
    ("a response's pseudo header", "8.3", head(fields(status="200")), "refuses"),
    ("a pseudo header after others", "8.3", head(Encoder().encode([("x", "y"), (":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/r")])), "refuses"),
    # And here: it leaves the pseudo header out, so that nobody behind it sees one.
    ("a pseudo header in trailers", "8.3", _OPEN + head(Encoder().encode([(":path", "/x")])), 200),
    ("an empty path", "8.3.1", head(fields(path="")), "refuses"),
    ("a path with a space", "8.3.1", head(fields(path="/r HTTP/1.1")), "refuses"),
    ("a path that is no path", "8.3.1", head(fields(path="r")), "refuses"),
    ("no method", "8.3.1", head(fields(without="method")), "refuses"),
    ("no scheme", "8.3.1", head(fields(without="scheme")), "refuses"),
    ("no path", "8.3.1", head(fields(without="path")), "refuses"),
    ("no authority and no host", "8.3.1", head(fields(without="authority")), "refuses"),
    ("an authority and another host", "8.3.1", head(fields(("host", "b"))), "refuses"),
    ("two methods", "8.3.1", head(fields() + b"\x82"), "refuses"),
    ("two schemes", "8.3.1", head(b"\x86" + fields()), "refuses"),
    ("two paths", "8.3.1", head(b"\x84" + fields()), "refuses"),
    ("less data than announced", "8.1.1", head(fields(("content-length", "6"), method="POST"), _END_HEADERS) + frame(_DATA, _END_STREAM, 1, b"hello"), "refuses"),
    ("more data than announced", "8.1.1", head(fields(("content-length", "4"), method="POST"), _END_HEADERS) + frame(_DATA, _END_STREAM, 1, b"hello"), "refuses"),
    ("no data though announced", "8.1.1", head(fields(("content-length", "4"), method="POST")), "refuses"),
    ("CONNECT", "8.5", head(fields(method="CONNECT")), "refuses"),
)  # fmt: skip
_OPENINGS: Final = {
    "a preface that is none": b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n" + frame(_SETTINGS, 0, 0),
    "a first frame that is no SETTINGS": _PREFACE + frame(_PING, 0, 0, b"12345678"),
}


class _Heard:
    """What the gateway has said so far."""

    def __init__(self, data: bytes) -> None:
        self.status: int | None = None
        self.reset = self.complete = self.marked = False
        self.farewell: int | None = None
        decoder, start = Decoder(), 0
        while len(data) >= start + 9:
            length, kind, flags = int.from_bytes(data[start : start + 3]), data[start + 3], data[start + 4]
            payload = data[start + 9 : start + 9 + length]
            if len(payload) < length:
                return
            start += 9 + length
            if kind == _HEADERS:
                self.status = next(
                    (int(value) for name, value in decoder.decode(payload) if name == ":status"), self.status
                )
            self.complete |= kind in {_HEADERS, _DATA} and bool(flags & _END_STREAM)
            self.reset |= kind == _RESET
            self.marked |= kind == _PING and payload == _MARK
            if kind == _GOAWAY:
                self.farewell = struct.unpack(">I", payload[4:8])[0]

    def is_enough(self, wanted: object) -> bool:
        """Whether nothing more is to be waited for."""
        if self.farewell is not None:
            return True
        if wanted == "goes on":
            return self.marked
        return isinstance(wanted, int | str) and wanted != "ends" and (self.complete or self.reset)

    def problem(self, wanted: object, arrived: int) -> str | None:
        """How it differs from what is wanted."""
        said = f"status {self.status}, reset {self.reset}, farewell {self.farewell}, {arrived} requests at the upstream"
        if isinstance(wanted, int):
            right = self.status == wanted and arrived == 1
        elif wanted == "goes on":
            right = self.marked and self.farewell is None
        elif wanted == "refuses":
            # A whole connection may be ended for one stream (section 5.4.2).
            refused = self.reset or self.farewell not in {None, _NO} or self.status in range(400, 500)
            right = refused and arrived == 0
        else:
            # The h2 library says PROTOCOL_ERROR where a narrower reason is asked for; the connection ends all the same.
            codes = (*wanted, _PROTOCOL) if isinstance(wanted, tuple) else (_PROTOCOL,)
            right = arrived == 0 and self.farewell in {*codes, None}
        return None if right else said


async def _play_all() -> dict[str, str | None]:
    record = Record()
    server, upstream = await listen(record)
    outcomes: dict[str, str | None] = {}
    async with server, gateway(upstream) as port:
        for name, _, frames, wanted in _TABLE:
            start = _OPENINGS.get(name, _PREFACE + frame(_SETTINGS, 0, 0) + frame(_SETTINGS, _ACK, 0))
            sent = start + frames + frame(_PING, 0, 0, _MARK)
            data, ended = await talk(
                port, "127.0.1.1", [sent], lambda data, wanted=wanted: _Heard(data).is_enough(wanted)
            )
            arrived = len(record.take("127.0.1.1"))
            outcomes[name] = _Heard(data).problem(wanted, arrived) if ended else "the connection stays open"
    return outcomes


@pytest.fixture(scope="module")
def outcomes() -> dict[str, str | None]:
    return asyncio.run(_play_all())


@pytest.mark.parametrize("name", [name for name, *_ in _TABLE])
def test_the_rules_of_http2(outcomes: dict[str, str | None], name: str) -> None:
    assert outcomes[name] is None
