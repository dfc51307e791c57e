"""`python -m tests.bench.soak --seconds 600`: a runtime under everything at once, watched for growth.

Exits with 1 when anything grows beyond its bound after the warm-up, when well-behaved requests fail, or when the engine panics.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import statistics
import sys
import time
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.bench.load import build_tools
from tests.bench.nuisance import NUISANCES, Backend
from tests.bench.processes import BenchError, free_ports
from tests.bench.report import machine, table, write_json
from tests.bench.scene import Scene
from tests.bench.tenants import HOSTS, Shape

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

RESULTS = Path(__file__).parents[2] / "bench-results"
_SAMPLE_SECONDS = 2.0
_WARM_UP_SECONDS = (75.0, 150.0)
_WARM_UP_SHARE = 0.25
"""So much of the whole, within these: an idle connection to an upstream may stay for a minute, so fewer than 75 s show pools that fill."""
_PIECE_SECONDS = 5.0
_DRAIN_SECONDS = 5.0
# Tenants by number.
_STEADY, _DYING, _NUISANCE, _CHURNED, _PASSING = range(20), range(20, 25), range(30, 31), range(40, 60), 1000
_PASSING_AT_ONCE = 20
_PASSING_SECONDS = 3.0
BOUNDS = {
    "rss_mb": (4.0, 0.03),
    "descriptors": (8.0, 0.03),
    "threads": (1.0, 0.0),
    "agent_tasks": (4.0, 0.0),
    "connections_open": (8.0, 0.03),
    "upstream_connections_open": (8.0, 0.03),
    "buffered_bytes": (65536.0, 0.0),
}
"""What a figure may grow by in the whole time after the warm-up: so much, or that share of it if that is more."""


@dataclass(slots=True)
class Watch:
    """Samples: seconds since the beginning, and figures by name."""

    samples: list[tuple[float, dict[str, float]]] = field(default_factory=list)

    def growth(self, name: str, since: float) -> tuple[float, float]:
        """How much a figure grew after `since`, and its median: the slope is the median over all pairs (Theil and Sen)."""
        points = [(at, figures[name]) for at, figures in self.samples if at >= since]
        slopes = [(later - earlier) / (end - start) for (start, earlier), (end, later) in combinations(points, 2)]
        return statistics.median(slopes) * (points[-1][0] - points[0][0]), statistics.median(v for _, v in points)


@dataclass(frozen=True, slots=True)
class Verdict:
    """One figure: its median, what it grew by, and the most that it may."""

    name: str
    median: float
    grew: float
    most: float

    @property
    def met(self) -> bool:
        """Whether it kept within."""
        return self.grew <= self.most


def judge(watch: Watch, since: float) -> list[Verdict]:
    """Every figure that has a bound."""
    verdicts: list[Verdict] = []
    for name, (least, share) in BOUNDS.items():
        grew, median = watch.growth(name, since)
        verdicts.append(Verdict(name, round(median, 2), round(grew, 2), round(max(least, share * median), 2)))
    return verdicts


class Soak:
    """Everything that goes on, until `end`."""

    def __init__(self, scene: Scene, seconds: float) -> None:
        self._scene = scene
        self._begun = time.monotonic()
        self._end = self._begun + seconds
        self._commands = asyncio.Lock()
        self.watch = Watch()
        self.wrong: list[str] = []
        self.counts: dict[str, int] = {}

    @property
    def _goes_on(self) -> bool:
        return time.monotonic() < self._end

    async def run(self) -> None:
        """All of it at once."""
        keeping = self._scene.backend()
        (mortal,) = free_ports(1)
        async with Backend() as odd:
            for numbers, shape in (
                (_STEADY, Shape(keeping)),
                (_DYING, Shape(mortal)),
                (_NUISANCE, Shape(odd.port)),
                (_CHURNED, Shape(keeping, spare_routes=50)),
            ):
                await asyncio.to_thread(self._scene.assign, numbers.start, len(numbers), shape)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._traffic("HTTP/1.1", _STEADY, connections=16, rate=200))
                group.create_task(self._traffic("churned", _CHURNED, connections=8, rate=100))
                group.create_task(self._traffic("HTTPS", _STEADY[:1], connections=8, rate=50, tls=1))
                group.create_task(self._http2())
                group.create_task(self._traffic("dying", _DYING, connections=8, rate=50, may_fail=True))
                group.create_task(self._kill_and_revive(mortal))
                group.create_task(self._pass_through(keeping))
                group.create_task(self._change())
                group.create_task(self._watch())
                for name, nuisance in NUISANCES.items():
                    group.create_task(self._again(name, 0.1, nuisance))

    async def _do(self, what: str, **arguments: object) -> dict[str, Any]:
        async with self._commands:
            return await asyncio.to_thread(self._scene.runtime.do, what, **arguments)

    async def _traffic(
        self, name: str, numbers: Sequence[int], *, connections: int, rate: int, tls: int = 0, may_fail: bool = False
    ) -> None:
        """One generator after the other, so that client connections come and go."""
        while self._goes_on:
            load = self._scene.load(
                _PIECE_SECONDS, first=numbers[0], hosts=len(numbers), connections=connections, rate=rate, tls=tls
            )
            self._note(name, await asyncio.to_thread(load.result), may_fail=may_fail)

    async def _http2(self) -> None:
        while self._goes_on:
            load = self._scene.streams(0.25, _STEADY[1])
            self._note("HTTP/2", await asyncio.to_thread(load.result), may_fail=False)
            await asyncio.sleep(2.0)

    def _note(self, name: str, report: dict[str, Any], *, may_fail: bool) -> None:
        self.counts[name] = self.counts.get(name, 0) + report["requests"]
        if not may_fail and (report["unexpected"] or report["failures"]):
            self.wrong.append(f"{name}: {report}")

    async def _kill_and_revive(self, port: int) -> None:
        while self._goes_on:
            with contextlib.ExitStack() as life:
                await asyncio.to_thread(self._scene.backend_at, port, life)
                await asyncio.sleep(4.0)
            await asyncio.sleep(1.0)
            self.counts["backends killed"] = self.counts.get("backends killed", 0) + 1

    async def _pass_through(self, backend: int) -> None:
        """Tenants that come, are asked, and go; each time others. What they leave behind are idle connections."""
        first, due = _PASSING, self._begun
        while self._goes_on:
            # At fixed times: how many idle connections there are follows from it.
            due += _PASSING_SECONDS
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            await self._do("assign", first=first, count=_PASSING_AT_ONCE, shape=Shape(backend).document())
            load = self._scene.load(
                10, first=first, hosts=_PASSING_AT_ONCE, connections=2, requests=_PASSING_AT_ONCE * 2
            )
            self._note("passing", await asyncio.to_thread(load.result), may_fail=False)
            await self._do("remove", first=first, count=_PASSING_AT_ONCE)
            first += _PASSING_AT_ONCE

    async def _change(self) -> None:
        changes = 0
        while self._goes_on:
            await self._do("churn_begin", first=_CHURNED.start, count=len(_CHURNED), rate=20)
            await asyncio.sleep(min(60.0, max(1.0, self._end - time.monotonic())))
            changes += (await self._do("churn_end"))["changes"]
        self.counts["changes"] = changes

    async def _again(self, name: str, pause: float, nuisance: Callable[[int, str], Awaitable[None]]) -> None:
        host = HOSTS.format(_NUISANCE.start)
        while self._goes_on:
            try:
                await asyncio.wait_for(nuisance(self._scene.port, host), 10)
            except TimeoutError:
                self.wrong.append(f"{name}: no answer within 10 s")
            except (OSError, EOFError):
                self.counts[f"{name}, cut"] = self.counts.get(f"{name}, cut", 0) + 1
            self.counts[name] = self.counts.get(name, 0) + 1
            await asyncio.sleep(pause)

    async def _watch(self) -> None:
        while self._goes_on:
            await self.sample()
            await asyncio.sleep(_SAMPLE_SECONDS)

    async def sample(self) -> dict[str, float]:
        """Take one; figures by name."""
        stats = await self._do("stats")
        holdings = self._scene.runtime.holdings()
        figures = {name: float(value) for name, value in stats.items() if isinstance(value, int)}
        figures |= {
            "rss_mb": self._scene.runtime.usage().resident_bytes / 1e6,
            "descriptors": float(holdings.descriptors),
            "threads": float(holdings.threads),
        }
        self.watch.samples.append((time.monotonic() - self._begun, figures))
        return figures


def run(seconds: float, results: Path) -> int:
    """Soak, print and write soak.json; the exit status."""
    if not 120 <= seconds <= 86_400:
        raise BenchError("seconds 120 to 86400")
    with Scene(build_tools(), threads=2, sheds=True) as scene:
        soak = Soak(scene, seconds)
        asyncio.run(soak.run())
        time.sleep(_DRAIN_SECONDS)
        last = asyncio.run(soak.sample())
        soak.watch.samples.pop()  # of another kind: nobody asks any more
    warm_up = min(max(seconds * _WARM_UP_SHARE, _WARM_UP_SECONDS[0]), _WARM_UP_SECONDS[1])
    verdicts = judge(soak.watch, warm_up)
    problems = [f"{one.name} grew by {one.grew}" for one in verdicts if not one.met]
    problems += soak.wrong[:10]
    problems += [f"{last['panics_total']:.0f} panics"] if last["panics_total"] else []
    problems += [f"{last['connections_open']:.0f} connections stay open"] if last["connections_open"] else []
    print(f"\nsoak: {seconds:g} s, the first {warm_up:g} s to warm up; {json.dumps(soak.counts)}")
    rows = [
        [one.name, f"{one.median:,.1f}", f"{one.grew:+,.2f}", f"{one.most:,.2f}", "met" if one.met else "MISSED"]
        for one in verdicts
    ]
    print(table(["", "median", "grew by", "at most", ""], rows))
    for problem in problems:
        print(f"soak: {problem}", file=sys.stderr)
    document = {
        "machine": machine(),
        "seconds": seconds,
        "warm_up_seconds": warm_up,
        "counts": soak.counts,
        "growth": {one.name: {"median": one.median, "grew": one.grew, "most": one.most} for one in verdicts},
        "afterwards": last,
        "problems": problems,
        "samples": [{"at": round(at, 1)} | figures for at, figures in soak.watch.samples],
    }
    write_json(results / "soak.json", document)
    return 1 if problems else 0


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    options = parser.parse_args(words)
    try:
        return run(options.seconds, RESULTS)
    except BenchError as error:
        print(f"soak: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
