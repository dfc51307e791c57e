"""Finding the processes of runtimes and their watchdogs: by the records that they write (gateway_runtime/processes.py).

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


def find_started(module: str, spec: Path) -> list[Record]:
    """Processes that run a module with a spec file as their last argument, recorded or not. Source: proc(5), cmdline."""
    found: list[Record] = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            arguments = (path / "cmdline").read_bytes().split(b"\0")[:-1]
            if arguments[-1:] == [os.fsencode(spec)] and module.encode() in arguments:
                started = _start_time(int(path.name))
                if started is not None:
                    found.append(Record(int(path.name), started))
    return found


def _start_time(pid: int) -> int | None:
    """Source: proc(5), field 22 of stat; a zombie counts as gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    fields = stat[stat.rindex(b")") + 2 :].split()
    return None if fields[0] in {b"Z", b"X"} else int(fields[19])
