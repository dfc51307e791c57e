"""What released clients sent is answered as it was then, and a second round finds nothing to do."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.support.replay import Replay, differences, recording
from tests.support.tenants import Tenant


def status(client: TestClient, tenant: Tenant, replay: Replay) -> dict[str, Any]:
    return client.get(replay.path("~/status"), headers=tenant.headers).json()


@pytest.mark.parametrize("name", ["deck", "terraform"])
def test_a_second_round_changes_nothing(shared_client: TestClient, tenant: Tenant, name):
    recorded = recording(name)
    replay = Replay(shared_client, tenant.headers, recorded)
    first, second, *rest = recorded["rounds"]
    assert all(step["call"].startswith("GET ") for step in second)
    replay.run(first)
    before = status(shared_client, tenant, replay)
    replay.run(second)
    assert status(shared_client, tenant, replay) == before
    for steps in rest:
        replay.run(steps)


def test_what_was_made_and_deleted_can_be_made_again(shared_client: TestClient, tenant: Tenant):
    recorded = recording("go-kong")
    replay = Replay(shared_client, tenant.headers, recorded)
    creation, steps = recorded["rounds"]
    replay.run(creation)
    for _ in range(2):
        replay.run(steps)
        assert status(shared_client, tenant, replay)["entities"] == 0


def test_differences_are_told():
    wanted = {"a": [{"b": 1}], "c": None, "password": "x", "gone": 1}
    assert differences(wanted, {"a": [{"b": 2}], "c": 3, "password": "y"}) == [".a[0].b: 1 is read as 2"]
    assert differences({"a": [1]}, {"a": [1, 2]}) == [".a: [1] is read as [1, 2]"]
