"""The proxy comparison: every engine does the same job, taking turns, and is paid by CPU time per request.

Proxies share core 0 and run one at a time; load generator and backend share core 1. CPU time is utime + stime of the
proxy's processes over one measurement, so a proxy that idles while the others work costs nothing.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.bench.load import build_tools, run_load
from tests.bench.processes import OTHER_CORE, PROXY_CORE, BenchError, Pinned, free_ports
from tests.bench.report import machine, table, write_json
from tests.bench.rivals import PROXIES
from tests.bench.rivals.job import HOST, KEY_HEADER, PREFIX, SECRET, Ends, Job, Proxy, key
from tests.conformance.certificates import backend_identity

ROOT = Path(__file__).parents[2]
_TARGET = "/items?id=42"
_WARM_UP_SECONDS = 1.0
_PACED_SHARE = 0.5
"""The fixed rate of the latency measurement: so much of what the slower of Sluice and nginx reaches."""
JOBS = {
    "bare": Job(),
    "plain": Job(inject=True),
    "wide": Job(inject=True, request_headers=16, response_headers=10),
    "auth": Job(inject=True, authenticate=True),
    "bare-tls": Job(tls=True),
    "plain-tls": Job(inject=True, tls=True),
    "auth-tls": Job(inject=True, authenticate=True, tls=True),
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


@dataclass(slots=True)
class Series:
    """All measurements of one engine in one variant."""

    cpu_us: list[float] = field(default_factory=list)
    rps: list[float] = field(default_factory=list)
    p50_us: list[float] = field(default_factory=list)
    p99_us: list[float] = field(default_factory=list)
    resident_mb: list[float] = field(default_factory=list)
    paced_p50_us: list[float] = field(default_factory=list)
    paced_p99_us: list[float] = field(default_factory=list)

    def medians(self) -> dict[str, float]:
        """Median of each figure over the rounds; only of what was measured."""
        figures = {
            "cpu_us_per_request": self.cpu_us,
            "rps": self.rps,
            "p50_us": self.p50_us,
            "p99_us": self.p99_us,
            "rss_mb": self.resident_mb,
            "paced_p50_us": self.paced_p50_us,
            "paced_p99_us": self.paced_p99_us,
        }
        return {name: round(statistics.median(values), 2) for name, values in figures.items() if values}


@dataclass(frozen=True, slots=True)
class Runner:
    """One engine that runs, and how it is asked."""

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
    variants: dict[str, object] = {}
    for variant in plan.variants:
        job = JOBS[variant]
        proxies, skipped = taking_part(plan.engines, job)
        if not proxies:
            message = f"{variant}: no engine can take part"
            raise BenchError(message)
        series, rate = _measure(plan, job, proxies, tool)
        variants[variant] = {"job": asdict(job), "skipped": skipped, **_summary(variant, series, rate, skipped)}
    document: dict[str, object] = {"machine": machine(), "plan": _described(plan), "variants": variants}
    write_json(results / "proxy.json", document)
    return document


def _measure(plan: Plan, job: Job, proxies: list[Proxy], tool: Path) -> tuple[dict[str, Series], int]:
    """All rounds of one variant, and the rate of the paced ones."""
    series = {proxy.name: Series() for proxy in proxies}
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as place, contextlib.ExitStack() as stack:
        runners = _start(plan, job, proxies, tool, Path(place), stack)
        for runner in _in_turns(runners, plan.rounds):
            before = runner.process.usage()
            answer = runner.measure(plan.seconds)
            after = runner.process.usage()
            one = series[runner.proxy.name]
            one.cpu_us.append((after.cpu_seconds - before.cpu_seconds) * 1e6 / answer["requests"])
            one.rps.append(answer["rps"])
            one.p50_us.append(answer["latency_us"]["p50"])
            one.p99_us.append(answer["latency_us"]["p99"])
            one.resident_mb.append(after.resident_bytes / 1e6)
        reached = [statistics.median(series[name].rps) for name in ("sluice", "nginx", "nginx+lua") if name in series]
        rate = int(min(reached or [statistics.median(one.rps) for one in series.values()]) * _PACED_SHARE)
        for runner in _in_turns(runners, plan.rounds):
            latency = runner.measure(plan.seconds, rate)["latency_us"]
            series[runner.proxy.name].paced_p50_us.append(latency["p50"])
            series[runner.proxy.name].paced_p99_us.append(latency["p99"])
    return series, rate


def _start(
    plan: Plan, job: Job, proxies: list[Proxy], tool: Path, root: Path, stack: contextlib.ExitStack
) -> list[Runner]:
    root.chmod(0o755)  # nginx workers run as another user
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
        runner = Runner(proxy, process, tuple(load))
        runner.measure(_WARM_UP_SECONDS)
        runners.append(runner)
    return runners


def _in_turns(runners: list[Runner], rounds: int) -> list[Runner]:
    """Everybody once per round; the order turns, so that nobody always runs behind the same neighbour."""
    order: list[Runner] = []
    for number in range(rounds):
        turn = number % len(runners)
        order += runners[turn:] + runners[:turn]
    return order


def _summary(variant: str, series: dict[str, Series], rate: int, skipped: dict[str, str]) -> dict[str, object]:
    medians = {name: one.medians() for name, one in series.items()}
    yardstick = next((medians[name] for name in ("nginx", "nginx+lua") if name in medians), None)
    rows: list[list[str]] = []
    for name, figures in sorted(medians.items(), key=lambda item: item[1]["cpu_us_per_request"]):
        ratio = "-"
        if yardstick is not None:
            figures["cpu_ratio"] = round(figures["cpu_us_per_request"] / yardstick["cpu_us_per_request"], 3)
            ratio = f"{figures['cpu_ratio']:.2f}"
        spread = f"{min(series[name].cpu_us):.1f}-{max(series[name].cpu_us):.1f}"
        whole = ("rps", "p50_us", "p99_us", "paced_p50_us", "paced_p99_us", "rss_mb")
        row = [name, f"{figures['cpu_us_per_request']:.1f}", spread, ratio]
        rows.append(row + [f"{figures[figure]:.0f}" for figure in whole])
    named = "nginx" if "nginx" in medians else "nginx+lua"
    print(f"\nproxy, {variant} (paced: {rate} requests/s)")
    for name, reason in skipped.items():
        print(f"without {name}: {reason}")
    head = [
        "engine",
        "CPU µs/request",
        "range",
        f"x {named}",
        "requests/s",
        "p50 µs",
        "p99 µs",
        "paced p50",
        "paced p99",
    ]
    print(table([*head, "RSS MB"], rows))
    rounds = {name: {"cpu_us_per_request": [round(value, 2) for value in one.cpu_us]} for name, one in series.items()}
    return {"paced_rate": rate, "medians": medians, "rounds": rounds}


def _described(plan: Plan) -> dict[str, object]:
    return {"rounds": plan.rounds, "seconds": plan.seconds, "connections": plan.connections}
