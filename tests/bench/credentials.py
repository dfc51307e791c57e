"""Keys of consumers: time to apply them, memory, time of a look-up and of one change, by how many there are."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Final

from tests.bench import report
from tests.bench.processes import BenchError
from tests.bench.proxy import build_tools

if TYPE_CHECKING:
    from pathlib import Path

SIZES: Final = (1, 10_000, 1_000_000)
FIGURES: Final = (
    "ms_apply",
    "bytes_each",
    "bytes_each_at_the_peak",
    "ns_known",
    "ns_unknown",
    "us_change",
    "us_change_p99",
)
"""What the program prints behind the number of credentials, in this order."""


def run(results: Path) -> dict[str, object]:
    """Measure every size in a process of its own; print a table and write credentials.json.

    Raises: BenchError: the program does not build, or a measurement fails.
    """
    program = build_tools()
    measured = [{"credentials": size, **_measure(program, size)} for size in SIZES]
    head = ["credentials", *(figure.replace("_", " ") for figure in FIGURES)]
    print(report.table(head, [[f"{value:,}" for value in line.values()] for line in measured]))
    document: dict[str, object] = {"machine": report.machine(), "credentials": measured}
    report.write_json(results / "credentials.json", document)
    return document


def _measure(program: Path, size: int) -> dict[str, int]:
    command = [str(program), "credentials", "--credentials", str(size)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    cells = done.stdout.split()
    if done.returncode != 0 or len(cells) != len(FIGURES) + 1:
        message = f"credentials {size}: {done.stderr.strip() or done.stdout.strip()}"
        raise BenchError(message)
    return dict(zip(FIGURES, map(int, cells[1:]), strict=True))
