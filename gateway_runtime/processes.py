"""Records of running processes, safe against reused process ids.

A record is `run/<role>.<pid>.json` with the process's start time, so that a later reader can tell the process that wrote it
from another one that got the same id.
"""

import contextlib
import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """One process: `started` is its start time in clock ticks since boot."""

    path: Path
    pid: int
    started: int
    ready: bool

    @property
    def alive(self) -> bool:
        """The very process that wrote the record still runs."""
        return start_time(self.pid) == self.started

    def send(self, number: signal.Signals) -> None:
        """Signal the process, if it is still the one that wrote the record."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


def start_time(pid: int) -> int | None:
    """Start time of a process in clock ticks since boot; None when it does not run. Source: proc(5), field 22 of stat."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    fields = stat[stat.rindex(b")") + 2 :].split()
    return None if fields[0] in {b"Z", b"X"} else int(fields[19])


def record_path(directory: Path, role: str) -> Path:
    """Where the calling process records itself."""
    return directory / f"{role}.{os.getpid()}.json"


def write_record(directory: Path, role: str, *, ready: bool) -> Path:
    """Record the calling process; a later call replaces the record."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    pid = os.getpid()
    path = record_path(directory, role)
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps({"role": role, "pid": pid, "started": start_time(pid), "ready": ready}), "utf-8")
    temporary.replace(path)
    return path


def read_records(directory: Path, role: str) -> list[ProcessRecord]:
    """Records of the processes with this role that still run; the others' records are deleted."""
    records: list[ProcessRecord] = []
    for path in directory.glob(f"{role}.*.json"):
        try:
            document = json.loads(path.read_text("utf-8"))
            record = ProcessRecord(path, int(document["pid"]), int(document["started"]), bool(document["ready"]))
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if record.alive:
            records.append(record)
        else:
            path.unlink(missing_ok=True)
    return records
