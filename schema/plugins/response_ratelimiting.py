"""response-ratelimiting: the upstream says how much of a limit a response has used up."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import SerializerFunctionWrapHandler, model_serializer

from schema.base import NO_GROUP, PluginConfig, PluginSpec, Record
from schema.checks import AtLeastOneOf, RequiredWhen
from schema.marks import GatewayRule
from schema.periods import PERIODS, Limit, LongerAllowsMore, policy_fault
from schema.redis import REDIS_ALIASES, Redis
from schema.types import HeaderName, Text, items

_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", re.ASCII)


def _names_fault(limits: Mapping[str, Any]) -> str | None:
    unfit = next((name for name in limits if not _TOKEN.fullmatch(name)), None)
    return None if unfit is None else f"'{unfit}' cannot be part of a header's name"


class Limits(Record):
    """How much per period."""

    checks = (AtLeastOneOf(PERIODS), LongerAllowsMore("the"))

    second: Limit | None = None
    """Units per second."""
    minute: Limit | None = None
    """Units per minute."""
    hour: Limit | None = None
    """Units per hour."""
    day: Limit | None = None
    """Units per day."""
    month: Limit | None = None
    """Units per month."""
    year: Limit | None = None
    """Units per year."""

    @model_serializer(mode="wrap")
    def _given(self, whole: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what is unset: decK completes records, but takes the values of a map as they are in its file."""
        return {name: value for name, value in whole(self).items() if value is not None}


class ResponseRatelimiting(PluginConfig):
    """Limits what responses use up. Source: the behaviour of Kong Gateway's plugin of the same name."""

    spec: ClassVar[PluginSpec] = PluginSpec(
        name="response-ratelimiting",
        priority=900,
        since="0.1.0",
        scopes=NO_GROUP,
        checks=(RequiredWhen(("redis.host",), "policy", ("redis",)),),
        partials=(("redis-ce", "config.redis"),),
    )
    aliases = REDIS_ALIASES

    limits: Annotated[dict[Text, Limits], items(minimum=1, maximum=64), GatewayRule(_names_fault)]
    """Limits by the name that the upstream uses."""
    header_name: HeaderName = "x-kong-limit"
    """Header in which the upstream says what was used up."""
    limit_by: Literal["consumer", "credential", "ip"] = "consumer"
    """What is counted by; where it is missing, the client's address."""
    policy: Annotated[Literal["local", "cluster", "redis"], GatewayRule(policy_fault)] = "local"
    """Where counters live."""
    fault_tolerant: bool = True
    """Whether requests pass while counters cannot be reached."""
    redis: Redis | None = None
    """Server for the policy `redis`."""
    block_on_first_violation: bool = False
    """Whether requests are refused as soon as any limit is used up."""
    hide_client_headers: bool = False
    """Whether responses say nothing of limits."""
