"""No response reaches another request, whatever upstreams and clients do."""

from __future__ import annotations

import asyncio

import pytest

from tests.framing.cross_talk import PLANS, UNRULY_PLANS, exchange
from tests.framing.cross_talk_http2 import CALL_PLANS, call_all

SEED = 20_261_123
EXCHANGES = 3000
CALLS = 1500


@pytest.mark.parametrize("plans", [PLANS, UNRULY_PLANS], ids=["within-and-between-tenants", "between-tenants"])
def test_everyone_gets_their_own(plans: tuple[str, ...]) -> None:
    findings = asyncio.run(exchange(SEED, EXCHANGES, plans))

    assert not findings.problems, "\n".join(problem[:500] for problem in findings.problems[:5])
    # All of the upstream's ways were met, and most requests were answered all the same.
    assert set(findings.asked) == set(plans)
    assert findings.answers["200"] > EXCHANGES // 3


def test_every_caller_gets_their_own_over_shared_connections() -> None:
    findings = asyncio.run(call_all(SEED, CALLS))

    assert not findings.problems, "\n".join(problem[:500] for problem in findings.problems[:5])
    assert set(findings.asked) == set(CALL_PLANS)
    assert findings.answers["0"] > CALLS // 3
