"""rate-limiting: so many requests per second, minute, hour, day, month and year."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field

from schema.base import PluginConfig, PluginSpec
from schema.checks import AtLeastOneOf
from schema.errors import Violation
from schema.redis import Redis
from schema.types import HeaderName, HttpPath, Integer, Number, Rule, Text, between

_PERIODS: Final = ("second", "minute", "hour", "day", "month", "year")
_MOST: Final = 2**53


def _check_limit(value: float) -> str | None:
    if value <= 0:
        return "value must be greater than 0"
    return None if value <= _MOST else f"value should be between 0 and {_MOST}"


def _check_policy(policy: str) -> str | None:
    if policy == "local":
        return None
    return f"policy '{policy}' is not available on this gateway: use 'local', which counts per gateway process"


def _check_sync_rate(rate: float) -> str | None:
    return None if rate == -1 else "sync_rate needs a policy that is not available on this gateway: leave it at -1"


Limit = Annotated[Number, Rule(_check_limit, {"exclusiveMinimum": 0})]


@dataclass(frozen=True, slots=True)
class LongerAllowsMore:
    """The limit of a longer period is not lower than that of a shorter one."""

    @property
    def fields(self) -> frozenset[str]:
        return frozenset(_PERIODS)

    def violations(self, document: Mapping[str, Any]) -> Iterable[Violation]:
        given = [(name, document[name]) for name in _PERIODS if document.get(name) is not None]
        for (shorter, least), (longer, most) in pairwise(given):
            if most < least:
                low, high = f"{longer}({float(most)})", f"{shorter}({float(least)})"
                yield Violation("", f"The limit for {low} cannot be lower than the limit for {high}")


@dataclass(frozen=True, slots=True)
class NeedsWhen:
    """`name` must be set when `limit_by` is `value`."""

    name: str
    value: str

    @property
    def fields(self) -> frozenset[str]:
        return frozenset({self.name, "limit_by"})

    def violations(self, document: Mapping[str, Any]) -> Iterable[Violation]:
        if document.get("limit_by") == self.value and document.get(self.name) is None:
            yield Violation(self.name, "required field missing")


class RateLimiting(PluginConfig):
    """Limits requests per calendar window (UTC). Source: the behaviour of Kong Gateway's plugin of the same name."""

    spec: ClassVar[PluginSpec] = PluginSpec(
        name="rate-limiting",
        priority=910,
        since="0.1.0",
        checks=(
            AtLeastOneOf(_PERIODS),
            LongerAllowsMore(),
            NeedsWhen("header_name", "header"),
            NeedsWhen("path", "path"),
        ),
    )

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
    policy: Annotated[Literal["cluster", "local", "redis"], Rule(_check_policy)] = "local"
    """Where counters live."""
    sync_rate: Annotated[Number, Rule(_check_sync_rate)] = -1
    """Seconds between two synchronisations of shared counters; -1: none."""
    fault_tolerant: bool = True
    """Whether requests pass while counters cannot be reached. Local ones always can."""
    redis: Redis = Field(default_factory=Redis)
    """Server for the policy `redis`."""
    hide_client_headers: bool = False
    """Whether responses say nothing of limits."""
    error_code: Annotated[Integer, between(200, 599)] = 429
    """Status of refusals."""
    error_message: Text = "API rate limit exceeded"
    """Message of refusals."""
