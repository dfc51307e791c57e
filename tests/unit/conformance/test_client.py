from __future__ import annotations

import pytest

from tests.conformance.case import Send
from tests.conformance.client import request_bytes
from tests.conformance.http2 import header_list

pytestmark = pytest.mark.unit

PLAIN = b"Host: example.test\r\nUser-Agent: sluice-conformance\r\n"


def wire(**send: object) -> bytes:
    return b"".join(request_bytes(Send.model_validate(send)))


def test_nothing_is_added_but_host_and_user_agent() -> None:
    assert wire() == b"GET / HTTP/1.1\r\n" + PLAIN + b"\r\n"
    assert wire(method="POST") == b"POST / HTTP/1.1\r\n" + PLAIN + b"\r\n"


def test_the_target_goes_out_byte_for_byte() -> None:
    assert wire(path="/a//../%2f%zz é?x=[1]&&", version="1.0").startswith(
        "GET /a//../%2f%zz é?x=[1]&& HTTP/1.0\r\n".encode()
    )


def test_headers_keep_order_case_and_repetition() -> None:
    sent = wire(headers={"X-b": "1", "x-Many": ["a", "b"], "HOST": "other", "user-agent": []})
    assert sent == b"GET / HTTP/1.1\r\nX-b: 1\r\nx-Many: a\r\nx-Many: b\r\nHOST: other\r\n\r\n"


def test_no_host_at_all() -> None:
    assert b"Host" not in wire(host=None)


@pytest.mark.parametrize(
    ("send", "tail"),
    [
        ({"body": "hé"}, b"Content-Length: 3\r\n\r\nh\xc3\xa9"),
        ({"body": ""}, b"Content-Length: 0\r\n\r\n"),
        ({"body_base64": "AP8="}, b"Content-Length: 2\r\n\r\n\x00\xff"),
        (
            {"json": {"a": [1, "é"]}},
            b'Content-Type: application/json\r\nContent-Length: 14\r\n\r\n{"a":[1,"\xc3\xa9"]}',
        ),
        ({"json": None}, b"Content-Type: application/json\r\nContent-Length: 4\r\n\r\nnull"),
        (
            {"form": {"a": "x y&", "b": [1, 2]}},
            b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 16\r\n\r\na=x+y%26&b=1&b=2",
        ),
        ({"chunks": ["ab", "", "c"]}, b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"),
        ({"json": 1, "headers": {"content-type": "a/b"}}, b"content-type: a/b\r\nContent-Length: 1\r\n\r\n1"),
        ({"body": "ab", "headers": {"Content-Length": "9"}}, b"Content-Length: 9\r\n\r\nab"),
        ({"chunks": ["2\r\nab", "x"], "headers": {"Transfer-Encoding": "chunked"}}, b"chunked\r\n\r\n2\r\nabx"),
    ],
)
def test_bodies_are_framed_exactly(send: dict[str, object], tail: bytes) -> None:
    assert wire(**send).endswith(tail)


def test_multipart_has_one_text_part_per_value() -> None:
    sent = wire(multipart={"a": "1", "b": ["2", "3"]})
    head, _, body = sent.partition(b"\r\n\r\n")

    assert b"Content-Type: multipart/form-data; boundary=sluice-conformance-boundary" in head
    assert f"Content-Length: {len(body)}".encode() in head
    assert body.count(b'Content-Disposition: form-data; name="b"\r\n\r\n') == 2
    assert body.endswith(b"\r\n--sluice-conformance-boundary--\r\n")


def test_http2_lines() -> None:
    send = Send.model_validate(
        {"version": "2", "host": "a.test", "path": "/x?y", "headers": {"X-A": ["1", "2"]}, "json": {}}
    )
    assert header_list(send, tls=True) == [
        (":method", "GET"),
        (":scheme", "https"),
        (":path", "/x?y"),
        (":authority", "a.test"),
        ("user-agent", "sluice-conformance"),
        ("x-a", "1"),
        ("x-a", "2"),
        ("content-type", "application/json"),
        ("content-length", "2"),
    ]
