"""Some thousands of nearly-HTTP streams through the real engine, judged by h11 and the strict reader."""

from __future__ import annotations

import asyncio

import pytest

from tests.framing import downgrade, families
from tests.framing.families import FAMILIES, LAST, NAMES
from tests.framing.judges import Judge, read_requests
from tests.framing.recorder import Record, listen
from tests.framing.run import DOWNGRADES, benches, run
from tests.framing.strict import Rest, requests
from tests.framing.trial import Bench

SEED = 20_261_123
COUNT = 6000


def test_everyone_reads_what_the_engine_forwards_in_the_same_way() -> None:
    result = asyncio.run(run(SEED, COUNT, wanted=()))

    shown = [f"{problem.family} {problem.number}: {problem.lines}" for problem in result.problems]
    assert not shown, "\n".join(shown[:10])
    # Streams that are all refused at once would show nothing.
    assert result.tally.messages > COUNT // 2
    assert result.tally.refused > COUNT // 4
    assert result.tally.replayed["h11"] > result.tally.messages // 2


def test_streams_can_be_made_again() -> None:
    for number, family in enumerate(NAMES):
        assert families.stream(1, number, family) == families.stream(1, number, family)
        assert families.stream(1, number, family).endswith(LAST)
    assert downgrade.request(1, 7) == downgrade.request(1, 7)


def test_families_differ_within_and_together_cover_every_end() -> None:
    ends: set[Rest] = set()
    for family in FAMILIES:
        streams = {families.stream(SEED, number, family) for number in range(100)}
        assert len(streams) > 50, family
        ends.update(requests(stream)[1] for stream in streams)
    assert ends == {Rest.CLOSED, Rest.GARBAGE, Rest.PART}


@pytest.mark.parametrize(
    ("stream", "found", "rest"),
    [
        (b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n", [(b"GET", b"/a", b"")], Rest.NOTHING),
        (b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nokG", [(b"POST", b"/a", b"ok")], Rest.PART),
        (b"PUT /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;x\r\nok\r\n0\r\nT: 1\r\n\r\n", [(b"PUT", b"/a", b"ok")], Rest.NOTHING),
        (b"GET http://a/b HTTP/1.1\r\nHost: A\r\nConnection: close\r\n\r\nGET", [(b"GET", b"/b", b"")], Rest.CLOSED),
        (b"GET /a HTTP/1.1\nHost: a\r\n\r\n", [], Rest.GARBAGE),
        (b"GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", [], Rest.GARBAGE),
        (b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\nok", [], Rest.GARBAGE),
    ],
)  # fmt: skip
def test_the_strict_reader(stream: bytes, found: list[tuple[bytes, bytes, bytes]], rest: Rest) -> None:
    messages, after = requests(stream)

    assert [message.shape for message in messages] == found
    assert after is rest


def test_h11_reads_all_of_a_stream() -> None:
    assert read_requests(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok" + LAST) == [
        (b"POST", b"/a", b"ok"),
        (b"GET", b"/last", b""),
    ]


def test_a_disagreement_is_noticed() -> None:
    async def play() -> list[str]:
        async def hears_nothing(stream: bytes, client: str) -> object:
            del client
            return type("Reading", (), {"shapes": read_requests(stream.replace(b"hello", b"Hello")), "ended": True})()

        async with benches(()) as (bench, _):
            bench.judges.append(Judge("deaf", hears_nothing))  # type: ignore[arg-type]
            return await bench.check(
                b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello" + LAST, "127.0.1.1"
            )

    (problem,) = asyncio.run(play())
    assert problem.startswith("deaf reads ")


def test_a_gateway_that_forwards_anything_is_noticed() -> None:
    smuggling = (
        b"POST /a HTTP/1.1\r\nHost: a\r\nX-Real-IP: 127.0.1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        + LAST
    )

    async def play() -> list[str]:
        record = Record()
        server, port = await listen(record)
        try:
            # The upstream itself stands for a gateway that passes on whatever it gets.
            return await Bench(port, record, []).check(smuggling, "127.0.1.1")
        finally:
            server.close()

    assert asyncio.run(play())


def test_names_of_families_are_unique() -> None:
    assert len({*NAMES, DOWNGRADES}) == len(NAMES) + 1
