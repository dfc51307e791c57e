"""The proxy comparison: every engine does the same job, taking turns, and is paid by CPU time per request.

Proxies share core 0 and run one at a time; load generator and backend share core 1. CPU time is utime + stime of the
proxy's processes over one measurement, so a proxy that idles while the others work costs nothing.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from tests.bench.comparison import YARDSTICKS, Comparison, Series
from tests.bench.load import build_tools, run_load
from tests.bench.processes import OTHER_CORE, PROXY_CORE, BenchError, Pinned, free_ports
from tests.bench.report import machine, write_json
from tests.bench.rivals import PROXIES
from tests.bench.rivals.job import HOST, KEY_HEADER, PREFIX, SECRET, Ends, Job, Proxy, key
from tests.bench.scene import print_bars
from tests.conformance.certificates import backend_identity

ROOT = Path(__file__).parents[2]
_TARGET = "/items?id=42"
_WARM_UP_SECONDS = 1.0
_T = TypeVar("_T")
_PACED_SHARE = 0.5
"""The fixed rate of the latency measurement: so much of what the slower of Sluice and nginx reaches."""
JOBS = {
    "bare": Job(),
    "plain": Job(inject=True),
    "wide": Job(inject=True, request_headers=16, response_headers=10),
    "auth": Job(authenticate=True),
    "bare-tls": Job(tls=True),
    "plain-tls": Job(inject=True, tls=True),
    "auth-tls": Job(authenticate=True, tls=True),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to measure; empty `engines` means all."""

    rounds: int = 5
    seconds: float = 5.0
    connections: int = 64
    engines: tuple[str, ...] = ()
    variants: tuple[str, ...] = tuple(JOBS)

    def check(self) -> None:
        """Raises: BenchError: something that does not exist, or more than one machine should bear."""
        for variant in self.variants:
            if variant not in JOBS:
                message = f"no variant {variant}; there are: {', '.join(JOBS)}"
                raise BenchError(message)
        known = {proxy.name for proxy in PROXIES}
        for engine in self.engines:
            if engine not in known:
                message = f"no engine {engine}; there are: {', '.join(sorted(known))}"
                raise BenchError(message)
        if not (1 <= self.rounds <= 50 and 0.1 <= self.seconds <= 60 and 1 <= self.connections <= 1024):
            raise BenchError("rounds 1 to 50, seconds 0.1 to 60, connections 1 to 1024")
        if len(os.sched_getaffinity(0)) < 2:
            raise BenchError("two cores are needed: one for the proxies, one for load and backend")


@dataclass(frozen=True, slots=True)
class Runner:
    """One engine that runs, and how it is asked."""

    variant: str
    proxy: Proxy
    process: Pinned
    load: tuple[str, ...]

    def measure(self, seconds: float, rate: int = 0) -> dict[str, Any]:
        """One measurement; with a rate, requests per second fall due at fixed times.

        Raises: BenchError: any answer was not the one that the job demands.
        """
        answer = run_load([*self.load, "--seconds", str(seconds), "--rate", str(rate)], seconds)
        if answer["requests"] == 0 or answer["unexpected"] or answer["failures"]:
            message = f"{self.proxy.name} did not do its job: {answer}"
            raise BenchError(message)
        return answer


def taking_part(wanted: tuple[str, ...], job: Job) -> tuple[list[Proxy], dict[str, str]]:
    """Engines that can do a job here, and why the others cannot."""
    chosen = [proxy for proxy in PROXIES if not wanted or proxy.name in wanted]
    skipped = {proxy.name: reason for proxy in chosen if (reason := proxy.missing(job)) is not None}
    return [proxy for proxy in chosen if proxy.name not in skipped], skipped


def run(plan: Plan, results: Path) -> dict[str, object]:
    """Measure, print and write proxy.json; returns the document."""
    plan.check()
    tool = build_tools()
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as place, contextlib.ExitStack() as stack:
        fields = [_field(plan, variant, tool, Path(place) / variant, stack) for variant in plan.variants]
        for runner, series in _in_turns(fields, plan.rounds):
            before = runner.process.usage()
            answer = runner.measure(plan.seconds)
            series.take(answer, before, runner.process.usage())
        rates = {field.variant: field.paced_rate() for field in fields}
        for runner, series in _in_turns(fields, plan.rounds):
            series.take_paced(runner.measure(plan.seconds, rates[runner.variant]))
    comparison = Comparison({field.variant: field.series for field in fields})
    variants: dict[str, object] = {}
    for field in fields:
        print(f"\nproxy, {field.variant} (paced: {rates[field.variant]} requests/s)")
        for name, reason in field.skipped.items():
            print(f"without {name}: {reason}")
        print(comparison.table(field.variant))
        job = {"job": asdict(JOBS[field.variant]), "skipped": field.skipped, "paced_rate": rates[field.variant]}
        variants[field.variant] = job | comparison.document(field.variant)
    bars = comparison.bars()
    print()
    print_bars(bars)
    document: dict[str, object] = {"machine": machine(), "plan": _described(plan), "variants": variants}
    document["bars"] = [bar.document() for bar in bars]
    write_json(results / "proxy.json", document)
    return document


@dataclass(frozen=True, slots=True)
class Field:
    """Everybody who does one job, what has been measured of them, and why others do not take part."""

    variant: str
    runners: list[Runner]
    series: dict[str, Series]
    skipped: dict[str, str]

    def paced_rate(self) -> int:
        """Requests per second of the latency measurement."""
        reached = [statistics.median(self.series[name].rps) for name in YARDSTICKS if name in self.series]
        return int(min(reached or [statistics.median(one.rps) for one in self.series.values()]) * _PACED_SHARE)


def _field(plan: Plan, variant: str, tool: Path, place: Path, stack: contextlib.ExitStack) -> Field:
    """Start everybody who can do a job."""
    job = JOBS[variant]
    proxies, skipped = taking_part(plan.engines, job)
    if not proxies:
        message = f"{variant}: no engine can take part"
        raise BenchError(message)
    place.mkdir(mode=0o755)
    runners = _start(plan, variant, proxies, tool, place, stack)
    return Field(variant, runners, {proxy.name: Series() for proxy in proxies}, skipped)


def _start(
    plan: Plan, variant: str, proxies: list[Proxy], tool: Path, root: Path, stack: contextlib.ExitStack
) -> list[Runner]:
    job = JOBS[variant]
    root.parent.chmod(0o755)  # nginx workers run as another user
    identity = backend_identity()
    certificate = root / "server.pem"
    certificate.write_text(identity.certificate + identity.key)
    backend_port, *ports = free_ports(len(proxies) + 1)
    backend_command = [str(tool), "backend", "--listen", f"127.0.0.1:{backend_port}", "--expect-target", _TARGET]
    backend_command += ["--headers", str(job.response_headers)]
    backend_command += ["--expect-secret", SECRET] if job.inject else []
    backend = Pinned("backend", OTHER_CORE, backend_command, root / "backend.log")
    stack.enter_context(backend).wait_for_port(backend_port)
    runners: list[Runner] = []
    for proxy, port in zip(proxies, ports, strict=True):
        own = root / proxy.name.replace(" ", "-")
        own.mkdir(mode=0o755)
        command = proxy.command(Ends(port, backend_port, own, certificate, tool), job)
        process = Pinned(proxy.name, PROXY_CORE, command, root / f"{own.name}.log", ROOT)
        stack.enter_context(process).wait_for_port(port)
        load = [str(tool), "load", "--address", f"127.0.0.1:{port}", "--host", HOST, "--header", "Accept: */*"]
        load += ["--path", (PREFIX if proxy.sees_prefix else "") + _TARGET, "--headers", str(job.request_headers)]
        load += ["--connections", str(plan.connections), "--tls", str(job.tls).lower()]
        load += ["--header", f"{KEY_HEADER}: {key(617)}"] if job.authenticate else []
        runner = Runner(variant, proxy, process, tuple(load))
        runner.measure(_WARM_UP_SECONDS)
        runners.append(runner)
    return runners


def _in_turns(fields: list[Field], rounds: int) -> list[tuple[Runner, Series]]:
    """Everybody once per round; the order turns, so that nobody always runs behind the same neighbour."""
    order: list[tuple[Runner, Series]] = []
    for number in range(rounds):
        for field in _turned(fields, number):
            order += [(runner, field.series[runner.proxy.name]) for runner in _turned(field.runners, number)]
    return order


def _turned(items: list[_T], number: int) -> list[_T]:
    turn = number % len(items)
    return items[turn:] + items[:turn]


def _described(plan: Plan) -> dict[str, object]:
    return {"rounds": plan.rounds, "seconds": plan.seconds, "connections": plan.connections}
