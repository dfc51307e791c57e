"""The router by itself: time per match, to compile, to change one route, and memory, by kind and number of routes."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Final

from tests.bench import report
from tests.bench.processes import BenchError
from tests.bench.proxy import build_tools

if TYPE_CHECKING:
    from pathlib import Path

SIZES: Final = (10, 1_000, 10_000, 50_000)
REST_SIZES: Final = (600,)
HOSTILE_SIZES: Final = (10, 1_000, 10_000)
SCENARIOS: Final = {
    "prefix": SIZES,
    "host": SIZES,
    "wildcard-host": SIZES,
    "header": SIZES,
    "header-variant": SIZES,
    "regex": SIZES,
    "regex-shared": SIZES,
    "expression": SIZES,
    "header-regex": SIZES,
    "hostile-header": HOSTILE_SIZES,
    "hostile-regex": HOSTILE_SIZES,
    "rest-api": REST_SIZES,
}
"""Kinds of routes, as engine/bench/src/router.rs names them → how many routes there are."""

FIGURES: Final = (
    "ns_first",
    "ns_hit_of_10",
    "ns_hit_of_all",
    "ns_miss",
    "us_compile",
    "us_update",
    "bytes_per_route",
)
"""What the program prints behind the name and the number of routes, in this order."""


def run(results: Path) -> dict[str, object]:
    """Measure every kind and size, each in a process of its own; print a table and write router.json.

    Raises: BenchError: the program does not build, or a measurement fails.
    """
    program = build_tools()
    measured: list[dict[str, object]] = []
    for name, sizes in SCENARIOS.items():
        for size in sizes:
            measured.append({"by": name, "routes": size, **_measure(program, name, size)})
            print(f"router: {name} {size}", flush=True)
    head = ["by", "routes", *(figure.replace("_", " ") for figure in FIGURES)]
    print(report.table(head, [[_cell(value) for value in line.values()] for line in measured]))
    document: dict[str, object] = {"machine": report.machine(), "router": measured}
    report.write_json(results / "router.json", document)
    return document


def _measure(program: Path, name: str, size: int) -> dict[str, int]:
    command = [str(program), "router", "--by", name, "--routes", str(size)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    cells = done.stdout.split()
    if done.returncode != 0 or len(cells) != len(FIGURES) + 2:
        message = f"router {name} {size}: {done.stderr.strip() or done.stdout.strip()}"
        raise BenchError(message)
    return dict(zip(FIGURES, map(int, cells[2:]), strict=True))


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
