"""Limits per second, minute, hour, day, month and year."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Final

from schema.errors import Violation
from schema.types import Number, Rule

PERIODS: Final = ("second", "minute", "hour", "day", "month", "year")
_MOST: Final = 2**53


def _check_limit(value: float) -> str | None:
    if value <= 0:
        return "value must be greater than 0"
    return None if value <= _MOST else f"value should be between 0 and {_MOST}"


Limit = Annotated[Number, Rule(_check_limit, {"exclusiveMinimum": 0})]


def policy_fault(policy: str) -> str | None:
    """Why our own gateways do not take a policy of counting."""
    if policy != "cluster":
        return None
    return (
        "policy 'cluster' is not available on this gateway: use 'redis', or 'local', which counts per gateway process"
    )


@dataclass(frozen=True, slots=True)
class LongerAllowsMore:
    """The limit of a longer period is not lower than that of a shorter one. `article`: how the message begins."""

    article: str

    @property
    def fields(self) -> frozenset[str]:
        return frozenset(PERIODS)

    def violations(self, document: Mapping[str, Any]) -> Iterable[Violation]:
        given = [(name, document[name]) for name in PERIODS if document.get(name) is not None]
        for (shorter, least), (longer, most) in pairwise(given):
            if most < least:
                low, high = f"{longer}({float(most)})", f"{shorter}({float(least)})"
                yield Violation("", f"{self.article} limit for {low} cannot be lower than the limit for {high}")
