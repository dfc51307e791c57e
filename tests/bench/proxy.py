"""The proxy comparison: every engine does the same job, taking turns, and is paid by CPU time per request.

Proxies share core 0 and run one at a time; load generator and backend share core 1. CPU time is utime + stime of the
proxy's processes over one measurement, so a proxy that idles while the others work costs nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import statistics
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.processes import BenchError, Pinned, free_ports
from tests.bench.proxies import HOST, PREFIX, PROXIES, SECRET, Ends, Proxy
from tests.bench.report import machine, table, write_json

ROOT = Path(__file__).parents[2]
PROXY_CORE, OTHER_CORE = 0, 1
_TARGET = "/items?id=42"
_WARM_UP_SECONDS = 1.0
# request headers, response headers, beyond what HTTP itself needs
VARIANTS = {"plain": (0, 0), "wide": (16, 10)}


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to measure; empty `engines` means all."""

    rounds: int = 5
    seconds: float = 5.0
    connections: int = 64
    engines: tuple[str, ...] = ()
    variants: tuple[str, ...] = ("plain", "wide")

    def check(self) -> None:
        """Raises: BenchError: something that does not exist, or more than one machine should bear."""
        for variant in self.variants:
            if variant not in VARIANTS:
                message = f"no variant {variant}; there are: {', '.join(VARIANTS)}"
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

    def medians(self) -> dict[str, float]:
        """Median of each figure over the rounds."""
        return {
            "cpu_us_per_request": round(statistics.median(self.cpu_us), 2),
            "rps": round(statistics.median(self.rps)),
            "p50_us": round(statistics.median(self.p50_us)),
            "p99_us": round(statistics.median(self.p99_us)),
            "rss_mb": round(statistics.median(self.resident_mb), 1),
        }


def build_tools() -> Path:
    """Build load generator and backend; the program's path."""
    cargo = shutil.which(os.environ.get("CARGO", "cargo"))
    if cargo is None:
        raise BenchError("cargo (the Rust toolchain) is needed to build the load generator")
    command = [cargo, "build", "--quiet", "--release", "--package", "sluice-engine-bench"]
    if subprocess.run([*command, "--manifest-path", str(ROOT / "engine" / "Cargo.toml")], check=False).returncode != 0:
        raise BenchError("the load generator does not build")
    target = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "engine" / "target")
    return target / "release" / "bench"


def taking_part(wanted: tuple[str, ...]) -> tuple[list[Proxy], dict[str, str]]:
    """Engines that can run here, and why the others cannot."""
    chosen = [proxy for proxy in PROXIES if not wanted or proxy.name in wanted]
    skipped = {proxy.name: reason for proxy in chosen if (reason := proxy.missing()) is not None}
    return [proxy for proxy in chosen if proxy.name not in skipped], skipped


def run(plan: Plan, results: Path) -> dict[str, object]:
    """Measure, print and write proxy.json; returns the document."""
    plan.check()
    tool = build_tools()
    proxies, skipped = taking_part(plan.engines)
    for name, reason in skipped.items():
        print(f"skipped: {name}: {reason}")
    if not proxies:
        raise BenchError("no engine can take part")
    document: dict[str, object] = {"machine": machine(), "plan": _described(plan), "skipped": skipped, "variants": {}}
    variants: dict[str, object] = {}
    for variant in plan.variants:
        series = _measure(plan, variant, proxies, tool)
        variants[variant] = _summary(variant, series)
    document["variants"] = variants
    write_json(results / "proxy.json", document)
    return document


def _measure(plan: Plan, variant: str, proxies: list[Proxy], tool: Path) -> dict[str, Series]:
    request_headers, response_headers = VARIANTS[variant]
    backend_port, *ports = free_ports(len(proxies) + 1)
    series = {proxy.name: Series() for proxy in proxies}
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as place, contextlib.ExitStack() as stack:
        root = Path(place)
        root.chmod(0o755)  # nginx workers run as another user
        backend_command = [str(tool), "backend", "--listen", f"127.0.0.1:{backend_port}"]
        backend_command += ["--headers", str(response_headers), "--expect-target", _TARGET, "--expect-secret", SECRET]
        backend = Pinned("backend", OTHER_CORE, backend_command, root / "backend.log")
        stack.enter_context(backend).wait_for_port(backend_port)
        running: dict[str, tuple[int, Pinned]] = {}
        for proxy, port in zip(proxies, ports, strict=True):
            own = root / proxy.name
            own.mkdir(mode=0o755)
            process = Pinned(
                proxy.name, PROXY_CORE, proxy.command(Ends(port, backend_port, own)), root / f"{proxy.name}.log", ROOT
            )
            stack.enter_context(process).wait_for_port(port)
            running[proxy.name] = (port, process)
            _load(tool, port, _WARM_UP_SECONDS, plan.connections, request_headers)
        for number in range(plan.rounds):
            # The order turns, so that nobody always runs behind the same neighbour.
            turn = number % len(proxies)
            for proxy in proxies[turn:] + proxies[:turn]:
                port, process = running[proxy.name]
                before = process.usage()
                answer = _load(tool, port, plan.seconds, plan.connections, request_headers)
                after = process.usage()
                _check(proxy.name, answer)
                one = series[proxy.name]
                one.cpu_us.append((after.cpu_seconds - before.cpu_seconds) * 1e6 / answer["requests"])
                one.rps.append(answer["rps"])
                one.p50_us.append(answer["latency_us"]["p50"])
                one.p99_us.append(answer["latency_us"]["p99"])
                one.resident_mb.append(after.resident_bytes / 1e6)
    return series


def _load(tool: Path, port: int, seconds: float, connections: int, headers: int) -> dict:
    command = ["taskset", "-c", str(OTHER_CORE), str(tool), "load", "--address", f"127.0.0.1:{port}"]
    command += ["--path", PREFIX + _TARGET, "--host", HOST, "--headers", str(headers), "--header", "Accept: */*"]
    command += ["--connections", str(connections), "--seconds", str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30, check=False)
    if done.returncode != 0:
        message = f"load generator: {done.stderr.strip() or done.stdout.strip()}"
        raise BenchError(message)
    return json.loads(done.stdout)


def _check(name: str, answer: dict) -> None:
    if answer["requests"] == 0 or answer["unexpected"] or answer["failures"]:
        message = f"{name} did not do its job: {answer}"
        raise BenchError(message)


def _summary(variant: str, series: dict[str, Series]) -> dict[str, object]:
    medians = {name: one.medians() for name, one in series.items()}
    yardstick = medians.get("nginx", {}).get("cpu_us_per_request")
    rows: list[list[str]] = []
    for name, figures in sorted(medians.items(), key=lambda item: item[1]["cpu_us_per_request"]):
        if yardstick:
            figures["cpu_ratio_to_nginx"] = round(figures["cpu_us_per_request"] / yardstick, 3)
        spread = f"{min(series[name].cpu_us):.1f}-{max(series[name].cpu_us):.1f}"
        rows.append(
            [
                name,
                f"{figures['cpu_us_per_request']:.1f}",
                spread,
                f"{figures['cpu_ratio_to_nginx']:.2f}" if yardstick else "-",
                f"{figures['rps']:.0f}",
                f"{figures['p50_us']:.0f}",
                f"{figures['p99_us']:.0f}",
                f"{figures['rss_mb']:.0f}",
            ]
        )
    request_headers, response_headers = VARIANTS[variant]
    print(f"\nproxy, {variant}: {request_headers} further request headers, {response_headers} response headers")
    print(table(["engine", "CPU µs/request", "range", "x nginx", "requests/s", "p50 µs", "p99 µs", "RSS MB"], rows))
    rounds = {name: {"cpu_us_per_request": [round(value, 2) for value in one.cpu_us]} for name, one in series.items()}
    return {"medians": medians, "rounds": rounds}


def _described(plan: Plan) -> dict[str, object]:
    return {"rounds": plan.rounds, "seconds": plan.seconds, "connections": plan.connections}
