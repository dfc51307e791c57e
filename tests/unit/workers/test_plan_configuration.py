from uuid import UUID

import pytest

from core.gateways.pools import ConfigurationFacts, GroupFacts, NodeReport, PoolFacts
from workers.reconcile.gateway_configuration import (
    Assign,
    Delete,
    MarkObserved,
    MarkReady,
    Report,
    Step,
    Withdraw,
    plan,
)

G = UUID("aaaaaaaa-0000-4000-8000-000000000001")
H = UUID("bbbbbbbb-0000-4000-8000-000000000002")


def facts(*groups: GroupFacts, observed: int = 0, **pools: PoolFacts) -> ConfigurationFacts:
    return ConfigurationFacts(1, observed, groups, pools)


def group(state: str, assigned: int | None = None, reason: str | None = None, region: str = "us") -> GroupFacts:
    return GroupFacts(G, region, state, assigned, reason)


RUNNING_4 = NodeReport(version=4, accepted=True, running_version=4)
REFUSED_5 = NodeReport(version=5, accepted=False, running_version=4, first_error="no such plugin")
REFUSED_FIRST = NodeReport(version=5, accepted=False, running_version=None, first_error="no such plugin")


@pytest.mark.parametrize(
    ("wanted", "pool", "steps"),
    [
        (group("initializing"), PoolFacts(0), [Assign(G, "us")]),
        (group("created"), PoolFacts(1), [Assign(G, "us")]),
        (group("initializing", 4), PoolFacts(1, [RUNNING_4]), [MarkReady(G)]),
        (group("initializing", 3), PoolFacts(1, [RUNNING_4]), [MarkReady(G)]),
        # A later version that is refused does not take away what runs.
        (group("initializing", 4), PoolFacts(1, [REFUSED_5]), [MarkReady(G)]),
        (group("initializing", 4), PoolFacts(2, [REFUSED_FIRST, RUNNING_4]), [MarkReady(G)]),
        (group("ready", 4), PoolFacts(0), []),
        (group("terminating", 4), PoolFacts(1, [RUNNING_4]), [Withdraw(G, "us")]),
        (group("terminating"), PoolFacts(1), [Delete(G)]),
        (group("terminating"), PoolFacts(0), [Delete(G)]),
        (group("terminated"), PoolFacts(1), [Delete(G)]),
    ],
)
def test_one_group(wanted: GroupFacts, pool: PoolFacts, steps: list[Step]) -> None:
    assert plan(facts(wanted, observed=1, us=pool)) == steps


@pytest.mark.parametrize(
    ("wanted", "pool", "status", "words"),
    [
        (group("initializing", 4), PoolFacts(0), "PENDING", "No gateway of region us"),
        (group("initializing", 4), PoolFacts(1), "PENDING", "confirm version 4"),
        (group("initializing", 5), PoolFacts(1, [RUNNING_4]), "PENDING", "confirm version 5"),
        (group("initializing", 5), PoolFacts(1, [REFUSED_FIRST]), "ERROR", "no such plugin"),
        (group("terminating"), PoolFacts(1, [RUNNING_4]), "PENDING", "let go"),
    ],
)
def test_waiting_is_reported_with_its_reason_once(wanted: GroupFacts, pool: PoolFacts, status: str, words: str) -> None:
    (step,) = plan(facts(wanted, us=pool))
    assert isinstance(step, Report)
    assert step.status == status
    assert words in step.reason
    told = GroupFacts(wanted.id, wanted.region, wanted.state, wanted.assigned_version, step.reason)
    assert plan(facts(told, us=pool)) == []


def test_observed_when_all_groups_are_ready() -> None:
    ready = group("ready", 4)
    assert plan(facts(ready, us=PoolFacts(1))) == [MarkObserved()]
    assert plan(facts(ready, observed=1, us=PoolFacts(1))) == []
    assert plan(facts()) == [MarkObserved()]


def test_observed_waits_for_every_group() -> None:
    waiting = GroupFacts(H, "eu", "initializing", 1, "No gateway of region eu is running at the moment.")
    assert plan(facts(group("ready", 4), waiting, us=PoolFacts(1), eu=PoolFacts(0))) == []


def test_groups_are_independent() -> None:
    new = GroupFacts(H, "eu", "initializing", None, None)
    pools = {"us": PoolFacts(1, [RUNNING_4]), "eu": PoolFacts(0)}
    assert plan(facts(group("terminating", 1), new, **pools)) == [Withdraw(G, "us"), Assign(H, "eu")]
