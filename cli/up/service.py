"""One supervised child process: started, watched, restarted with backoff, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cli.faults import Fault
from cli.up import logs, probes, records

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from cli.up.state import StateDir

_BACKOFF_SECONDS = (0.0, 0.2, 0.5, 1.0, 2.0, 5.0)
# A child that ran this long has worked; its next death starts the backoff afresh.
_SETTLED_SECONDS = 10.0
_TRIES_BEFORE_READY = 3
_NICENESS = 10


@dataclass(frozen=True)
class ServiceSpec:
    """What to run and how to tell that it runs.

    `environment` is the child's whole environment; None hands ours on. `user` is a system user to run as (only root can ask for it).
    `stop_signal` begins an orderly end; SIGKILL follows after `grace_seconds`. `gives_way`: where processors are short, what
    does not give way goes first.
    """

    name: str
    argv: Sequence[str]
    ready: Callable[[], Awaitable[bool]]
    environment: Mapping[str, str] | None = None
    cwd: Path | None = None
    user: str | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    grace_seconds: float = 4.0
    gives_way: bool = False


class Service:
    """A child of `sluice up`, in a session of its own so that the terminal's Ctrl-C reaches only us."""

    def __init__(self, spec: ServiceSpec, state: StateDir, announce: Callable[[str], None]) -> None:
        self.spec = spec
        self._state = state
        self._announce = announce
        self._process: asyncio.subprocess.Process | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._was_ready = False
        self._stopping = False
        self._failed: asyncio.Future[str] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process and self._process.returncode is None else None

    async def start(self, timeout_seconds: float = 60.0) -> None:
        """Start it and wait until it is ready.

        Raises: Fault: it died repeatedly, or was not ready in time; the message ends with its last log line.
        """
        self._failed = asyncio.get_running_loop().create_future()
        await self._spawn()
        self._watcher = asyncio.create_task(self._watch())
        ready = asyncio.create_task(probes.until(self.spec.ready, timeout_seconds))
        await asyncio.wait({ready, self._failed}, return_when=asyncio.FIRST_COMPLETED)
        if self._failed.done():
            ready.cancel()
            raise Fault(f"{self.spec.name} does not start ({self._failed.result()}): {self._last_line()}")
        if not ready.result():
            raise Fault(f"{self.spec.name} is not ready after {timeout_seconds:.0f} s: {self._last_line()}")
        self._was_ready = True

    async def stop(self, *, hurry: bool = False) -> None:
        """End it and wait for its end; harmless when it is not running."""
        self._stopping = True
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL if hurry else self.spec.stop_signal)
            try:
                await asyncio.wait_for(process.wait(), self.spec.grace_seconds)
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
            _end_group(process.pid)
        if self._watcher is not None:
            self._watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watcher
        records.forget(self._state.services, self.spec.name)

    async def _spawn(self) -> None:
        log = logs.open_log(self._state.logs, self.spec.name)
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self.spec.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.spec.cwd,
                env=self.spec.environment,
                start_new_session=True,
                user=self.spec.user,
                group=self.spec.user,
                extra_groups=[] if self.spec.user else None,
            )
        except OSError as error:
            raise Fault(f"{self.spec.name} does not start: {error.strerror} ({self.spec.argv[0]})") from error
        finally:
            os.close(log)
        if self.spec.gives_way:
            _give_way(self._process.pid)
        records.write(self._state.services, self.spec.name, self._process.pid)

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            assert self._process is not None
            started = loop.time()
            ended = _describe(await self._process.wait())
            _end_group(self._process.pid)
            if self._stopping:
                return
            failures = failures + 1 if loop.time() - started < _SETTLED_SECONDS else 0
            if not self._was_ready and failures >= _TRIES_BEFORE_READY:
                assert self._failed is not None
                self._failed.set_result(ended)
                return
            if self._was_ready:
                self._announce(f"{self.spec.name} {ended}; starting it again")
            await asyncio.sleep(_BACKOFF_SECONDS[min(failures, len(_BACKOFF_SECONDS) - 1)])
            await self._respawn()

    async def _respawn(self) -> None:
        """A machine that has run out of something for a moment must not end the supervision."""
        while True:
            try:
                await self._spawn()
            except Fault as fault:
                self._announce(str(fault))
                await asyncio.sleep(_BACKOFF_SECONDS[-1])
            else:
                return

    def _last_line(self) -> str:
        return f"{logs.last_line(self._state.logs, self.spec.name)} [{self._state.logs / self.spec.name}.log]"


async def run_once(name: str, argv: Sequence[str], state: StateDir, environment: Mapping[str, str]) -> str:
    """Run a command to its end. Returns what it printed; its stderr goes to `<name>.log`.

    Raises: Fault: it failed; the message is the last line of its log.
    """
    log = logs.open_log(state.logs, name)
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            env=environment,
            start_new_session=True,
        )
    finally:
        os.close(log)
    records.write(state.services, name, process.pid)
    try:
        output, _ = await process.communicate()
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise
    finally:
        records.forget(state.services, name)
    if process.returncode:
        raise Fault(f"{name} failed: {logs.last_line(state.logs, name)} [{state.logs / name}.log]")
    return output.decode()


def _end_group(leader: int) -> None:
    """End what a dead child has left in its session's first process group, such as a worker's pool."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def _give_way(pid: int) -> None:
    """Lower the priority of a session that has just begun; its later processes and threads inherit it."""
    with contextlib.suppress(OSError):  # it may have ended already
        os.setpriority(os.PRIO_PROCESS, pid, max(os.getpriority(os.PRIO_PROCESS, pid), _NICENESS))
        # Linux may weigh whole sessions against each other first (sched(7), autogroup); others have no such file.
        Path(f"/proc/{pid}/autogroup").write_text(str(_NICENESS))


def _describe(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
