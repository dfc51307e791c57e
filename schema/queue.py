"""How plugins that report elsewhere keep what they have not delivered yet."""

from typing import Annotated, Literal

from pydantic import Field

from schema.base import PluginConfig, Record
from schema.marks import Deprecated, GatewayRule
from schema.types import Integer, Number, between


def _bytes_fault(value: int) -> str | None:
    return None if value > 0 else "value must be greater than 0"


_Seconds = Annotated[Number, between(0.001, 1_000_000, unit="seconds")]


class Queue(Record):
    """Batches, bounds and retries of what is waiting."""

    max_batch_size: Annotated[Integer, between(1, 1_000_000)] = 1
    """Most entries that are delivered at once."""
    max_coalescing_delay: Annotated[Number, between(0, 3600, unit="seconds")] = 1
    """Longest wait for a batch to fill up."""
    max_entries: Annotated[Integer, between(1, 1_000_000)] = 10_000
    """Most entries that wait; the oldest give way."""
    max_bytes: Annotated[Integer, GatewayRule(_bytes_fault)] | None = None
    """Most bytes that wait; unset: no bound of its own."""
    max_retry_time: Number = 60
    """Seconds for which a failed batch is tried again."""
    initial_retry_delay: _Seconds = 0.01
    """Pause before the first retry; it doubles with each further one."""
    max_retry_delay: _Seconds = 60
    """Longest pause between two retries."""
    concurrency_limit: Literal[-1, 1] = 1
    """Batches under way at once: one, or with -1 any number."""


class OnceQueuedConfig(PluginConfig):
    """Base of the plugins that had settings of their own for their queue before there was one for all."""

    retry_count: Annotated[Integer | None, Deprecated("queue.max_retry_time")] = None
    """Of old configurations; has no effect."""
    queue_size: Annotated[Integer | None, Deprecated("queue.max_batch_size")] = None
    """Of old configurations: entries per batch."""
    flush_timeout: Annotated[Number | None, Deprecated("queue.max_coalescing_delay")] = None
    """Of old configurations: seconds that a batch waits for more."""


class QueuedConfig(OnceQueuedConfig):
    """Base of those whose `queue` is filled with its defaults where it is left unset. Source: the published schemas."""

    queue: Queue = Field(default_factory=Queue)
    """What is waiting to be delivered."""
