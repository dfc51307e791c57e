"""Consumers in groups, from both sides."""

import pytest
from sqlalchemy import text

from tests.support.entities import Entities


@pytest.fixture
def group(entities: Entities):
    return entities.create("consumer_groups", {"name": "gold"})


@pytest.fixture
def consumers(entities: Entities):
    return [entities.create("consumers", {"username": name}) for name in ("bob", "eve", "joe")]


def members(entities):
    return entities.call("GET", "consumer_groups/gold").json()["consumers"]


def test_members_from_the_side_of_the_group(entities: Entities, group, consumers):
    bob, eve, joe = consumers
    added = entities.call("POST", "consumer_groups/gold/consumers", json={"consumer": "bob"})
    assert added.status_code == 201
    assert added.json() == {"consumer_group": group, "consumers": [bob]}
    both = entities.call("POST", "consumer_groups/gold/consumers", json={"consumer": [eve["id"], "bob"]})
    assert both.json()["consumers"] == [eve, bob]
    page = entities.get("consumer_groups/gold/consumers?size=1")
    assert page["data"] == [bob]
    assert entities.get(f"consumer_groups/gold/consumers?size=1&offset={page['offset']}")["data"] == [eve]
    assert entities.get("consumers/eve/consumer_groups")["data"] == [group]
    assert entities.get("consumers/joe/consumer_groups")["data"] == []
    assert entities.call("DELETE", "consumer_groups/gold/consumers/bob").status_code == 204
    assert entities.call("DELETE", f"consumer_groups/gold/consumers/{joe['id']}").status_code == 404
    assert members(entities) == [eve]
    assert entities.call("DELETE", "consumer_groups/gold/consumers").status_code == 204
    assert members(entities) == []


def test_members_from_the_side_of_the_consumer(entities: Entities, group, consumers):
    added = entities.call("POST", "consumers/bob/consumer_groups", json={"group": "gold"})
    assert added.status_code == 201
    assert added.json() == {"consumer": consumers[0], "consumer_groups": [group]}
    assert entities.call("DELETE", "consumers/bob/consumer_groups/gold").status_code == 204
    entities.call("POST", "consumers/bob/consumer_groups", json={"group": group["id"]})
    assert entities.call("DELETE", "consumers/bob/consumer_groups").status_code == 204
    assert entities.get("consumers/bob/consumer_groups")["data"] == []


def test_a_group_is_read_with_its_consumers(entities: Entities, group, consumers):
    entities.call("POST", "consumer_groups/gold/consumers", json={"consumer": "bob"})
    plugin = entities.create("consumer_groups/gold/plugins", {"name": "request-transformer"})
    assert plugin["consumer_group"] == {"id": group["id"]}
    assert entities.call("GET", "consumer_groups/gold").json() == {
        "consumer_group": group,
        "consumers": [consumers[0]],
        "plugins": [],
    }
    assert entities.get("consumer_groups/gold/plugins")["data"] == [plugin]
    without = entities.call("GET", "consumer_groups/gold", params={"list_consumers": "false"}).json()
    assert without == {"consumer_group": group, "plugins": []}


def test_joining_twice_changes_nothing(entities: Entities, group, consumers, database):
    def version():
        with database.system() as session:
            statement = text("select config_version from control_planes where id = :id")
            return session.execute(statement, {"id": entities.id}).scalar_one()

    for _ in range(2):
        entities.call("POST", "consumer_groups/gold/consumers", json={"consumer": "bob"})
    before = version()
    assert before == 5
    for _ in range(2):
        assert entities.call("DELETE", "consumer_groups/gold/consumers").status_code == 204
    assert version() == 6
    assert members(entities) == []


@pytest.mark.parametrize("body", [{}, {"consumer": 7}, {"consumer": []}, {"consumer": {}}, [], {"consumer": "nobody"}])
def test_who_is_nobody(entities: Entities, group, body):
    refused = entities.call("POST", "consumer_groups/gold/consumers", json=body)
    assert refused.status_code == 400
    assert refused.json()["details"][0]["field"] == "consumer"


def test_members_leave_with_consumer_or_group(entities: Entities, group, consumers, database):
    for name in ("bob", "eve"):
        entities.call("POST", "consumer_groups/gold/consumers", json={"consumer": name})
    assert entities.call("DELETE", "consumers/bob").status_code == 204
    assert members(entities) == [consumers[1]]
    plugin = entities.create("consumer_groups/gold/plugins", {"name": "request-transformer"})
    assert entities.call("DELETE", "consumer_groups/gold").status_code == 204
    assert entities.get("consumers/eve") == consumers[1]
    assert entities.call("GET", f"plugins/{plugin['id']}").status_code == 404
