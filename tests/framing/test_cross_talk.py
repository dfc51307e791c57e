"""No response reaches another request, whatever upstreams and clients do."""

from __future__ import annotations

import asyncio

import pytest

from tests.framing.cross_talk import PLANS, UNRULY_PLANS, exchange

SEED = 20_261_123
EXCHANGES = 3000


@pytest.mark.parametrize("plans", [PLANS, UNRULY_PLANS], ids=["within-and-between-tenants", "between-tenants"])
def test_everyone_gets_their_own(plans: tuple[str, ...]) -> None:
    findings = asyncio.run(exchange(SEED, EXCHANGES, plans))

    assert not findings.problems, "\n".join(problem[:500] for problem in findings.problems[:5])
    # All of the upstream's ways were met, and most requests were answered all the same.
    assert set(findings.asked) == set(plans)
    assert findings.answers["200"] > EXCHANGES // 3
