"""A whole installation, as `sluice up` runs it, for end-to-end tests: own state directory, own ports."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import httpx
import pytest

from cli.up import environment_file, records
from cli.up.state import StateDir
from cli.up.supervisor import ports
from core.settings import load_settings
from gateway_runtime.processes import start_time

READY_SECONDS = 90.0
STOP_SECONDS = 30.0
# Above the well-known ports, below those that the kernel gives to outgoing connections.
_OFFSETS = range(4000, 22000, 10)


def free_port_offset() -> int:
    """An offset at which all ports of an installation, and the demo backend's, are free right now."""
    for offset in random.sample(_OFFSETS, len(_OFFSETS)):
        settings = load_settings({"SLUICE_PORT_OFFSET": str(offset)})
        if all(_free(port.number) for port in ports(settings)) and _free(9090 + offset):
            return offset
    raise RuntimeError("no free range of ports")


class Stack:
    """One `sluice up`. `start` returns when it said READY; `stop` is Ctrl-C.

    Attributes: `state` (its state directory), `offset` (added to all ports), `output` (what it printed so far),
    `extra` (environment variables for the next start).
    """

    def __init__(self, state_dir: Path, offset: int | None = None, environ: Mapping[str, str] | None = None) -> None:
        self.state = StateDir.at(state_dir)
        self.offset = free_port_offset() if offset is None else offset
        self.output: list[str] = []
        self.extra = dict(environ or {})
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._ready = threading.Event()
        self._known: dict[int, int] = {}

    @property
    def environ(self) -> dict[str, str]:
        """The environment of the installation's own commands."""
        plain = {name: value for name, value in os.environ.items() if not name.startswith("SLUICE_")}
        own = {"SLUICE_STATE_DIR": str(self.state.root), "SLUICE_PORT_OFFSET": str(self.offset)}
        return plain | own | self.extra

    @property
    def env(self) -> dict[str, str]:
        """What `.sluice/env` says."""
        return environment_file.read(self.state)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def launch(self) -> subprocess.Popen[str]:
        """Start it without waiting; its lines are collected in `output`."""
        self._ready.clear()
        self.output = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "cli", "up"],
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()
        return self._process

    def start(self) -> Self:
        """Start it and wait for READY. Raises AssertionError, with everything it printed, when that does not come."""
        process = self.launch()
        deadline = time.monotonic() + READY_SECONDS
        while not self._ready.wait(0.05):
            if process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise AssertionError("not READY:\n" + "".join(self.output) + self._log_ends())
        self.processes()
        return self

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Interrupt it and wait for its end. Returns its exit status."""
        process = self._process
        if process is None:
            return 0
        if process.poll() is None:
            self.processes()
            process.send_signal(number)
        try:
            status = process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait()
        assert self._reader is not None
        self._reader.join(5)
        return status

    def processes(self) -> dict[str, int]:
        """Name -> pid of everything that runs: api, worker, beat, postgres, valkey-*, watchdog-<region>, gateway-<region>."""
        found = {record.name: record.pid for record in records.read_all(self.state.services) if record.alive()}
        for path in self.state.root.glob("gateways/*/run/*.json"):
            role = path.name.partition(".")[0]
            if role in {"watchdog", "gateway"}:
                pid, started = _json_record(path)
                if pid and start_time(pid) == started:
                    found[f"{role}-{path.parent.parent.name}"] = pid
        for pid in found.values():
            self._known.setdefault(pid, start_time(pid) or 0)
        return found

    def survivors(self) -> list[int]:
        """Processes seen at any time that still run."""
        return [pid for pid, started in self._known.items() if started and start_time(pid) == started]

    def clean_up(self) -> None:
        """Leave nothing behind, whatever a test has done."""
        if self._process is not None and self._process.poll() is None:
            self.stop()
        for pid in self.survivors():
            os.kill(pid, signal.SIGKILL)

    @contextmanager
    def api(self) -> Generator[httpx.Client]:
        """A client of the REST API that sends the bootstrap token."""
        headers = {"Authorization": f"Bearer {self.env['SLUICE_PAT']}"}
        with httpx.Client(base_url=self.env["SLUICE_API"], headers=headers, timeout=10.0) as client:
            yield client

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run another `sluice` command on this installation."""
        argv = [sys.executable, "-m", "cli", *arguments]
        return subprocess.run(argv, env=self.environ, capture_output=True, text=True, timeout=60, check=False)

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                self.output.append(line)
                if line.startswith("READY"):
                    self._ready.set()

    def _log_ends(self) -> str:
        ends = (
            f"\n--- {path.name}\n" + path.read_text(errors="replace")[-2000:] for path in self.state.logs.glob("*.log")
        )
        return "".join(ends)


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """An installation that all tests of a session share; each works in control planes of its own."""
    # Not below pytest's own directory: a short path is what users have.
    with tempfile.TemporaryDirectory(prefix="sluice-e2e-") as folder:
        running = Stack(Path(folder) / "state")
        try:
            yield running.start()
        finally:
            running.clean_up()


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _json_record(path: Path) -> tuple[int, int]:
    try:
        document = json.loads(path.read_text())
        return int(document["pid"]), int(document["started"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0, 0
