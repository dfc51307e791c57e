"""`python -m tests.framing.run`: many streams through the engine and past the judges.

From the environment: COUNT streams (default 100,000), SEED (default: of the day), ONLY one family, JUDGES (default
`nginx,haproxy`; h11 always judges). What fails is made as small as it goes, printed, and added to the regression corpus.
Exit code 0: no disagreement; 1: some; 2: wrong settings.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.framing import answers, downgrade
from tests.framing.cross_talk import PLANS, TENANTS, UNRULY_PLANS, exchange
from tests.framing.cross_talk_http2 import call_all
from tests.framing.families import NAMES, stream
from tests.framing.gateway import gateway
from tests.framing.judges import judges
from tests.framing.recorder import Record, listen
from tests.framing.smaller import smaller
from tests.framing.trial import Bench, Tally, shorten

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

CORPUS: Final = Path(__file__).parents[1] / "corpus" / "framing_streams.json"
DOWNGRADES: Final = "http2-downgrade"
_LANES: Final = 32
_SHOWN: Final = 10


@dataclass(frozen=True, slots=True)
class Problem:
    """One stream that was read in two ways."""

    family: str
    number: int
    stream: bytes
    lines: list[str]


@dataclass(slots=True)
class Result:
    """What a run has found."""

    problems: list[Problem]
    tally: Tally
    missing: list[str]


@contextlib.asynccontextmanager
async def benches(wanted: tuple[str, ...]) -> AsyncGenerator[tuple[Bench, list[str]], None]:
    """An engine, its recorder and the judges; and the names of judges that are not installed."""
    record = Record(keeps_connections=True)
    server, upstream = await listen(record)
    with tempfile.TemporaryDirectory() as place, contextlib.closing(server):
        async with gateway(upstream) as port, judges(Path(place), wanted) as (found, missing):
            yield Bench(port, record, found), missing


def known_streams() -> list[bytes]:
    """The streams that were read in two ways once."""
    return [text.encode("latin-1") for text in json.loads(CORPUS.read_text())]


async def run(seed: int, count: int, wanted: tuple[str, ...], only: str = "") -> Result:
    """Play the corpus and `count` streams, and replay what reached the upstream."""
    problems: list[Problem] = []
    async with benches(wanted) as (bench, missing):
        numbers = iter(range(count))
        known = iter([] if only else known_streams())
        async with asyncio.TaskGroup() as lanes:
            for lane in range(1, _LANES + 1):
                lanes.create_task(_lane(bench, lane, _Work(seed, only, numbers, known), problems))
        problems.extend(await _replay(bench, "127.0.3.1"))
        problems.extend(
            Problem("recorder", 0, data, ["the upstream got something that is no request"])
            for data in bench.record.broken
        )
        for problem in problems[:3]:
            if problem.family in NAMES:
                small = await smaller(bench, problem.stream, "127.0.3.1")
                problem.lines.append(f"smallest stream: {small!r}")
                _keep(small)
        return Result(problems, bench.tally, missing)


@dataclass(frozen=True, slots=True)
class _Work:
    seed: int
    only: str
    numbers: Iterator[int]
    known: Iterator[bytes]


async def _lane(bench: Bench, lane: int, work: _Work, problems: list[Problem]) -> None:
    client = f"127.0.1.{lane}"
    for data in work.known:
        lines = await bench.check(data, client)
        if lines:
            problems.append(Problem("corpus", 0, data, lines))
    families = [*NAMES, DOWNGRADES]
    for number in work.numbers:
        family = work.only or families[number % len(families)]
        if family == DOWNGRADES:
            sent = downgrade.request(work.seed, number)
            data, lines = sent.stream, await bench.check_downgrade(sent, client)
        else:
            data = stream(work.seed, number, family)
            lines = await bench.check(data, client, 1 if number % 3 else 4)
        if lines:
            problems.append(Problem(family, number, data, lines))
        problems.extend(await _replay(bench, f"127.0.2.{lane}"))


async def _replay(bench: Bench, client: str) -> list[Problem]:
    """Has the judges read what ended connections to the upstream have carried."""
    problems: list[Problem] = []
    while bench.record.carried:
        carried = bench.record.carried.popleft()
        lines = await bench.replay(carried, client)
        if lines:
            problems.append(Problem("replay", 0, carried.data, lines))
    return problems


def _keep(small: bytes) -> None:
    known = [*json.loads(CORPUS.read_text())]
    text = small.decode("latin-1")
    if text not in known:
        CORPUS.write_text(json.dumps([*known, text], indent=1) + "\n")


def _number(name: str, usual: int) -> int:
    text = os.environ.get(name) or str(usual)
    if not text.isdecimal():
        print(f"{name}: not a number", file=sys.stderr)
        sys.exit(2)
    return int(text)


def main() -> None:
    """The command."""
    seed = _number("SEED", int(time.strftime("%Y%m%d")))
    count = _number("COUNT", 100_000)
    only = os.environ.get("ONLY", "")
    if only and only not in {*NAMES, DOWNGRADES}:
        print(f"ONLY: one of {', '.join([*NAMES, DOWNGRADES])}", file=sys.stderr)
        sys.exit(2)
    wanted = tuple(name for name in os.environ.get("JUDGES", "nginx,haproxy").split(",") if name)
    began = time.monotonic()
    result = asyncio.run(run(seed, count, wanted, only))
    crossed = [] if only else [_cross_talk(seed, count, plans) for plans in (PLANS, UNRULY_PLANS)]
    crossed += [] if only else [_calls(seed, count // 10), _answers(seed, count, wanted)]
    tally = result.tally
    for name in result.missing:
        print(f"skipped: {name} (not installed) judges nothing")
    for problem in result.problems[:_SHOWN]:
        print(f"\nSEED={seed} {problem.family} {problem.number}: {shorten(problem.stream, 1000)}")
        print("\n".join(f"  {line}" for line in problem.lines))
    print(
        f"\nSEED={seed}: {tally.streams} streams in {time.monotonic() - began:.0f} s; {tally.messages} requests forwarded, "
        f"{tally.refused} streams refused. The judges differ among themselves about {tally.split} streams, "
        f"of which the engine refused {tally.split_and_refused} and put the others into a form that all read alike."
    )
    for name, messages in tally.replayed.items():
        print(
            f"  {name}: read {messages} forwarded requests as they were meant, and took {tally.not_taken[name]} for none"
        )
    print(f"{len(result.problems)} disagreements")
    sys.exit(1 if result.problems or any(crossed) else 0)


def _calls(seed: int, count: int) -> int:
    findings = asyncio.run(call_all(seed, count))
    print(f"cross-talk over HTTP/2: {sum(findings.asked.values())} calls, {len(findings.problems)} strayed")
    print(
        "\n".join(f"  {problem[:500]}" for problem in findings.problems[:_SHOWN]), end="\n" if findings.problems else ""
    )
    return len(findings.problems)


def _answers(seed: int, count: int, wanted: tuple[str, ...]) -> int:
    tally = asyncio.run(answers.exchange(seed, count, wanted))
    refused = ", ".join(f"{name} {number}" for name, number in sorted(tally.refused_by.items()))
    print(
        f"hostile answers: {tally.answers}, of which the engine passed {tally.passed} on; refused or broken off by {refused}; "
        f"{len(tally.problems)} disagreements"
    )
    print("\n".join(f"  {problem[:700]}" for problem in tally.problems[:_SHOWN]), end="\n" if tally.problems else "")
    return len(tally.problems)


def _cross_talk(seed: int, count: int, plans: tuple[str, ...]) -> int:
    findings = asyncio.run(exchange(seed, count, plans))
    print(f"cross-talk: {sum(findings.asked.values())} requests of {TENANTS} tenants, {len(findings.problems)} strayed")
    print(
        "\n".join(f"  {problem[:500]}" for problem in findings.problems[:_SHOWN]), end="\n" if findings.problems else ""
    )
    return len(findings.problems)


if __name__ == "__main__":
    main()
