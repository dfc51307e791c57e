"""The echo backend reports the raw truth; spoken to through memory, without sockets."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.conformance.echo import Behaviour, serve_connection
from tests.conformance.received import Received, Record

pytestmark = pytest.mark.unit


class _Collector(asyncio.Transport):
    """Holds what the backend writes."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self._closed = False

    def write(self, data: bytes) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self._closed

    def close(self) -> None:
        self._closed = True


def talk(sent: bytes, *, silent: bool = False) -> tuple[bytes, list[Received]]:
    """What the backend answers to these bytes followed by the end of the connection, and what it recorded."""

    async def run() -> tuple[bytes, list[Received]]:
        reader = asyncio.StreamReader()
        reader.feed_data(sent)
        reader.feed_eof()
        transport = _Collector()
        protocol = asyncio.StreamReaderProtocol(reader)
        writer = asyncio.StreamWriter(transport, protocol, reader, asyncio.get_running_loop())
        record = Record()
        await serve_connection("$upstream", record, reader, writer, Behaviour("stalls" if silent else "answers"))
        writer.close()
        return bytes(transport.written), record.requests

    return asyncio.run(run())


def split(answer: bytes) -> tuple[bytes, list[bytes], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    line, *headers = head.split(b"\r\n")
    return line, headers, body


RAW = b"GET /a//b/../%2f%zz?x=%41&&y HTTP/1.1\r\nhOsT: h\r\nX-Many:  a \r\nx-many:b\r\nX_under: \r\n\r\n"


def test_the_document_is_exact() -> None:
    answer, (request,) = talk(RAW)
    line, headers, body = split(answer)
    document = json.loads(body)

    assert line == b"HTTP/1.1 200 OK"
    assert headers == [b"Content-Type: application/json", b"Content-Length: %d" % len(body)]
    assert document == {
        "method": "GET",
        "path": "/a//b/../%2f%zz?x=%41&&y",
        "headers": [["hOsT", "h"], ["X-Many", "a"], ["x-many", "b"], ["X_under", ""]],
        "body": "",
    }
    assert request.document() == document


def test_hundreds_of_headers() -> None:
    lines = b"".join(b"x-%d: %d\r\n" % (number, number) for number in range(500))
    _, (request,) = talk(b"GET / HTTP/1.1\r\n" + lines + b"\r\n")

    assert len(request.headers) == 500


@pytest.mark.parametrize(
    ("framed", "body"),
    [
        (b"Content-Length: 5\r\n\r\nhello", "hello"),
        (b"Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nT: 1\r\n\r\n", "hello"),
        (
            b"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 11\r\n\r\n--b\r\n\r\nx--b",
            "--b\r\n\r\nx--b",
        ),
    ],
)
def test_bodies(framed: bytes, body: str) -> None:
    answer, (request,) = talk(b"POST / HTTP/1.1\r\n" + framed)

    assert json.loads(split(answer)[2])["body"] == body
    assert request.body.complete
    assert not request.problem


@pytest.mark.parametrize(
    "sent",
    [
        b"GET  / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/2\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nspace : x\r\n\r\n",
        b"GET / HTTP/1.1\r\nx: a\nb: c\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
        b"GET / HTTP/1.1\r\nContent-Length: +1\r\n\r\nx",
        b"GET / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxx\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nhalf",
    ],
)
def test_malformed_requests_are_recorded_as_such(sent: bytes) -> None:
    answer, requests = talk(sent)

    assert answer == b""
    assert requests[-1].problem


def test_a_client_that_gives_up_is_no_problem() -> None:
    _, (request,) = talk(b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhel")

    assert not request.problem
    assert not request.body.complete
    assert talk(b"")[1] == []


def test_connections_last_as_the_request_says() -> None:
    one = b"GET /1 HTTP/1.1\r\n\r\n"
    closing = b"GET /2 HTTP/1.1\r\nConnection: x, Close\r\n\r\n"
    old = b"GET /3 HTTP/1.0\r\n\r\n"
    old_lasting = b"GET /4 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"

    assert [request.path for request in talk(one + one + closing + one)[1]] == ["/1", "/1", "/2"]
    assert b"Connection: close" in talk(closing)[0]
    assert len(talk(old + one)[1]) == 1
    assert len(talk(old_lasting + one)[1]) == 2


def ask(*controls: str, method: str = "GET") -> tuple[bytes, list[bytes], bytes]:
    lines = "".join(f"{control}\r\n" for control in controls)
    return split(talk(f"{method} / HTTP/1.1\r\n{lines}\r\n".encode())[0])


def test_status_body_and_content_type() -> None:
    line, headers, body = ask("x-echo-status: 503", "X-Echo-Body: hi", "x-echo-content-type: text/plain")

    assert line == b"HTTP/1.1 503 Service Unavailable"
    assert headers == [b"Content-Type: text/plain", b"Content-Length: 2"]
    assert body == b"hi"
    assert ask("x-echo-body:", "x-echo-content-type:")[1:] == ([b"Content-Length: 0"], b"")
    assert ask("x-echo-status: 299")[0] == b"HTTP/1.1 299 Unnamed"


def test_each_set_header_adds_a_line() -> None:
    _, headers, _ = ask("x-echo-set-X-A: 1", "x-echo-set-X-A: 2", "x-echo-set-set-cookie: a=b; path=/")

    assert headers[2:] == [b"X-A: 1", b"X-A: 2", b"set-cookie: a=b; path=/"]


def test_framing_can_be_chosen() -> None:
    _, headers, body = ask("x-echo-set-transfer-encoding: chunked", "x-echo-body: abcd")
    assert headers == [b"Content-Type: application/json", b"transfer-encoding: chunked"]
    assert body == b"2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n"

    _, headers, body = ask("x-echo-set-content-length: 9", "x-echo-body: abcd")
    assert headers == [b"Content-Type: application/json", b"content-length: 9"]
    assert body == b"abcd"


@pytest.mark.parametrize("status", [204, 304])
def test_answers_without_body(status: int) -> None:
    assert ask(f"x-echo-status: {status}")[2] == b""


def test_head_has_the_length_and_no_body() -> None:
    _, headers, body = ask("x-echo-body: abc", method="HEAD")

    assert b"Content-Length: 3" in headers
    assert body == b""


def test_closing_early() -> None:
    assert talk(b"GET / HTTP/1.1\r\nx-echo-close: before-headers\r\n\r\n")[0] == b""

    _, headers, body = ask("x-echo-close: mid-body", "x-echo-body: abcdef")
    assert b"Content-Length: 6" in headers
    assert body == b"abc"


def test_continue_comes_before_the_body() -> None:
    answer, _ = talk(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx")

    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")


def test_a_silent_backend_records_and_never_answers() -> None:
    answer, requests = talk(b"POST /x HTTP/1.1\r\nContent-Length: 1\r\n\r\nx", silent=True)

    assert answer == b""
    assert [request.path for request in requests] == ["/x"]
    assert requests[0].body.complete
