"""Telling a process that hangs from one that works: it no longer answers its status listener."""

import http.client
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gateway_runtime.spec import split_address

PATH: Final = "/status"
_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound


@dataclass(frozen=True, slots=True)
class Patience:
    """How long silence is no reason to worry.

    Generous: a machine that is short of processor time must not lose a gateway that merely waits for its turn.
    """

    every_seconds: float = 3.0
    answer_seconds: float = 2.0
    misses: int = 5
    """So many in a row, and it counts as hung: after some 15 seconds."""
    start_seconds: float = 120.0
    """How long it may take until it answers for the first time: it loads its cache before it listens."""


class StatusProbe:
    """Asks a status listener once per call."""

    def __init__(self, address: str, answer_seconds: float) -> None:
        """`address` is where it listens, `host:port`; an address of all interfaces is asked on loopback."""
        host, self._port = split_address(address)
        self._host = _EVERYWHERE.get(host, host)
        self._answer_seconds = answer_seconds

    def __call__(self) -> bool:
        """Whether an answer came in time. One of any status is a sign of life, as far as this goes."""
        connection = http.client.HTTPConnection(self._host, self._port, timeout=self._answer_seconds)
        try:
            connection.request("GET", PATH)
            connection.getresponse()
        except (OSError, http.client.HTTPException):
            return False
        else:
            return True
        finally:
            connection.close()


class Liveness:
    """What the probes of one process have shown so far."""

    def __init__(
        self, probe: Callable[[], bool], patience: Patience, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Counts from now; `clock` gives seconds."""
        self._probe = probe
        self._patience = patience
        self._clock = clock
        self._born = clock()
        self._next = self._born + patience.every_seconds
        self._answered = False
        self._missed = 0

    @property
    def hung(self) -> bool:
        """It has been silent for too long."""
        if not self._answered and self._clock() - self._born < self._patience.start_seconds:
            return False
        return self._missed >= self._patience.misses

    @property
    def due_seconds(self) -> float:
        """Until the next probe; 0 when it is due."""
        return max(0.0, self._next - self._clock())

    def check(self) -> None:
        """Probe, if it is time."""
        if self.due_seconds > 0:
            return
        self._next = self._clock() + self._patience.every_seconds
        if self._probe():
            self._answered = True
            self._missed = 0
        else:
            self._missed += 1
