"""Byte streams that are nearly HTTP, family by family; each is made from a seed and its number, so it can be made again.

A stream is what one client sends on one connection: some requests, broken in the way of the family or not at all, and a
last one that asks for the end. A broken stream must not hide sound requests from the upstream, nor the reverse.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Final

from tests.framing.oddities import CHUNK_BODIES, CODING_NAMES, CODINGS, HELLO, LENGTH_NAMES, LENGTHS, NASTY

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

LAST: Final = b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
INNER: Final = b"GET /inner HTTP/1.1\r\nHost: a\r\n\r\n"

_TRAILERS: Final = (
    b"X-T: 1\r\n", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b" X: 1\r\n", b"X: 1\r\n folded\r\n", b"X\r\n",
    b"X: a\rb\r\n", b": 1\r\n", b"X : 1\r\n", b"X: 1\n", b"X: \0\r\n", b"Host: b\r\n", b"Connection: close\r\n",
    b"X-Forwarded-For: 9\r\n", b"Trailer: X\r\n", b"X: 1\r\nY: 2\r\n", b"GET / HTTP/1.1\r\n", b"X_Y: 1\r\n", b"\rX: 1\r\n",
)  # fmt: skip
_EXTRAS: Final = (
    b"", b"Connection: keep-alive\r\n", b"X-A: 1\r\n", b"Accept: */*\r\n", b"Content-Type: text/plain\r\n", b"X:\r\n",
    b"TE: trailers\r\nConnection: TE\r\n", b"X-Long: " + b"a" * 300 + b"\r\n",
)  # fmt: skip


def _sound(dice: Random, path: bytes) -> bytes:
    """A request that everyone reads in the same way."""
    extra = dice.choice(_EXTRAS)
    host = b"Host: a\r\n"
    match dice.randrange(4):
        case 0:
            return b"GET " + path + b"?x=1 HTTP/1.1\r\n" + host + extra + b"\r\n"
        case 1:
            return b"POST " + path + b" HTTP/1.1\r\n" + host + extra + b"Transfer-Encoding: chunked\r\n\r\n" + HELLO
        case 2:
            return b"PUT " + path + b" HTTP/1.1\r\n" + host + b"Content-Length: 5\r\n" + extra + b"\r\nhello"
        case _:
            return b"HEAD " + path + b" HTTP/1.1\r\n" + extra + host + b"\r\n"


def _post(path: bytes, fields: bytes, body: bytes, line: bytes = b"POST %b HTTP/1.1") -> bytes:
    return line.replace(b"%b", path) + b"\r\nHost: a\r\n" + fields + b"\r\n" + body


def _body(dice: Random) -> bytes:
    body = dice.choice((HELLO, b"hello", b"", dice.choice(CHUNK_BODIES)))
    return body + INNER if dice.random() < 0.3 else body


def conflicting_lengths(dice: Random, path: bytes) -> bytes:
    """`Content-Length` and `Transfer-Encoding` together, in either order."""
    body = _body(dice)
    length = dice.choice((b"%d" % len(body), b"0", b"5", dice.choice(LENGTHS)))
    lines = [b"Content-Length: " + length + b"\r\n", b"Transfer-Encoding: " + dice.choice(CODINGS) + b"\r\n"]
    dice.shuffle(lines)
    if dice.random() < 0.2:
        lines.append(dice.choice(_EXTRAS))
    return _post(path, b"".join(lines), body)


def obfuscated_codings(dice: Random, path: bytes) -> bytes:
    """A `Transfer-Encoding` that some readers see and others do not."""
    body = _body(dice)
    line = (
        dice.choice(CODING_NAMES)
        + dice.choice((b": ", b":", b" :", b":\t", b":\x0b", b"\r\n :"))
        + dice.choice(CODINGS)
    )
    length = b"Content-Length: %d\r\n" % len(body) if dice.random() < 0.4 else b""
    again = b"Transfer-Encoding: " + dice.choice(CODINGS) + b"\r\n" if dice.random() < 0.3 else b""
    return _post(path, length + line + b"\r\n" + again, body)


def bare_line_ends(dice: Random, path: bytes) -> bytes:
    """LF or CR where CRLF belongs."""
    text = bytearray(_sound(dice, path))
    ends = [index for index in range(len(text) - 1) if text[index : index + 2] == b"\r\n"]
    for index in sorted(dice.sample(ends, min(len(ends), 1 + dice.randrange(2))), reverse=True):
        text[index : index + 2] = dice.choice(
            (b"\n", b"\r", b"\n\r", b"\r\r\n", b"\r \n", b"\r\n\n", b"\x85", b"\r\n\r")
        )
    return bytes(text)


def chunk_tricks(dice: Random, path: bytes) -> bytes:
    """Chunk sizes, extensions and ends that are not what they should be."""
    body = dice.choice(CHUNK_BODIES)
    if dice.random() < 0.3:
        size, data = dice.choice((b"5", b"05", b"a", b"A", b"1F", b"ff")), b"x" * 255
        data = data[: int(size, 16)]
        extension = dice.choice(
            (b"", b";", b";a", b";a=b", b'; a="b;c"', b";" + b"e" * dice.choice((10, 500, 511, 600)))
        )
        body = (
            size + extension + b"\r\n" + data + b"\r\n" + dice.choice((b"0", b"000", b"0;x", b"0" * 17)) + b"\r\n\r\n"
        )
    if dice.random() < 0.3:
        body += INNER
    return _post(path, b"Transfer-Encoding: chunked\r\n", body)


def ignored_lengths(dice: Random, path: bytes) -> bytes:
    """CL.0: a body where a careless server expects none, holding a request."""
    method = dice.choice((b"GET", b"HEAD", b"OPTIONS", b"DELETE", b"POST", b"PUT", b"BREW"))
    inner = dice.choice((INNER, b"GET /inner HTTP/1.1\r\nX: ", b"hello", INNER * 2))
    coded = dice.random() < 0.3
    framing = b"Transfer-Encoding: chunked\r\n" if coded else b"Content-Length: %d\r\n" % len(inner)
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(inner), inner) if coded else inner
    return _post(path, dice.choice(_EXTRAS) + framing, body, method + b" %b HTTP/1.1")


def zero_lengths(dice: Random, path: bytes) -> bytes:
    """0.CL: a length that a careless front end does not see, or a body longer or shorter than it says."""
    said = dice.choice((0, 1, 4, 6, len(INNER), len(INNER) - 1, len(INNER) + 1))
    name = dice.choice((b"Content-Length", dice.choice(LENGTH_NAMES)))
    return _post(path, name + b": %d\r\n" % said, dice.choice((b"hello", INNER, INNER + INNER, b"")))


def repeated_lengths(dice: Random, path: bytes) -> bytes:
    """Several `Content-Length`, lists of them, and numbers that are none."""
    body = dice.choice((b"hello", b"hello" + INNER, b"", b"hello!"))
    values = [dice.choice((b"5", dice.choice(LENGTHS))) for _ in range(dice.choice((1, 1, 2, 2, 3)))]
    fields = b"".join(
        dice.choice((b"Content-Length", dice.choice(LENGTH_NAMES))) + b": " + value + b"\r\n" for value in values
    )
    return _post(path, fields, body, dice.choice((b"POST %b HTTP/1.1", b"GET %b HTTP/1.1", b"PUT %b HTTP/1.0")))


def pipelines(dice: Random, path: bytes) -> bytes:
    """Many sound requests in one piece, with empty lines and torn ends between them."""
    between = (b"", b"", b"", b"\r\n", b"\r\n\r\n", b"\n", b"\r", b" ", b"\0", b"GET")
    return b"".join(
        _sound(dice, path + b"/%d" % index) + (dice.choice(between) if dice.random() < 0.2 else b"")
        for index in range(2 + dice.randrange(6))
    )


def upgrades(dice: Random, path: bytes) -> bytes:
    """Requests to switch protocols that the upstream does not grant, with more behind them."""
    protocol = dice.choice(
        (b"websocket", b"WebSocket", b"h2c", b"TLS/1.0", b"websocket, h2c", b"HTTP/2.0", b"foo", b"")
    )
    connection = dice.choice(
        (b"Upgrade", b"upgrade, keep-alive", b"keep-alive", b"Upgrade, HTTP2-Settings", b"close, Upgrade")
    )
    fields = b"Upgrade: " + protocol + b"\r\nConnection: " + connection + b"\r\n"
    if dice.random() < 0.5:
        fields += (
            b"Sec-WebSocket-Version: "
            + dice.choice((b"13", b"777"))
            + b"\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        )
    if dice.random() < 0.4:
        fields += b"HTTP2-Settings: AAMAAABkAAQAAP__\r\n"
    line = dice.choice((b"GET %b HTTP/1.1", b"GET %b HTTP/1.0", b"POST %b HTTP/1.1"))
    if dice.random() < 0.3:
        return _post(path, fields + b"Content-Length: 5\r\n", b"hello", line)
    return _post(path, fields, dice.choice((b"", INNER)), line)


def old_versions(dice: Random, path: bytes) -> bytes:
    """HTTP/1.0, with and without keep-alive, and what it must not carry."""
    connection = dice.choice(
        (b"", b"Connection: keep-alive\r\n", b"Connection: Keep-Alive, x\r\n", b"Connection: close\r\n")
    )
    host = dice.choice((b"Host: a\r\n", b""))
    framing, body = dice.choice((
        (b"", b""), (b"Content-Length: 5\r\n", b"hello"), (b"Transfer-Encoding: chunked\r\n", HELLO),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 15\r\n", HELLO), (b"Expect: 100-continue\r\nContent-Length: 5\r\n", b"hello"),
        (b"", b"hello"),
    ))  # fmt: skip
    method = b"POST" if body else dice.choice((b"GET", b"HEAD"))
    return method + b" " + path + b" HTTP/1.0\r\n" + host + connection + framing + b"\r\n" + body


def ancient_versions(dice: Random, path: bytes) -> bytes:
    """HTTP/0.9 and versions that nobody has heard of."""
    tail = dice.choice((
        b"", b" ", b" HTTP/0.9", b" HTTP/1.2", b" HTTP/2.0", b" HTTP/1.", b" HTTP/11", b" HTTP/1.1 ", b" http/1.1",
        b" HTTP/01.1", b" HTTP/1.01", b" HTTP/1.1\t", b" HTTP/3", b" HTTPS/1.1", b" HTTP/1,1", b"\tHTTP/1.1", b"  HTTP/1.1",
        b" HTTP /1.1", b" HTTP/+1.1", b" HTTP/1.1 HTTP/1.1", b" ICAP/1.0",
    ))  # fmt: skip
    before = dice.choice((b"", b"", b" ", b"\r\n", b"\t", b"\0"))
    return (
        before
        + b"GET "
        + path
        + tail
        + b"\r\n"
        + dice.choice((b"Host: a\r\n\r\n", b"\r\n", b"Host: a\r\n\r\n" + INNER))
    )


def targets(dice: Random, path: bytes) -> bytes:
    """Absolute forms, authorities that differ, and targets that are none."""
    target = dice.choice((
        b"http://a" + path, b"HTTP://A" + path, b"http://b" + path, b"http://a@a" + path, b"http://a:80" + path, b"//a" + path,
        b"http:" + path, b"http:///" + path, b"http://a", b"http://a?x", b"https://a" + path, b"ftp://a" + path, b"*", b"a:80",
        path + b"#x", path + b"?a b", path + b"?\0", path + b"\t", b"\\" + path, path + b"\xff", path + b"\xc3\xa9", path + b"?\xff",
        b"http://a%00" + path, b"http://a/../" + path, b"?" + path, b"", path + b";x?y#z", path + b"\x7f", b"http://a\\@b" + path,
        b"/http://b" + path, path + b"?http://b/", b"@b" + path, b".", b"http://[::1]" + path,
    ))  # fmt: skip
    host = dice.choice((b"Host: a\r\n", b"Host: a\r\n", b"Host: a:80\r\n", b"Host: b\r\n", b"Host: a\r\nHost: a\r\n", b"Host: a, b\r\n",
                        b"Host: a b\r\n", b"Host:\r\n", b"", b"Host: a@b\r\n", b"Host: a/b\r\n", b"Host: a:b\r\n", b"Host: a\r\n b\r\n",
                        b"Host: [::1]\r\n", b"Host: [::1\r\n", b"Host: a:99999\r\n", b"Host: a\x00\r\n", b"hOsT:a\r\n"))  # fmt: skip
    method = dice.choice(
        (b"GET", b"POST", b"OPTIONS", b"CONNECT", b"TRACE", b"get", b"G(T", b"GET\x00", b"GE\xffT", b"PRI")
    )
    return (method if dice.random() < 0.3 else b"GET") + b" " + target + b" HTTP/1.1\r\n" + host + b"\r\n"


def oversized(dice: Random, path: bytes) -> bytes:
    """Heads, lines and lists around what a reader takes."""
    size = dice.choice((4000, 8100, 8192, 16300, 31000, 32600, 32700, 32768, 33000, 66000))
    match dice.randrange(4):
        case 0:
            return b"GET " + path + b"?" + b"q" * size + b" HTTP/1.1\r\nHost: a\r\n\r\n"
        case 1:
            return _post(path, b"X-Big: " + b"v" * size + b"\r\nContent-Length: 5\r\n", b"hello")
        case 2:
            count = dice.choice((60, 64, 65, 120, 999, 1022, 1023, 1024, 1100))
            return _post(
                path, b"".join(b"x%d: y\r\n" % index for index in range(count)) + b"Content-Length: 5\r\n", b"hello"
            )
        case _:
            return _post(path, b"Content-Length: %d\r\n" % size, b"b" * size)


def folded_lines(dice: Random, path: bytes) -> bytes:
    """Continuation lines, where some readers see a value and others a header."""
    fold = dice.choice((b"\r\n ", b"\r\n\t", b"\r\n  ", b"\n ", b"\r "))
    field = dice.choice((
        b"X: a" + fold + b"b\r\n", b"X:" + fold + b"b\r\n", b"Transfer-Encoding:" + fold + b"chunked\r\n",
        b"Content-Length: 5" + fold + b"\r\n", b"Content-Length:" + fold + b"5\r\n", b"X: a" + fold + b"Transfer-Encoding: chunked\r\n",
        b"X: a" + fold + b"Content-Length: 5\r\n", b"Host" + fold + b": a\r\n",
    ))  # fmt: skip
    first = dice.random() < 0.2
    text = _post(
        path,
        (b"" if first else field) + dice.choice((b"", b"Content-Length: 5\r\n")),
        dice.choice((b"", b"hello", HELLO)),
    )
    return text.replace(b"\r\nHost", b"\r\n" + field.lstrip() + b"Host", 1) if first else text


def controls(dice: Random, path: bytes) -> bytes:
    """NUL and other controls anywhere."""
    text = bytearray(_sound(dice, path))
    for _ in range(1 + dice.randrange(2)):
        at = dice.randrange(len(text))
        byte = dice.choice((0, 0, 1, 7, 8, 9, 11, 12, 13, 10, 27, 31, 127, 128, 133, 160, 255))
        if dice.random() < 0.5:
            text.insert(at, byte)
        else:
            text[at] = byte
    return bytes(text)


def names(dice: Random, path: bytes) -> bytes:
    """Header names that are none, or that somebody may take for another."""
    odd = dice.choice((
        b": x", b"X : y", b" X: y", b"X", b"X y: z", b"X\0: y", b"X\xff: y", b"X(: y", b"X/Y: z", b'"X": y', b"X\t: y", b"X;: y", b"=: y",
        b"Content-Length : 5", b"Content-Length: 5 : 6", b"Host : b", b"Host\0: b", b"X_Y: z", b"Content_Length: 5",
        b"Transfer_Encoding: chunked", b"X.Y: z", b"X[0]: y", b"Connection: Content-Length", b"Connection: Host, X-Real-IP",
        b"Connection: Transfer-Encoding", b"Connection: x" + b",y" * 40, b"Proxy: x", b"X-Real-IP: 9.9.9.9", b"@X: y", b"$Version: 1",
        b"Keep-Alive: timeout=5", b"Proxy-Connection: keep-alive", b"X-HTTP-Method-Override: DELETE",
    ))  # fmt: skip
    return _post(
        path,
        odd + b"\r\n" + dice.choice((b"", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n")),
        _body(dice),
    )


def expectations(dice: Random, path: bytes) -> bytes:
    """`Expect`, with the body sent at once all the same."""
    value = dice.choice(
        (b"100-continue", b"100-Continue", b"100-continue, x", b"200-ok", b"", b"100-continue\x0b", b" 100-continue ")
    )
    framing, body = dice.choice((
        (b"Content-Length: 5\r\n", b"hello"), (b"Transfer-Encoding: chunked\r\n", HELLO), (b"", b""), (b"Content-Length: 0\r\n", b""),
        (b"Content-Length: %d\r\n" % len(INNER), INNER), (b"Content-Length: 0\r\n", INNER),
    ))  # fmt: skip
    line = dice.choice((b"POST %b HTTP/1.1", b"PUT %b HTTP/1.1", b"GET %b HTTP/1.1", b"POST %b HTTP/1.0"))
    return _post(path, b"Expect: " + value + b"\r\n" + framing, body, line)


def trailers(dice: Random, path: bytes) -> bytes:
    """Fields after the body that are forbidden there, or are none."""
    fields = b"".join(dice.choice(_TRAILERS) for _ in range(dice.randrange(4)))
    if dice.random() < 0.1:
        fields = b"X: " + b"t" * dice.choice((1000, 8000, 8200)) + b"\r\n"
    if dice.random() < 0.1:
        fields = b"".join(b"t%d: x\r\n" % index for index in range(dice.choice((10, 63, 64, 65, 100))))
    ends = (b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b"")
    body = b"5\r\nhello\r\n0\r\n" + fields + dice.choice(ends) + (INNER if dice.random() < 0.3 else b"")
    announced = dice.choice((b"", b"Trailer: X-T\r\n", b"TE: trailers\r\nConnection: TE\r\n"))
    return _post(path, announced + b"Transfer-Encoding: chunked\r\n", body)


def mutations(dice: Random, path: bytes) -> bytes:
    """Anything of the others, with random damage."""
    text = bytearray(dice.choice([*FAMILIES.values()])(dice, path)) or bytearray(INNER)
    for _ in range(1 + dice.randrange(3)):
        at = dice.randrange(len(text))
        match dice.randrange(6):
            case 0:
                text.insert(at, dice.choice(NASTY))
            case 1:
                text[at] = dice.choice(NASTY)
            case 2 if len(text) > 1:
                del text[at]
            case 3:
                text[at] ^= 1 << dice.randrange(8)
            case 4:
                text[at:at] = text[at : at + 1 + dice.randrange(20)]
            case _ if len(text) > 8:
                del text[at : at + 1 + dice.randrange(4)]
            case _:
                text[at] = dice.choice(NASTY)
    return bytes(text)


FAMILIES: Final[Mapping[str, Callable[[Random, bytes], bytes]]] = {
    "conflicting-lengths": conflicting_lengths,
    "obfuscated-codings": obfuscated_codings,
    "bare-line-ends": bare_line_ends,
    "chunk-tricks": chunk_tricks,
    "ignored-lengths": ignored_lengths,
    "zero-lengths": zero_lengths,
    "repeated-lengths": repeated_lengths,
    "pipelines": pipelines,
    "upgrades": upgrades,
    "old-versions": old_versions,
    "ancient-versions": ancient_versions,
    "targets": targets,
    "oversized": oversized,
    "folded-lines": folded_lines,
    "controls": controls,
    "names": names,
    "expectations": expectations,
    "trailers": trailers,
}
NAMES: Final[Sequence[str]] = (*FAMILIES, "mutations")


def stream(seed: int, number: int, family: str) -> bytes:
    """The bytes of one stream: a few requests of the family among sound ones, and the last one."""
    dice = Random(seed * 1_000_003 + number)  # streams are to be made again, not to be secret
    make = FAMILIES.get(family, mutations)
    parts: list[bytes] = []
    prefix = b"/whole/r" if dice.random() < 0.25 else b"/r"
    for index in range(1 + dice.randrange(3)):
        path = prefix + b"%d" % index
        parts.append(_sound(dice, path) if index and dice.random() < 0.4 else make(dice, path))
    return b"".join(parts) + LAST
