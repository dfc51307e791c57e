"""Keeps one gateway process running.

`python -m gateway_runtime.watchdog [--detach] <spec.json>` starts the gateway and starts it again within a second when it dies; when it
dies at once, again and again, the pauses grow. A gateway that lives but no longer answers its status listener is replaced: a new
one starts beside it, and it is killed once the new one serves. SIGTERM ends both: the gateway gets its grace to finish requests in flight.

The gateway does not depend on its watchdog: when the watchdog is killed, the gateway goes on. The next watchdog finds it,
starts a new gateway beside it (they share the listeners' ports through SO_REUSEPORT), and ends the old one gracefully once the
new one serves. Only one watchdog runs per state directory.

The watchdog binds the gateway's sockets and keeps them, so that clients wait for the next gateway instead of being refused.

With `--detach` the command returns as soon as the watchdog runs in a session of its own, with nobody to wait for it.
"""

import contextlib
import fcntl
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import structlog

from gateway_runtime import logs
from gateway_runtime.backoff import Backoff
from gateway_runtime.liveness import Liveness, Patience, StatusProbe
from gateway_runtime.processes import ProcessRecord, read_records, write_record
from gateway_runtime.sockets import HandedSockets
from gateway_runtime.spec import split_address

RUN_DIRECTORY: Final = "run"
ROLE: Final = "watchdog"
GATEWAY_ROLE: Final = "gateway"

SETTLED_SECONDS: Final = 5.0
"""A gateway that lived this long is started again without a pause."""
READY_SECONDS: Final = 30.0
"""How long a new gateway may take before the old one is ended anyway."""
KILL_AFTER_SECONDS: Final = 5.0
"""Beyond its own grace, before a gateway that does not end is killed."""
HUNG_KILL_AFTER_SECONDS: Final = 1.0
"""For a gateway that hangs; it takes its share of new connections until it is gone."""
TICK_SECONDS: Final = 0.05

EXIT_ALREADY_RUNNING: Final = 3

log = structlog.stdlib.get_logger(__name__)


class Watchdog:
    """Supervises one child. `command` must write a `gateway` record into `run_directory`, ready once it serves."""

    def __init__(
        self,
        command: Sequence[str],
        run_directory: Path,
        *,
        grace_seconds: float,
        status_address: str | None = None,
        patience: Patience | None = None,
        sockets: HandedSockets | None = None,
    ) -> None:
        """`status_address` is where the child answers as long as it is well; None: that it runs is enough. The child gets
        `sockets`.
        """
        self._command = list(command)
        self._run = run_directory
        self._status_address = status_address
        self._patience = patience or Patience()
        self._sockets = sockets or HandedSockets()
        self._hung: subprocess.Popen[bytes] | None = None
        self._kill_after = grace_seconds + KILL_AFTER_SECONDS
        self._backoff = Backoff(0.1, 10.0)
        self._stopping = False
        self._woken, self._waker = socket.socketpair()
        for end in (self._woken, self._waker):
            end.setblocking(False)

    def run(self, report: Callable[[int], None] | None = None) -> int:
        """Supervise until SIGTERM or SIGINT; returns the exit status. `report` hears 0 once the watchdog is at work."""
        report = report or _ignore
        lock = _lock(self._run)
        if lock is None:
            report(EXIT_ALREADY_RUNNING)
            return EXIT_ALREADY_RUNNING
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        read_records(self._run, ROLE)  # forgets those of watchdogs that were killed
        record = write_record(self._run, ROLE, ready=True)
        report(0)
        try:
            while not self._stopping:
                self._supervise_once()
        finally:
            record.unlink(missing_ok=True)
            self._sockets.close()
            os.close(lock)
        return 0

    def _on_stop(self, _number: int, _frame: object) -> None:
        self._stopping = True

    def _supervise_once(self) -> None:
        """One life of the child, and the pause after it."""
        old = read_records(self._run, GATEWAY_ROLE)
        born = time.monotonic()
        # A session of its own: what is sent to the watchdog's group must not take the gateway along.
        child = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=self._sockets.descriptors,
            env=self._sockets.environment(os.environ),
        )
        if old or self._hung is not None:
            self._take_over(child, old)
        healthy = self._watch(child)
        if self._stopping:
            self._end(child)
            return
        if not healthy:
            self._hung = child  # its record is there: the next one takes over from it
            return
        if time.monotonic() - born >= SETTLED_SECONDS:
            self._backoff.reset()
        else:
            until = time.monotonic() + self._backoff.next_delay()
            while not self._stopping and (left := until - time.monotonic()) > 0:
                self._sleep(left)

    def _watch(self, child: subprocess.Popen[bytes]) -> bool:
        """Wait until the child has ended, or the watchdog has to stop; False as soon as the child hangs."""
        liveness: Liveness | None = None
        if self._status_address is not None:
            liveness = Liveness(StatusProbe(self._status_address, self._patience.answer_seconds), self._patience)
        while child.poll() is None and not self._stopping:
            self._sleep(None if liveness is None else liveness.due_seconds)
            if liveness is None or self._stopping or child.poll() is not None:
                continue
            liveness.check()
            if liveness.hung:
                log.error("gateway.hung", pid=child.pid)
                return False
        return True

    def _take_over(self, child: subprocess.Popen[bytes], old: Sequence[ProcessRecord]) -> None:
        """End the gateways of an earlier watchdog once the new one serves; leave them alone if it does not come up."""
        until = time.monotonic() + READY_SECONDS
        while child.poll() is None and not self._stopping:
            mine = [item for item in read_records(self._run, GATEWAY_ROLE) if item.pid == child.pid]
            if any(item.ready for item in mine) or time.monotonic() >= until:
                break
            self._sleep(TICK_SECONDS)
        if child.poll() is None or self._stopping:
            self._end_hung()
            self._end_all(old)

    def _end(self, child: subprocess.Popen[bytes]) -> None:
        others = [item for item in read_records(self._run, GATEWAY_ROLE) if item.pid != child.pid]
        for item in others:
            item.send(signal.SIGTERM)
        child.terminate()
        self._end_hung()
        until = time.monotonic() + self._kill_after
        while child.poll() is None and time.monotonic() < until:
            self._sleep(TICK_SECONDS)
        if child.poll() is None:
            child.kill()
            child.wait()
        self._end_all(others)

    def _end_hung(self) -> None:
        """Kill the child that hung: it finishes nothing."""
        hung = self._hung
        if hung is None:
            return
        until = time.monotonic() + HUNG_KILL_AFTER_SECONDS
        hung.terminate()
        while hung.poll() is None and time.monotonic() < until:
            self._sleep(TICK_SECONDS)
        hung.kill()
        hung.wait()
        self._hung = None

    def _end_all(self, records: Sequence[ProcessRecord]) -> None:
        for item in records:
            item.send(signal.SIGTERM)
        until = time.monotonic() + self._kill_after
        while any(item.alive for item in records) and time.monotonic() < until:
            self._sleep(TICK_SECONDS)
        for item in records:
            item.send(signal.SIGKILL)

    def _sleep(self, seconds: float | None) -> None:
        """Wait for a signal (the child's end is one) or for the time to pass."""
        readable, _, _ = select.select([self._woken], [], [], seconds)
        if readable:
            with contextlib.suppress(BlockingIOError):
                self._woken.recv(4096)


def _lock(run_directory: Path) -> int | None:
    run_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(run_directory / "watchdog.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def main(arguments: Sequence[str]) -> int:
    """Entry of `python -m gateway_runtime.watchdog`. Exit status 3: another watchdog has this state directory."""
    detach = arguments[:1] == ["--detach"]
    if len(arguments) != 1 + detach:
        sys.stderr.write("usage: python -m gateway_runtime.watchdog [--detach] <spec.json>\n")
        return 2
    spec_path = Path(arguments[-1]).absolute()
    try:
        spec = json.loads(spec_path.read_text("utf-8"))
        run_directory = Path(spec["state_dir"]) / RUN_DIRECTORY
        grace_seconds = float(spec.get("grace_seconds", 10.0))
        status_address = _known_address(spec.get("status_address"))
        addresses = [str(listener["address"]) for listener in spec.get("listeners", ())]
        threads = int(spec.get("threads", 0)) or len(os.sched_getaffinity(0))
    except (OSError, ValueError, KeyError, TypeError) as error:
        sys.stderr.write(f"{spec_path}: {type(error).__name__}: {error}\n")
        return 2
    command = [sys.executable, "-m", "gateway_runtime.main", str(spec_path)]
    report = _detach() if detach else None
    logs.configure()
    return Watchdog(
        command,
        run_directory,
        grace_seconds=grace_seconds,
        status_address=status_address,
        sockets=HandedSockets.bind(addresses, threads),
    ).run(report)


def _known_address(address: object) -> str | None:
    """The address, unless there is none or the gateway takes any free port, which only it knows then."""
    return None if address is None or split_address(str(address))[1] == 0 else str(address)


def _ignore(_status: int) -> None:
    return None


def _detach() -> Callable[[int], None]:
    """Go on as an orphan; the process that was started ends with the status that is reported first."""
    reading, writing = os.pipe()
    if os.fork():
        os.close(writing)
        status = os.read(reading, 1)
        os._exit(status[0] if status else 1)
    os.close(reading)
    os.setsid()

    def report(status: int) -> None:
        os.write(writing, bytes([status]))
        os.close(writing)

    return report


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
