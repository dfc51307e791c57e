"""A clock that stands still until it is told to move."""

from datetime import UTC, datetime, timedelta


class ManualClock:
    """Starts at the machine's time, so that rows written by defaults lie in its past."""

    def __init__(self, start: datetime | None = None) -> None:
        self._now = start or datetime.now(UTC)
        self._monotonic = 0.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, **duration: float) -> None:
        """Move forward; takes the arguments of `timedelta`."""
        step = timedelta(**duration)
        self._now += step
        self._monotonic += step.total_seconds()
