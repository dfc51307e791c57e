"""Reading the process records that runtimes and their watchdogs write (gateway_runtime/processes.py).

A record is `<role>.<pid>.json` with the process's start time: a process id alone may be someone else's tomorrow.
"""

import contextlib
import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Record:
    """One process that was running when its record was read. `started`: clock ticks since boot."""

    pid: int
    started: int

    @property
    def alive(self) -> bool:
        """The very process that wrote the record still runs."""
        return _start_time(self.pid) == self.started

    def send(self, number: signal.Signals) -> None:
        """Signal the process, if it is still the one that wrote the record."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


def read_alive(directory: Path, role: str) -> list[Record]:
    """The processes of a role that run now."""
    found: list[Record] = []
    for path in directory.glob(f"{role}.*.json"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            document = json.loads(path.read_text("utf-8"))
            record = Record(int(document["pid"]), int(document["started"]))
            if record.alive:
                found.append(record)
    return found


def _start_time(pid: int) -> int | None:
    """Source: proc(5), field 22 of stat; a zombie counts as gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    fields = stat[stat.rindex(b")") + 2 :].split()
    return None if fields[0] in {b"Z", b"X"} else int(fields[19])
