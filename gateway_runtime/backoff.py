"""How long to wait before trying again."""

import random
from typing import Final

_RANDOM: Final = random.SystemRandom()


class Backoff:
    """Exponential, with full jitter: a fleet that lost its control plane does not come back all at once.

    The n-th delay is drawn from `first_seconds / 2` up to `first_seconds * 2**n`, at most `most_seconds`.
    """

    def __init__(self, first_seconds: float, most_seconds: float, *, source: random.Random = _RANDOM) -> None:
        self._first = first_seconds
        self._most = most_seconds
        self._source = source
        self._failures = 0

    @property
    def failures(self) -> int:
        """Delays given out since the last success."""
        return self._failures

    def reset(self) -> None:
        """The last try went well."""
        self._failures = 0

    def next_delay(self) -> float:
        """Seconds until the next try."""
        ceiling = min(self._most, self._first * 2 ** min(self._failures, 32))
        self._failures += 1
        return self._source.uniform(min(self._first / 2, ceiling), ceiling)
