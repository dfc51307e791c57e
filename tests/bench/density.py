"""How many tenants one runtime holds, what waking an idle one costs, and what a greedy one does to its neighbours.

The runtime is the whole one, agent and engine, with one engine thread on core 0; only its control plane is made up.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from tests.bench.load import build_tools
from tests.bench.processes import BenchError
from tests.bench.report import machine, table, write_json
from tests.bench.scene import Bar, Scene, print_bars
from tests.bench.tenants import Shape

if TYPE_CHECKING:
    from pathlib import Path

_CHUNK = 500
_SETTLE_SECONDS = 3.0
_MOST_SECONDS = 60.0
_BURST_SECONDS = 1.0
_TOLERANCE = 0.02
_GREED = 10


@dataclass(frozen=True, slots=True)
class Plan:
    """How much: tenants that idle; tenants that work, how often each is asked per second, and how often it may be."""

    idle: int = 10_000
    active: int = 100
    rate: int = 50
    budget: int = 100
    rounds: int = 5
    seconds: float = 5.0

    def check(self) -> None:
        """Raises: BenchError: more than one machine should bear."""
        if not (2 * _CHUNK <= self.idle <= 50_000 and 2 <= self.active <= 1000 and 1 <= self.rounds <= 50):
            message = f"tenants {2 * _CHUNK} to 50000, active 2 to 1000, rounds 1 to 50"
            raise BenchError(message)
        if not 0.5 <= self.seconds <= _MOST_SECONDS:
            raise BenchError("seconds 0.5 to 60")


def run(plan: Plan, results: Path) -> dict[str, object]:
    """Measure, print and write density.json; returns the document."""
    plan.check()
    with Scene(build_tools()) as scene:
        closing, keeping = scene.backend(close=True), scene.backend()
        memory, kept = _fill(scene, plan, closing, keeping)
        waking = _wake(scene, 0, plan.idle - kept)
        waking_kept = _wake(scene, plan.idle - kept, kept)
        fairness = _greed(scene, plan, keeping)
        counters = scene.runtime.do("stats")
    bars = [
        Bar("RSS with all tenants idle", memory["rss_mb"], 1000, "MB"),
        Bar("first request, connection made: p50 of a warm one's", _ratio(waking, "p50"), 2, "x"),
        Bar("first request, connection made: p99 of a warm one's", _ratio(waking, "p99"), 2, "x"),
        Bar("first request, connection kept by the warm one: p50", _ratio(waking_kept, "p50"), 2, "x"),
        Bar("neighbours of a greedy tenant: p99 of the quiet one", fairness["p99_ratio"], 1.2, "x"),
        Bar("greedy tenant: answered of its budget", fairness["answered_of_budget"], 1 + _TOLERANCE, "x"),
    ]
    _print(plan, memory, waking, waking_kept, fairness)
    print_bars(bars)
    document: dict[str, object] = {
        "machine": machine(),
        "plan": asdict(plan),
        "memory": memory,
        "first_request_us": {"connection_made": waking, "connection_kept": waking_kept},
        "fairness": fairness,
        "counters": counters,
        "bars": [bar.document() for bar in bars],
    }
    write_json(results / "density.json", document)
    return document


def _fill(scene: Scene, plan: Plan, closing: int, keeping: int) -> tuple[dict[str, float], int]:
    """All idle tenants; what they weigh, and how many of the last ones have a backend that keeps connections."""
    kept = plan.idle // 10
    empty = scene.runtime.usage()
    seconds = scene.assign(0, plan.idle - kept, Shape(closing))
    seconds += scene.assign(plan.idle - kept, kept, Shape(keeping))
    filled = scene.runtime.usage()
    time.sleep(_SETTLE_SECONDS)
    resident = scene.runtime.usage().resident_bytes
    figures = {
        "load_seconds": round(seconds, 2),
        "load_cpu_seconds": round(filled.cpu_seconds - empty.cpu_seconds, 2),
        "empty_rss_mb": round(empty.resident_bytes / 1e6, 1),
        "rss_mb": round(resident / 1e6, 1),
        "kb_per_tenant": round((resident - empty.resident_bytes) / plan.idle / 1e3, 2),
    }
    return figures, kept


def _wake(scene: Scene, first: int, count: int) -> dict[str, dict[str, float]]:
    """Microseconds of first requests to `count` tenants and of as many to one that is awake, in turns, one after the other."""
    warm_one = first
    _answered(scene.ask(_MOST_SECONDS, first=warm_one, hosts=1, requests=_CHUNK, connections=1))
    cold: list[dict[str, float]] = []
    warm: list[dict[str, float]] = []
    for start in range(first + 1, first + count, _CHUNK):
        size = min(_CHUNK, first + count - start)
        cold.append(
            _answered(scene.ask(_MOST_SECONDS, first=start, hosts=size, requests=size, connections=1))["latency_us"]
        )
        warm.append(
            _answered(scene.ask(_MOST_SECONDS, first=warm_one, hosts=1, requests=size, connections=1))["latency_us"]
        )
    return {"first": _medians(cold), "warm": _medians(warm)}


def _greed(scene: Scene, plan: Plan, backend: int) -> dict[str, Any]:
    """Neighbours at a fixed rate beside a tenant that does as they do, and beside one at ten times its budget."""
    greedy, neighbours = plan.idle, plan.active - 1
    scene.assign(greedy, plan.active, Shape(backend, requests_per_second=plan.budget))
    quiet: list[float] = []
    loud: list[float] = []
    statuses: dict[str, int] = {}
    for number in range(2 * plan.rounds + 1):
        is_loud = number % 2 == 0 and number > 0
        rate = plan.budget * _GREED if is_loud else plan.rate
        other = scene.load(plan.seconds, first=greedy, hosts=1, connections=16, rate=rate)
        mine = scene.load(
            plan.seconds, first=greedy + 1, hosts=neighbours, connections=neighbours, rate=plan.rate * neighbours
        )
        told, answer = other.result(), _answered(mine.result())
        if number == 0:
            continue  # warms everything up
        (loud if is_loud else quiet).append(answer["latency_us"]["p99"])
        for status, count in told["statuses"].items() if is_loud else ():
            statuses[status] = statuses.get(status, 0) + count
    allowed = plan.budget * (plan.seconds + _BURST_SECONDS) * plan.rounds
    if set(statuses) != {"200", "429"}:
        message = f"the greedy tenant was answered {statuses}"
        raise BenchError(message)
    return {
        "quiet_p99_us": quiet,
        "greedy_p99_us": loud,
        "p99_ratio": round(statistics.median(loud) / statistics.median(quiet), 3),
        "greedy_statuses": statuses,
        "answered_of_budget": round(statuses["200"] / allowed, 3),
    }


def _answered(answer: dict[str, Any]) -> dict[str, Any]:
    if answer["unexpected"] or answer["failures"] or not answer["requests"]:
        message = f"not every request was answered with 200: {answer}"
        raise BenchError(message)
    return answer


def _medians(chunks: list[dict[str, float]]) -> dict[str, float]:
    return {
        name: round(statistics.median(chunk[name] for chunk in chunks), 1) for name in ("mean", "p50", "p90", "p99")
    }


def _ratio(figures: dict[str, dict[str, float]], name: str) -> float:
    return round(figures["first"][name] / figures["warm"][name], 3)


def _print(
    plan: Plan,
    memory: dict[str, float],
    waking: dict[str, dict[str, float]],
    waking_kept: dict[str, dict[str, float]],
    fairness: dict[str, Any],
) -> None:
    print(
        f"\ndensity: {plan.idle} idle tenants loaded in {memory['load_seconds']} s ({memory['load_cpu_seconds']} s CPU), "
        f"{memory['rss_mb']} MB RSS, {memory['kb_per_tenant']} KB each"
    )
    rows = [
        [f"{name}, {kind}", *(f"{figures[kind][share]:.0f}" for share in ("p50", "p90", "p99"))]
        for name, figures in (("connection made", waking), ("connection kept", waking_kept))
        for kind in ("first", "warm")
    ]
    print(table(["request", "p50 µs", "p90 µs", "p99 µs"], rows))
    print(f"greedy tenant: answers {fairness['greedy_statuses']}")
