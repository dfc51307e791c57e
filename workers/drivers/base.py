"""What every driver can do. A driver acts and observes; when to do what is the reconciler's business."""

from dataclasses import dataclass
from typing import Literal, Protocol

Condition = Literal["running", "absent", "foreign"]


@dataclass(frozen=True, slots=True)
class Observed:
    """What runs for a region.

    Attributes:
        condition: `foreign`: someone else starts and stops the runtimes of this region.
        outdated: it runs with other settings than are wanted now.
        worn: something that wears out (a certificate) is due for renewal, or missing.
        detail: one sentence for logs, when there is something to say.
    """

    condition: Condition
    outdated: bool = False
    worn: bool = False
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Pool:
    """The runtimes that a region's serverless gateways share, as they are wanted. Addresses are `host:port`; the public
    ports are those that clients use, where a balancer maps them.
    """

    region: str
    http_address: str
    https_address: str
    status_address: str
    api_url: str
    public_http_port: int | None = None
    public_https_port: int | None = None
    proxy_protocol: bool = False


class DriverError(Exception):
    """The environment did not do what it was asked for; the next sweep tries again. The message holds no secrets."""


class Driver(Protocol):
    """One kind of environment. Every method may be called again at any time, by any process."""

    def observe(self, pool: Pool) -> Observed:
        """What runs for the pool now."""
        ...

    def start(self, pool: Pool) -> None:
        """Have the pool run with these settings, in place of what runs with others, without a gap in its service.

        Raises: DriverError.
        """
        ...

    def prepare(self, pool: Pool) -> None:
        """Renew what wears out while a pool runs (certificates); cheap when there is nothing to do.

        Raises: DriverError.
        """
        ...

    def stop(self, region: str) -> None:
        """Have nothing run for the region; returns when that is so.

        Raises: DriverError.
        """
        ...

    def regions(self) -> list[str]:
        """Regions that something runs for, wanted or not."""
        ...
