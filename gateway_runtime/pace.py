"""How often a control plane's changes are taken in."""

import time
from collections.abc import Callable
from typing import Final

BURST: Final = 10
EVERY_NS: Final = 200_000_000


class Pace:
    """A few changes at once, then one step per interval, with all that has gathered meanwhile.

    Whoever changes a handful of entities sees each of them at once. An import or a pipeline that never rests costs the
    traffic five steps a second, not as many as there are changes, and none of its changes waits longer than an interval.
    """

    def __init__(self, clock_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._clock_ns = clock_ns
        self._even_at = 0

    def step(self) -> None:
        """Note that a step was made."""
        now = self._clock_ns()
        self._even_at = min(max(self._even_at, now) + EVERY_NS, now + BURST * EVERY_NS)

    @property
    def wait_seconds(self) -> float:
        """Until the next step may be made; 0 if it may be made now."""
        return max(0, self._even_at - (BURST - 1) * EVERY_NS - self._clock_ns()) / 1e9
