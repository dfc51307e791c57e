"""What the name server of cases answers, byte for byte."""

import struct

import pytest

from tests.conformance.case import CaseError, Said, SendStep, parse_case
from tests.conformance.client import proxy_header
from tests.conformance.names import answer


def question(name: str, kind: int) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + labels + struct.pack("!BHH", 0, kind, 1)


def said(name: str, what: object) -> dict[str, Said]:
    case = parse_case({"dns": {name: what}, "steps": [{"send": {}}]})
    assert case.dns is not None
    return {key: value for key, value in case.dns.items() if value is not None}


def counts(reply: bytes | None) -> tuple[int, int]:
    """Code and number of records."""
    assert reply is not None
    _, flags, _, records, _, _ = struct.unpack_from("!6H", reply)
    return flags & 15, records


def test_addresses_of_the_kind_that_was_asked_for() -> None:
    zone = said("a.test", [{"a": "127.0.0.1", "ttl": 5}, {"a": "127.0.0.2"}, {"aaaa": "::1"}])
    asked = question("A.test", 1)
    reply = answer(asked, zone)
    assert reply is not None
    assert counts(reply) == (0, 2)
    first = struct.pack("!HHHIH4B", 0xC00C, 1, 1, 5, 4, 127, 0, 0, 1)
    assert reply[len(asked) :].startswith(first)
    assert counts(answer(question("a.test", 28), zone)) == (0, 1)
    assert counts(answer(question("a.test", 33), zone)) == (0, 0)


def test_services_and_aliases() -> None:
    zone = said("s.test", [{"srv": {"port": 80, "name": "a.test", "weight": 2}}])
    reply = answer(question("s.test", 33), zone)
    assert reply is not None
    assert reply.endswith(struct.pack("!3H", 1, 2, 80) + b"\1a\4test\0")
    assert counts(answer(question("l.test", 1), said("l.test", [{"cname": "a.test"}]))) == (0, 1)


def test_names_that_are_not_there_or_fail() -> None:
    assert counts(answer(question("none.test", 1), {})) == (3, 0)
    assert counts(answer(question("f.test", 1), said("f.test", "fails"))) == (2, 0)
    assert answer(question("q.test", 1), said("q.test", "silent")) is None


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({}, "one of a, aaaa, cname and srv"),
        ({"a": "127.0.0.1", "cname": "b.test"}, "one of a, aaaa, cname and srv"),
        ({"a": "::1"}, "Expected 4 octets"),
        ({"a": "127.0.0.1", "ttl": -1}, "greater than or equal to 0"),
        ({"mx": "a.test"}, "unknown key"),
    ],
)
def test_a_record_that_breaks_a_rule_is_an_error(record: dict[str, object], reason: str) -> None:
    with pytest.raises(CaseError, match=reason):
        parse_case({"dns": {"a.test": [record]}, "steps": [{"send": {}}]})


@pytest.mark.parametrize(
    ("proxied", "header"),
    [
        ({"client": "10.1.1.1"}, b"PROXY TCP4 10.1.1.1 127.0.0.1 1 2\r\n"),
        ({"client": "2001:db8::1"}, b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n"),
        ({}, b"PROXY UNKNOWN\r\n"),
        ({"version": 2, "client": "10.1.1.1"}, b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x0a\1\1\1\x7f\0\0\1\0\1\0\2"),
        ({"version": 2}, b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"),
    ],
)
def test_headers_of_balancers(proxied: dict[str, object], header: bytes) -> None:
    case = parse_case({"steps": [{"send": {"listener": "proxied", "proxied": proxied}}]})
    step = case.steps[0]
    assert isinstance(step, SendStep)
    assert step.send.proxied is not None
    assert proxy_header(step.send.proxied) == header
