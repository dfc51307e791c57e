"""One stream through the engine and past the judges.

Three things are compared. What the engine forwards is what a strict reader finds in the stream, and where that reader
gives up the client is told so and the connection ends. What a judge finds in the same stream agrees with that, message
by message, as far as both read on. And what the engine has put on its upstream connections is read by every judge as
exactly the messages that the engine meant.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.framing import downgrade, strict
from tests.framing.families import LAST
from tests.framing.recorder import seen
from tests.framing.strict import Rest, Unreadable
from tests.framing.wire import talk

if TYPE_CHECKING:
    from tests.framing.downgrade import Downgrade
    from tests.framing.judges import Judge, Shape
    from tests.framing.recorder import Arrival, Carried, Record
    from tests.framing.strict import Answer, Message

_REFUSALS: Final = {400, 405, 413}
_LAST_SHAPE: Final = (b"GET", b"/last", b"")
# Targets that a gateway passes on as they are.
_PLAIN: Final = re.compile(rb"(?:/[A-Za-z0-9]+)+(?:\?[A-Za-z0-9/?=]*)?")


@dataclass(slots=True)
class Tally:
    """What happened, in numbers."""

    streams: int = 0
    messages: int = 0
    refused: int = 0
    split: int = 0
    split_and_refused: int = 0
    replayed: Counter[str] = field(default_factory=Counter)
    not_taken: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the engine did with a stream: what arrived, and the answer that ended the connection, if one did."""

    arrivals: list[Arrival]
    refusal: Answer | None


@dataclass(slots=True)
class Bench:
    """The engine with its recorder, and the judges."""

    port: int
    record: Record
    judges: list[Judge]
    tally: Tally = field(default_factory=Tally)

    async def check(self, stream: bytes, client: str, pieces: int = 1) -> list[str]:
        """What is wrong with how a stream is read; `client` is the address to send it from.

        `pieces` is in how many writes it is sent.
        """
        expected, rest = strict.requests(stream)
        try:
            outcome = await self._play(stream, client, pieces, expected, rest)
        except _OddError as odd:
            return [str(odd)]
        problems = _judge(outcome, expected, rest)
        self.tally.streams += 1
        self.tally.messages += len(outcome.arrivals)
        self.tally.refused += outcome.refusal is not None
        readings = await asyncio.gather(*(judge.read(stream, client) for judge in self.judges))
        views = [_view(reading.shapes) for reading in readings]
        engine = _view([arrival.message.shape for arrival in outcome.arrivals])
        if any(len(view) != len(views[0]) or not _agree(view, views[0]) for view in views):
            self.tally.split += 1
            self.tally.split_and_refused += outcome.refusal is not None
        for judge, reading, view in zip(self.judges, readings, views, strict=True):
            if not reading.ended:
                problems.append(f"{judge.name} keeps the connection open")
            if not _agree(view, engine):
                problems.append(f"{judge.name} reads {_shown(view)}; the engine {_shown(engine)}")
            elif len(view) > len(engine) and outcome.refusal is None and rest is not Rest.CLOSED:
                problems.append(
                    f"{judge.name} reads on, to {_shown(view)}; the engine stops after {_shown(engine)} without a refusal"
                )
        return problems

    async def _play(self, stream: bytes, client: str, pieces: int, expected: list[Message], rest: Rest) -> Outcome:
        self.record.take(client)
        methods = [message.method for message in expected]

        def finished(data: bytes) -> bool:
            # A stream that breaks off is ended once all that is whole has been answered.
            return rest is Rest.PART and len(_answers(data, methods, ended=False)) >= len(expected)

        size = -(-len(stream) // pieces)
        cut = [stream[start : start + size] for start in range(0, len(stream), size)]
        data, ended = await talk(self.port, client, cut, finished)
        arrivals = self.record.take(client)
        if not ended:
            msg = f"the engine keeps the connection open after {shorten(data, 400)}"
            raise _OddError(msg)
        answers = _answers(data, methods, ended=True)
        numbers = [seen(answer) for answer in answers]
        passed = [number for number in numbers if number is not None]
        if passed != [arrival.serial for arrival in arrivals][: len(passed)]:
            msg = f"answers {passed} to requests {[arrival.serial for arrival in arrivals]}"
            raise _OddError(msg)
        if len(passed) < len(arrivals) and rest is not Rest.PART:
            msg = f"{len(arrivals)} requests arrived, {len(passed)} were answered"
            raise _OddError(msg)
        own = [answer for answer, number in zip(answers, numbers, strict=True) if number is None]
        refusal = own[-1] if own and own[-1] is answers[-1] and own[-1].closes else None
        return Outcome(arrivals, refusal)

    async def check_downgrade(self, sent: Downgrade, client: str) -> list[str]:
        """What is wrong with how one HTTP/2 request is written as HTTP/1."""
        self.record.take(client)
        data, ended = await talk(self.port, client, [sent.stream], lambda data: downgrade.reply(data).over)
        arrivals = self.record.take(client)
        answer = downgrade.reply(data)
        passed = answer.status == 200
        self.tally.streams += 1
        self.tally.messages += len(arrivals)
        self.tally.refused += not passed
        if not ended:
            return [f"the engine keeps the connection open after {shorten(data, 400)}"]
        if len(arrivals) > 1 or (passed and not arrivals):
            return [f"one HTTP/2 request, {len(arrivals)} in HTTP/1; the answer is {answer.status}"]
        if not passed:
            return []
        method, target, body = arrivals[0].message.shape
        # Several of one kind are refused; where fragments of the block hide that, the first counts and no other is passed on.
        several = len(sent.methods) > 1 or len(sent.paths) > 1
        if sent.methods == (b"CONNECT",) and method == b"GET":
            # A WebSocket is asked for with CONNECT in HTTP/2 and with GET in HTTP/1; what follows waits until it is granted.
            return [] if not body else [f"a tunnel that was not granted carries {body!r}"]
        wrong = sent.methods[:1] != (method,) or body != sent.body or not sent.paths or (several and not sent.fragments)
        if wrong or (_PLAIN.fullmatch(sent.paths[0]) and target != sent.paths[0]):
            return [f"{sent.methods} {sent.paths} {sent.body!r} became {_shown([arrivals[0].message.shape])}"]
        return []

    async def replay(self, carried: Carried, client: str) -> list[str]:
        """What is wrong with how the judges read what one upstream connection has carried."""
        problems: list[str] = []
        for judge in self.judges:
            arrivals, start = carried.arrivals, 0
            while arrivals:
                shapes = [*(arrival.message.shape for arrival in arrivals), _LAST_SHAPE]
                reading = await judge.read(carried.data[start:] + LAST, client)
                count = len(reading.shapes)
                if reading.shapes == shapes:
                    self.tally.replayed[judge.name] += len(arrivals)
                    break
                if not reading.ended or reading.shapes != shapes[:count] or count == len(arrivals):
                    data = carried.data[start:]
                    problems.append(
                        f"{judge.name} reads {_shown(reading.shapes)} in what the engine forwarded: {shorten(data, 2000)}"
                    )
                    break
                # It takes this message for none at all, and ends the connection: nothing can follow from that.
                self.tally.replayed[judge.name] += count
                self.tally.not_taken[judge.name] += 1
                start, arrivals = arrivals[count].message.end, arrivals[count + 1 :]
        return problems


class _OddError(Exception):
    """The engine did something that no stream accounts for."""


def _answers(data: bytes, methods: list[bytes], *, ended: bool) -> list[Answer]:
    """The final answers in what a client got, as far as they are whole."""
    found: list[Answer] = []
    start = 0
    while True:
        known = methods[len(found) : len(found) + 1]
        try:
            answer = _answer(data, start, known[0] if known else b"", ended=ended)
        except Unreadable as gap:
            if gap.rest is Rest.GARBAGE:
                msg = f"no response: {shorten(data[start:], 400)}"
                raise _OddError(msg) from None
            return found
        start = answer.end
        if answer.status >= 200:
            found.append(answer)


def _answer(data: bytes, start: int, method: bytes, *, ended: bool) -> Answer:
    try:
        return strict.response(data, start, method, ended=ended)
    except Unreadable as gap:
        # What nobody could read may have been meant as a HEAD; then its answer has a length and no body.
        if method or not ended or gap.rest is not Rest.PART:
            raise
        return strict.response(data, start, b"HEAD", ended=ended)


def _shown(shapes: list[Shape]) -> str:
    """Requests in few words."""
    return (
        ", ".join(f"{shorten(method)} {shorten(target)} {shorten(body)}" for method, target, body in shapes)
        or "nothing"
    )


def shorten(data: bytes, most: int = 60) -> str:
    """Bytes as text that fits on a line."""
    return repr(data)[1:] if len(data) <= most else f"{data[: most // 2]!r}…{len(data) - most}…{data[-most // 2 :]!r}"


def _view(shapes: list[Shape]) -> list[Shape]:
    """Requests without the targets that a gateway may write differently."""
    return [(method, target if _PLAIN.fullmatch(target) else b"", body) for method, target, body in shapes]


def _agree(one: list[Shape], other: list[Shape]) -> bool:
    """Whether two readers see the same as far as both read."""
    return all(
        mine[0] == theirs[0] and mine[2] == theirs[2] and (mine[1] == theirs[1] or not mine[1] or not theirs[1])
        for mine, theirs in zip(one, other, strict=False)
    )


def _judge(outcome: Outcome, expected: list[Message], rest: Rest) -> list[str]:
    arrived = _view([arrival.message.shape for arrival in outcome.arrivals])
    meant = _view([message.shape for message in expected])
    refused = outcome.refusal is not None
    if refused and outcome.refusal is not None and outcome.refusal.status not in _REFUSALS | {404, 408}:
        return [f"an odd refusal: {outcome.refusal.status}"]
    if len(arrived) > len(meant) or not _agree(arrived, meant):
        return [f"the engine forwarded {_shown(arrived)}; a strict reader finds {_shown(meant)}, then {rest.value}"]
    complete = len(arrived) == len(meant)
    right = {
        Rest.GARBAGE: refused,
        # How much of a beginning is needed to tell that it will never be a request is the reader's own affair.
        Rest.PART: complete or refused,
        Rest.NOTHING: complete or refused,
        Rest.CLOSED: complete or refused,
    }[rest]
    if right:
        return []
    return [
        f"the engine forwarded {_shown(arrived)} and then refused: {refused}; a strict reader finds {_shown(meant)}, then {rest.value}"
    ]
