"""What each plugin adds to a request: CPU time of the engine, less that of the same request without the plugin.

One engine has a route for each plugin. Within a round all routes are asked in turn, so that each plugin is compared with
its neighbour in time; the median of the rounds counts.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.load import ROOT, build_tools, run_load
from tests.bench.plugin_jobs import BARE, JOBS, chain
from tests.bench.processes import OTHER_CORE, PROXY_CORE, BenchError, Pinned, free_ports
from tests.bench.report import machine, table, write_json
from tests.bench.rivals.job import HOST
from tests.bench.scene import Bar, print_bars

SIZES = (1_000, 10_000, 1_000_000)
"""Credentials of the tenant. There are a thousand consumers, each with a key, to begin with."""
_TARGET = "/items?id=42"
_WARM_UP_SECONDS = 0.3
_START_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to measure; empty `plugins` means all."""

    rounds: int = 11
    seconds: float = 0.5
    connections: int = 32
    sizes: tuple[int, ...] = SIZES
    plugins: tuple[str, ...] = ()

    def check(self) -> None:
        """Raises: BenchError: a plugin that there is no job for, or more than one machine should bear."""
        if unknown := set(self.plugins) - JOBS.keys():
            message = f"no job {', '.join(sorted(unknown))}; there are: {', '.join(JOBS)}"
            raise BenchError(message)
        if not (1 <= self.rounds <= 100 and 0.1 <= self.seconds <= 10 and 1 <= self.connections <= 1024):
            raise BenchError("rounds 1 to 100, seconds 0.1 to 10, connections 1 to 1024")

    @property
    def names(self) -> list[str]:
        """Jobs to measure, with those that they are compared with."""
        needed = set(self.plugins or JOBS)
        for name in [*needed]:
            while name != BARE:
                name = JOBS[name].over  # noqa: PLW2901 - up to the request without plugins
                needed.add(name)
        return [name for name in (BARE, *JOBS) if name in needed]


def run(plan: Plan, results: Path) -> dict[str, object]:
    """Measure, print and write plugins.json; returns the document."""
    plan.check()
    tool = build_tools()
    measured = {size: added(plan, _measure(plan, tool, size)) for size in plan.sizes}
    head = ["plugin, over", *(f"{size:,} credentials" for size in plan.sizes), "range of the first"]
    first = measured[plan.sizes[0]]
    rows = [
        [
            f"{name}, {JOBS[name].over}",
            *(f"{statistics.median(of_size[name]):+.2f} µs" for of_size in measured.values()),
            f"{min(first[name]):+.2f} to {max(first[name]):+.2f}",
        ]
        for name in first
    ]
    print(f"\nCPU time that a plugin adds to a request, {plan.rounds} rounds of {plan.seconds:g} s")
    print(table(head, rows))
    bars = [
        Bar(f"{name}, {size:,} credentials", round(statistics.median(series), 3), most, "µs")
        for size, of_size in measured.items()
        for name, series in of_size.items()
        if (most := JOBS[name].most_us) is not None
    ]
    print_bars(bars)
    document: dict[str, object] = {
        "machine": machine(),
        "rounds": {str(size): of_size for size, of_size in measured.items()},
        "bars": [bar.document() for bar in bars],
    }
    write_json(results / "plugins.json", document)
    return document


def added(plan: Plan, cpu_us: dict[str, list[float]]) -> dict[str, list[float]]:
    """What each plugin added in each round, from the CPU microseconds per request of each job in each round."""
    return {
        name: [round(ours - theirs, 3) for ours, theirs in zip(cpu_us[name], cpu_us[JOBS[name].over], strict=True)]
        for name in plan.names
        if name in JOBS
    }


def _measure(plan: Plan, tool: Path, size: int) -> dict[str, list[float]]:
    """CPU microseconds per request, a value per round."""
    names = plan.names
    cpu_us: dict[str, list[float]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as directory:
        place = Path(directory)
        backend_port, port = free_ports(2)
        backend_command = [str(tool), "backend", "--listen", f"127.0.0.1:{backend_port}", "--expect-target", _TARGET]
        command = [sys.executable, "-m", "tests.bench.plugin_gateway", str(port), str(backend_port)]
        command += [str(place / "logs"), str(size)]
        with (
            Pinned("backend", OTHER_CORE, backend_command, place / "backend.log") as backend,
            Pinned("sluice", PROXY_CORE, command, place / "sluice.log", ROOT) as gateway,
        ):
            backend.wait_for_port(backend_port)
            gateway.wait_for_port(port, _START_SECONDS)
            load = [str(tool), "load", "--address", f"127.0.0.1:{port}", "--host", HOST, "--rate", "0"]
            load += ["--connections", str(plan.connections)]
            for name in names:
                _ask(load, name, _WARM_UP_SECONDS)
            for number in range(plan.rounds):
                turn = number % len(names)
                for name in names[turn:] + names[:turn]:
                    before = gateway.thread_seconds()
                    requests = _ask(load, name, plan.seconds)["requests"]
                    cpu_us[name].append((gateway.thread_seconds() - before) * 1e6 / requests)
    return cpu_us


def _ask(load: list[str], name: str, seconds: float) -> dict[str, Any]:
    lines = ["Accept: */*", *(line for job in chain(name) for line in job.headers)]
    command = [*load, "--path", f"/{name}{_TARGET}", "--seconds", str(seconds)]
    answer = run_load([*command, *(word for line in lines for word in ("--header", line))], seconds)
    if answer["requests"] == 0 or answer["unexpected"] or answer["failures"]:
        message = f"{name} was not served: {answer}"
        raise BenchError(message)
    return answer
