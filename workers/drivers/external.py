"""Runtimes that someone else starts (containers of a compose file, pods): only their heartbeats tell of them."""

from workers.drivers.base import Observed, Pool


class ExternalDriver:
    """Starts and stops nothing."""

    def observe(self, pool: Pool) -> Observed:
        del pool
        return Observed("foreign")

    def start(self, pool: Pool) -> None:
        del pool

    def prepare(self, pool: Pool) -> None:
        del pool

    def stop(self, region: str) -> None:
        del region

    def regions(self) -> list[str]:
        return []
