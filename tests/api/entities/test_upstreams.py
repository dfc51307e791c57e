"""Targets are found by their address below their upstream, and go with it."""

from tests.support.entities import Entities


def test_a_target_is_found_by_any_form_of_its_address(entities: Entities):
    entities.create("upstreams", {"name": "one"})
    entities.create("upstreams", {"name": "two"})
    made = entities.create("upstreams/one/targets", {"target": "backend.test"})
    twin = entities.create("upstreams/two/targets", {"target": "backend.test:8000", "weight": 1})
    assert made["target"] == "backend.test:8000"
    for key in ("backend.test", "backend.test:8000", made["id"]):
        assert entities.get(f"upstreams/one/targets/{key}") == made
    assert entities.get("upstreams/two/targets/backend.test") == twin
    assert entities.get("targets")["data"] == [made, twin]
    assert entities.get(f"targets/{twin['id']}") == twin
    assert entities.call("GET", "targets/backend.test:8000").status_code == 404  # there are two of them
    assert entities.get(f"targets/{made['id']}/upstream")["name"] == "one"


def test_an_address_occurs_once_per_upstream(entities: Entities):
    entities.create("upstreams", {"name": "one"})
    entities.create("upstreams/one/targets", {"target": "10.0.0.1"})
    again = entities.call("POST", "upstreams/one/targets", json={"target": "010.0.0.1:8000"})
    assert again.status_code == 400
    assert "(type: unique)" in again.text


def test_targets_go_with_their_upstream(entities: Entities):
    entities.create("upstreams", {"name": "one"})
    entities.create("upstreams/one/targets", {"target": "backend.test"})
    assert entities.call("DELETE", "upstreams/one").status_code == 204
    assert entities.get("targets")["data"] == []


def test_a_target_needs_an_upstream(entities: Entities):
    refused = entities.call("POST", "targets", json={"target": "backend.test"})
    assert refused.status_code == 400
    assert [detail["field"] for detail in refused.json()["details"]] == ["upstream"]
    upstream = entities.create("upstreams", {"name": "one"})
    made = entities.create("targets", {"target": "backend.test", "upstream": {"name": "one"}})
    assert made["upstream"] == {"id": upstream["id"]}
