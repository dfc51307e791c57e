"""Which processes are ours: a pid alone may be someone else's tomorrow, a pid with its start time may not.

Records say what was started. A `sluice up` that is killed between starting a child and recording it leaves one that is in no
record; such a child is known by where it logs to.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gateway_runtime.processes import start_time

if TYPE_CHECKING:
    from collections.abc import Collection

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


def find_logging(logs: Path, names: Collection[str]) -> list[ProcessRecord]:
    """Processes whose standard error is `<logs>/<name>.log`; children of such processes too. Source: proc(5), fd."""
    found: list[ProcessRecord] = []
    directory = logs.resolve()  # as the kernel names it
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            target = (path / "fd" / "2").readlink()
            started = start_time(int(path.name))
            if target.parent == directory and target.suffix == ".log" and target.stem in names and started is not None:
                found.append(ProcessRecord(target.stem, int(path.name), started))
    return found


def stop_strays(directory: Path, logs: Path, names: Collection[str]) -> list[str]:
    """End what an earlier `sluice up` left behind when it was killed. Returns the names of those that still ran.

    Args:
        directory: the records.
        logs: the directory that the children log to.
        names: all names that children have.
    """
    recorded = [record for record in read_all(directory) if record.alive()]
    logging = find_logging(logs, names)
    strays = {record.pid: record for record in (*logging, *recorded)}
    for record in strays.values():
        if _parent(record.pid) not in strays:  # leaders end their own children, each in its way
            # For PostgreSQL SIGTERM would wait for its clients; SIGINT is its fast shutdown.
            _signal(record, signal.SIGINT if record.name == "postgres" else signal.SIGTERM)
    deadline = time.monotonic() + _LINGER_SECONDS
    while any(record.alive() for record in strays.values()) and time.monotonic() < deadline:
        time.sleep(0.05)
    for record in (*strays.values(), *find_logging(logs, names)):
        if record.alive():
            _signal(record, signal.SIGKILL)
    for path in directory.glob("*.pid"):
        path.unlink(missing_ok=True)
    return sorted({record.name for record in strays.values()})


def _parent(pid: int) -> int | None:
    """Source: proc(5), field 4 of stat."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    return int(stat[stat.rindex(b")") + 2 :].split()[1])


def _signal(record: ProcessRecord, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(record.pid, number)
