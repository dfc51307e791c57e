"""Process records: a pid alone may be someone else's tomorrow, a pid with its start time may not."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway_runtime.processes import start_time

if TYPE_CHECKING:
    from pathlib import Path

_LINGER_SECONDS = 4.0


@dataclass(frozen=True)
class ProcessRecord:
    """One child of a `sluice up`, as written to `<state>/run/services/<name>.pid`.

    `started` is its start time in clock ticks since boot.
    """

    name: str
    pid: int
    started: int

    def alive(self) -> bool:
        return start_time(self.pid) == self.started


def write(directory: Path, name: str, pid: int) -> None:
    """Note a child that was just started. One that has ended already is not noted."""
    started = start_time(pid)
    if started is not None:
        (directory / f"{name}.pid").write_text(f"{pid} {started}\n")


def forget(directory: Path, name: str) -> None:
    (directory / f"{name}.pid").unlink(missing_ok=True)


def read_all(directory: Path) -> list[ProcessRecord]:
    """Every record of the directory, of the living and the dead; a torn file counts as absent."""
    records: list[ProcessRecord] = []
    for path in sorted(directory.glob("*.pid")):
        with contextlib.suppress(OSError, ValueError):
            pid, started = path.read_text().split()
            records.append(ProcessRecord(path.stem, int(pid), int(started)))
    return records


def stop_strays(directory: Path) -> list[str]:
    """End what an earlier `sluice up` left behind when it was killed. Returns the names of those that still ran."""
    strays = [record for record in read_all(directory) if record.alive()]
    for record in strays:
        # For PostgreSQL SIGTERM would wait for its clients; SIGINT is its fast shutdown.
        _signal(record, signal.SIGINT if record.name == "postgres" else signal.SIGTERM)
    deadline = time.monotonic() + _LINGER_SECONDS
    while any(record.alive() for record in strays) and time.monotonic() < deadline:
        time.sleep(0.05)
    for record in strays:
        if record.alive():
            _signal(record, signal.SIGKILL)
    for path in directory.glob("*.pid"):
        path.unlink(missing_ok=True)
    return [record.name for record in strays]


def _signal(record: ProcessRecord, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(record.pid, number)
