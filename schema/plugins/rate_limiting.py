"""rate-limiting: so many requests per second, minute, hour, day, month and year."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final, Literal

from schema.base import PluginConfig, PluginSpec
from schema.checks import AtLeastOneOf, RequiredWhen
from schema.errors import Violation
from schema.marks import GatewayRule
from schema.periods import PERIODS, Limit, LongerAllowsMore, policy_fault
from schema.plugin_types import above, status_fault
from schema.redis import REDIS_ALIASES, Redis
from schema.types import HeaderName, HttpPath, Number, Text

_REAL_TIME: Final = -1
_SHORTEST_SYNC_SECONDS: Final = 0.02


@dataclass(frozen=True, slots=True)
class SyncRateFits:
    """Only counters that are shared by way of Redis can be synchronised every so often."""

    @property
    def fields(self) -> frozenset[str]:
        return frozenset({"policy", "sync_rate"})

    def violations(self, document: Mapping[str, Any]) -> Iterable[Violation]:
        rate = document["sync_rate"]
        if rate == _REAL_TIME:
            return
        if document["policy"] != "redis":
            yield Violation("", "sync_rate can only be used with the redis policy")
        elif rate < _SHORTEST_SYNC_SECONDS:
            yield Violation("", f"sync_rate must be greater than {_SHORTEST_SYNC_SECONDS}, or -1 to disable")


class RateLimiting(PluginConfig):
    """Limits requests per calendar window (UTC). Source: the behaviour of Kong Gateway's plugin of the same name."""

    spec: ClassVar[PluginSpec] = PluginSpec(
        name="rate-limiting",
        priority=910,
        since="0.1.0",
        checks=(
            AtLeastOneOf(PERIODS),
            LongerAllowsMore("The"),
            SyncRateFits(),
            RequiredWhen(("header_name",), "limit_by", ("header",)),
            RequiredWhen(("path",), "limit_by", ("path",)),
            RequiredWhen(("redis.host",), "policy", ("redis",)),
        ),
        partials=(("redis-ce", "config.redis"),),
    )
    aliases = REDIS_ALIASES

    second: Limit | None = None
    """Requests per second."""
    minute: Limit | None = None
    """Requests per minute."""
    hour: Limit | None = None
    """Requests per hour."""
    day: Limit | None = None
    """Requests per day."""
    month: Limit | None = None
    """Requests per month."""
    year: Limit | None = None
    """Requests per year."""
    limit_by: Literal["consumer", "consumer-group", "credential", "header", "ip", "path", "service"] = "consumer"
    """What requests are counted by; where it is missing, the client's address."""
    header_name: HeaderName | None = None
    """Header that requests are counted by."""
    path: HttpPath | None = None
    """Path that requests are counted by."""
    policy: Annotated[Literal["cluster", "local", "redis"], GatewayRule(policy_fault)] = "local"
    """Where counters live."""
    sync_rate: Number = _REAL_TIME
    """Seconds between two synchronisations of shared counters; -1: they are asked every time."""
    fault_tolerant: bool = True
    """Whether requests pass while counters cannot be reached. Local ones always can be."""
    redis: Redis | None = None
    """Server for the policy `redis`."""
    hide_client_headers: bool = False
    """Whether responses say nothing of limits."""
    error_code: Annotated[Number, above(0), GatewayRule(status_fault)] = 429
    """Status of refusals."""
    error_message: Text = "API rate limit exceeded"
    """Message of refusals."""
