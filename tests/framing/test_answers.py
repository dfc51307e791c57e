"""Some thousands of nearly-HTTP answers through the real engine, judged by h11 and the strict reader."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from tests.framing import answers, responses
from tests.framing.answers import Seen, exchange, got, h11_got, meant
from tests.framing.responses import FAMILIES, NAMES, SURPLUS, HostileAnswer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

SEED = 20_261_129
COUNT = 3000


def test_everyone_reads_what_the_engine_passes_on_in_the_same_way() -> None:
    tally = asyncio.run(exchange(SEED, COUNT, wanted=()))

    assert not tally.problems, "\n".join(tally.problems[:10])
    # Answers that are all refused at once would show nothing, nor would connections that never go on.
    assert tally.answers == COUNT
    assert COUNT // 4 < tally.passed < COUNT * 3 // 4
    assert tally.seconds > COUNT // 2


def test_a_gateway_that_passes_anything_on_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextlib.asynccontextmanager
    async def none(upstream: int) -> AsyncGenerator[int, None]:
        yield upstream  # the client asks the upstream itself

    monkeypatch.setattr(answers, "gateway", none)
    tally = asyncio.run(exchange(SEED, 300, wanted=()))

    assert len(tally.problems) > 50
    assert any("the next request got" in problem for problem in tally.problems)


def test_answers_can_be_made_again_and_differ() -> None:
    assert responses.answer(1, 7, "lengths") == responses.answer(1, 7, "lengths")
    for family in FAMILIES:
        assert len({responses.answer(SEED, number, family).data for number in range(100)}) > 10, family
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize(
    ("method", "data", "expected"),
    [
        (b"GET", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" + SURPLUS, Seen(200, b"ok", whole=True)),
        (b"GET", b"HTTP/1.1 103 x\r\n\r\nHTTP/1.1 404 x\r\n\r\nall", Seen(404, b"all", whole=True)),
        (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Seen(200, b"", whole=True)),
        (b"GET", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", Seen(1)),
        (b"GET", b"HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\nok", None),
        (b"GET", b"HTTP/1.1 101 x\r\n\r\n", None),
    ],
)
def test_what_an_answer_means(method: bytes, data: bytes, expected: Seen | None) -> None:
    assert meant(HostileAnswer(method, data, closes=True)) == expected


def test_what_a_client_gets() -> None:
    both = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na" + SURPLUS
    assert got(both, b"GET") == (Seen(200, b"a", whole=True), Seen(200, b"surplus", whole=True))
    assert got(both[:-3], b"GET") == (Seen(200, b"a", whole=True), Seen(1))
    assert got(b"", b"GET") == (Seen(), Seen())
    assert h11_got(both, b"GET") == Seen(200, b"a", whole=True)
    assert h11_got(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\na", b"GET") == Seen(1)
    assert h11_got(b"ICY 200 OK\r\n\r\n", b"GET") is None
