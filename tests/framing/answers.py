"""Hostile answers through the engine: whoever reads them must find the same one, and the next request gets its own.

The upstream answers each first request with bytes that are nearly HTTP, each second one soundly. Compared are a strict reader
of what the upstream has sent, the other proxies in front of the same upstream, and h11, as a client, of what the engine makes
of it. The engine may give its own error, or break off; it may not pass on another answer than the others do, tell a part as the
whole, or take the rest of one answer for the next.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import h11

from tests.framing import strict
from tests.framing.gateway import gateway
from tests.framing.judges import proxies
from tests.framing.responses import NAMES, answer
from tests.framing.strict import Rest, Unreadable
from tests.framing.wire import talk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.framing.responses import HostileAnswer

_LANES: Final = 16
_SILENCE_SECONDS: Final = 0.05
_TARGET: Final = re.compile(rb"/(first|second)/([0-9]+)")
_TAB_AFTER_LENGTH: Final = re.compile(rb"content-length *:[^\r\n]*\t *\r?\n", re.IGNORECASE)
_OWN_ERRORS: Final = 500
_SWITCHED: Final = 101


@dataclass(frozen=True, slots=True)
class Seen:
    """An answer as a client got it: a final status, its body, and whether the body is whole; status 0: none."""

    status: int = 0
    body: bytes = b""
    whole: bool = False

    @property
    def passed(self) -> bool:
        """Whether a client takes it for the upstream's whole answer."""
        return self.whole and self.status < _OWN_ERRORS


@dataclass(slots=True)
class AnswerTally:
    """What happened, in numbers: answers, those that the engine passed on whole, and those that others refused or cut."""

    answers: int = 0
    passed: int = 0
    seconds: int = 0
    refused_by: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


class Upstream(asyncio.Protocol):
    """One connection: the first kind of request gets the bytes of its number, the second a sound answer."""

    def __init__(self, answers: dict[int, HostileAnswer]) -> None:
        self._answers = answers
        self._data = b""
        self._transport: asyncio.Transport | None = None
        self._silence: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        if self._silence is not None:
            self._silence.cancel()
        self._data += data
        with contextlib.suppress(Unreadable):
            while not self._transport.is_closing():
                message = strict.request(self._data, 0, 128 * 1024, 2000)
                self._data = self._data[message.end :]
                self._reply(self._transport, message.target)
        # Nobody waits for ever for what does not come.
        self._silence = asyncio.get_running_loop().call_later(_SILENCE_SECONDS, self._transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._silence is not None:
            self._silence.cancel()

    def _reply(self, transport: asyncio.Transport, target: bytes) -> None:
        match = _TARGET.fullmatch(target)
        assert match is not None, target
        if match[1] == b"second":
            transport.write(_second(int(match[2])))
            return
        hostile = self._answers[int(match[2])]
        transport.write(hostile.data)
        if hostile.closes:
            transport.close()


def _second(number: int) -> bytes:
    body = b"second %d" % number
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def _asked(method: bytes, number: int) -> bytes:
    length = b"Content-Length: 0\r\n" if method == b"POST" else b""
    first = method + b" /first/%d HTTP/1.1\r\nHost: a\r\n" % number + length + b"\r\n"
    return first + b"GET /second/%d HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % number


def meant(hostile: HostileAnswer) -> Seen | None:
    """What a strict reader makes of it; None where it is no answer at all."""
    start = 0
    while True:
        try:
            found = strict.response(hostile.data, start, hostile.method, ended=True)
        except Unreadable as gap:
            return None if gap.rest is Rest.GARBAGE else Seen(1, b"", whole=False)
        start = found.end
        if found.status == _SWITCHED:
            return None
        if found.status >= 200:
            return Seen(found.status, found.body, whole=True)


def got(data: bytes, method: bytes) -> tuple[Seen, Seen]:
    """The answers to both requests in what a client has received.

    Raises: Unreadable: it is no HTTP.
    """
    found: list[Seen] = []
    start = 0
    while len(found) < 2:
        try:
            one = strict.response(data, start, b"GET" if found else method, ended=True)
        except Unreadable as gap:
            if gap.rest is Rest.GARBAGE:
                raise
            found.append(Seen(1 if gap.rest is Rest.PART else 0))
            break
        start = one.end
        if one.status >= 200:
            found.append(Seen(one.status, one.body, whole=True))
            if one.closes:
                break
    return found[0], found[1] if len(found) > 1 else Seen()


def h11_got(data: bytes, method: bytes) -> Seen | None:
    """The first answer as h11 reads it, as a client; None if it takes it for none."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=400_000)
    length = [("Content-Length", "0")] if method == b"POST" else []
    connection.send(h11.Request(method=method, target="/", headers=[("Host", "a"), *length]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(data)
    connection.receive_data(b"")
    status, body = 0, bytearray()
    while True:
        try:
            event = connection.next_event()
        except h11.RemoteProtocolError:
            return Seen(1) if status else None
        if isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            return Seen(status, bytes(body), whole=True)
        elif not isinstance(event, h11.InformationalResponse):
            return None


@dataclass(frozen=True, slots=True)
class _Trial:
    port: int
    others: dict[str, int]
    answers: dict[int, HostileAnswer]
    tally: AnswerTally

    async def check(self, hostile: HostileAnswer, number: int) -> list[str]:
        """What is wrong with how one answer is passed on."""
        self.answers[number] = hostile
        asked = _asked(hostile.method, number)
        ports = [self.port, *self.others.values()]
        texts = await asyncio.gather(*(talk(port, "127.0.0.1", [asked], _never) for port in ports))
        del self.answers[number]
        (data, ended), *others = texts
        if not ended:
            return [f"the engine keeps the connection open after {data[:300]!r}"]
        try:
            first, second = got(data, hostile.method)
        except Unreadable as gap:
            return [f"the engine sends what is no HTTP ({gap}): {data[:300]!r}"]
        self.tally.answers += 1
        self.tally.passed += first.passed
        problems = [*_second_problems(second, number), *_first_problems(first, meant(hostile))]
        self.tally.seconds += second.passed
        mine = h11_got(data, hostile.method)
        if first.passed and mine != first:
            problems.append(f"h11 reads {mine} in what the engine passes on: {data[:300]!r}")
        theirs = {name: _seen(name, text, hostile) for name, (text, _) in zip(self.others, others, strict=True)}
        theirs["h11"] = h11_got(hostile.data, hostile.method)
        for name, seen in theirs.items():
            if seen is None or not seen.passed:
                self.tally.refused_by[name] += 1
            elif first.passed and seen != first:
                problems.append(f"{name} reads {seen}, the engine {first}")
        return problems


def _never(_: bytes) -> bool:
    return False


def _seen(name: str, data: bytes, hostile: HostileAnswer) -> Seen | None:
    if name == "nginx" and (data.startswith(b"HTTP/1.1 1") or _TAB_AFTER_LENGTH.search(hostile.data)):
        return None  # it takes an interim answer for the final one, and a tab behind a length for a part of it
    try:
        return got(data, hostile.method)[0]
    except Unreadable:
        return None


def _second_problems(second: Seen, number: int) -> Iterator[str]:
    if second.passed and (second.status, second.body) != (200, b"second %d" % number):
        yield f"the next request got {second}"


def _first_problems(first: Seen, expected: Seen | None) -> Iterator[str]:
    if expected is None:
        return  # then the others say what may be read in it
    if first.passed and first != expected:
        yield f"the engine passes on {first}; a strict reader finds {expected}"
    if expected.whole and first.status and not first.whole:
        yield f"the engine breaks off what a strict reader finds whole: {expected}"


async def exchange(seed: int, count: int, wanted: tuple[str, ...], only: str = "") -> AnswerTally:
    """So many hostile answers; the proxies that are wanted and installed judge, and h11 always."""
    tally = AnswerTally()
    answers: dict[int, HostileAnswer] = {}
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Upstream(answers), "127.0.0.1", 0, backlog=1024)
    upstream: int = server.sockets[0].getsockname()[1]
    with tempfile.TemporaryDirectory() as place:
        async with server, gateway(upstream) as port, proxies(Path(place), wanted, upstream) as (others, tally.missing):
            trial = _Trial(port, others, answers, tally)
            numbers = iter(range(count))

            async def lane() -> None:
                for number in numbers:
                    family = only or NAMES[number % len(NAMES)]
                    hostile = answer(seed, number, family)
                    for line in await trial.check(hostile, number):
                        tally.problems.append(f"{family} {number}: {line}; {hostile.method!r} {hostile.data[:300]!r}")

            async with asyncio.TaskGroup() as lanes:
                for _ in range(_LANES):
                    lanes.create_task(lane())
    return tally
