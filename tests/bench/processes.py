"""Processes under measurement: started pinned to a core, read through /proc, ended by their own ids."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Sequence

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class BenchError(Exception):
    """The measurement cannot be made; the message says why."""


PROXY_CORE, OTHER_CORE = 0, 1
"""Where what is measured runs, and where everything else does."""


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU time so far and resident memory now, over a process and all its descendants."""

    cpu_seconds: float
    resident_bytes: int


@dataclass(frozen=True, slots=True)
class Holdings:
    """What a process holds of the kernel."""

    descriptors: int
    threads: int


class Pinned:
    """A command pinned to one core; a context manager that ends it and everything below it."""

    _talks = False
    """Whether it is told what to do through its standard input; standard output is the answer then, and no log."""

    def __init__(self, name: str, core: int, command: Sequence[str], log: Path, cwd: Path | None = None) -> None:
        self.name = name
        taskset = shutil.which("taskset")
        if taskset is None:
            raise BenchError("taskset (util-linux) is needed to pin processes to cores")
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [taskset, "-c", str(core), *command],
                stdin=subprocess.PIPE if self._talks else subprocess.DEVNULL,
                stdout=subprocess.PIPE if self._talks else output,
                stderr=output,
                cwd=cwd,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        family = descendants(self._process.pid)
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pid in family[1:]:
            _kill_if_orphaned(pid)

    def wait_for_port(self, port: int, seconds: float = 20.0) -> None:
        """Return once the port takes connections.

        Raises: BenchError: the process ended or did not get there in time; with the end of its log.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.05)
        message = f"{self.name} does not listen on port {port}: {self.log_end()}"
        raise BenchError(message)

    def log_end(self) -> str:
        """The last that it said."""
        return " | ".join(self._log.read_text(errors="replace").splitlines()[-5:])

    def usage(self) -> Usage:
        """What it and its descendants have used."""
        return usage_of(self._process.pid)

    def thread_seconds(self) -> float:
        """CPU time of its own threads that still run, to the nanosecond: for short measurements, which clock ticks are too coarse for."""
        total = 0
        for task in Path(f"/proc/{self._process.pid}/task").iterdir():
            try:
                total += int((task / "schedstat").read_text().split()[0])
            except OSError:  # ended meanwhile
                continue
        return total / 1e9

    def holdings(self) -> Holdings:
        """What it holds itself: taskset becomes the command."""
        own = Path(f"/proc/{self._process.pid}")
        return Holdings(len(list((own / "fd").iterdir())), len(list((own / "task").iterdir())))


class Driven(Pinned):
    """A pinned command that carries out commands: a JSON object per line each way."""

    _talks = True

    def do(self, what: str, **arguments: object) -> dict[str, Any]:
        """Have it done, and wait for the answer.

        Raises: BenchError: it ended instead; with the end of its log.
        """
        commands, answers = self._process.stdin, self._process.stdout
        assert commands is not None
        assert answers is not None
        try:
            commands.write(json.dumps({"do": what, **arguments}).encode() + b"\n")
            commands.flush()
            line = answers.readline()
        except BrokenPipeError:
            line = b""
        if not line:
            message = f"{self.name} did not {what}: {self.log_end()}"
            raise BenchError(message)
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        pipes: list[IO[bytes] | None] = [self._process.stdin, self._process.stdout]
        for pipe in filter(None, pipes):
            pipe.close()


def usage_of(pid: int) -> Usage:
    """What a process and its descendants have used."""
    family = descendants(pid)
    return Usage(sum(map(_cpu_seconds, family)), sum(map(_resident_bytes, family)))


def descendants(pid: int) -> list[int]:
    """The process and everything below it, parents first."""
    family = [pid]
    for parent in family:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                family += map(int, task.read_text().split())
            except OSError:  # ended meanwhile
                continue
    return family


def free_ports(count: int) -> list[int]:
    """Ports that nobody has at the moment."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def _cpu_seconds(pid: int) -> float:
    # Fields 14 and 15 of /proc/pid/stat (proc(5)), counted behind the name, which may hold spaces. All threads, ended ones too.
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND


def _resident_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _kill_if_orphaned(pid: int) -> None:
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        if not Path(f"/proc/{pid}").exists():
            return
        time.sleep(0.05)
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
