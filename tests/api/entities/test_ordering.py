"""Wishes for the order of plugins that no order grants are refused when they are written."""

from typing import Any

from tests.support.entities import Entities

_AUTH = {"name": "key-auth", "ordering": {"after": {"access": ["rate-limiting"]}}}
_LIMIT = {"name": "rate-limiting", "config": {"minute": 5}, "ordering": {"after": {"access": ["key-auth"]}}}


def _refused(entities: Entities, path: str, body: dict[str, Any], method: str = "POST") -> bool:
    answer = entities.call(method, path, json=body)
    if answer.status_code != 400:
        assert answer.status_code in (200, 201), answer.text
        return False
    (detail,) = answer.json()["details"]
    assert detail["field"] == "ordering"
    assert "key-auth" in str(detail)
    assert "rate-limiting" in str(detail)
    return True


def test_two_plugins_cannot_each_come_after_the_other(entities: Entities):
    made = entities.create("plugins", _AUTH)
    assert _refused(entities, "plugins", _LIMIT)
    assert not _refused(entities, f"plugins/{made['id']}", {"ordering": None}, "PATCH")
    limit = entities.create("plugins", _LIMIT)
    assert _refused(entities, f"plugins/{made['id']}", {"ordering": _AUTH["ordering"]}, "PATCH")
    assert not _refused(entities, f"plugins/{limit['id']}", {"enabled": False}, "PATCH")
    assert not _refused(entities, f"plugins/{made['id']}", _AUTH, "PUT")
    assert _refused(entities, f"plugins/{limit['id']}", {"enabled": True}, "PATCH")


def test_only_plugins_that_run_together_count(entities: Entities):
    for name in ("one", "two"):
        entities.create("services", {"name": name, "host": "a.test"})
        entities.create(f"services/{name}/routes", {"name": name, "paths": [f"/{name}"]})
    entities.create("services/one/plugins", _AUTH)
    assert not _refused(entities, "services/two/plugins", _LIMIT)
    assert _refused(entities, "routes/one/plugins", _LIMIT)
    assert not _refused(entities, "routes/two/plugins", _LIMIT)
    # A more specific use without a wish stands before one that has it.
    entities.create("routes/one/plugins", {"name": "key-auth"})
    assert not _refused(entities, "routes/one/plugins", _LIMIT)
    assert _refused(entities, "plugins", _LIMIT)


def test_a_plugin_without_a_wish_may_close_a_circle(entities: Entities):
    entities.create("plugins", {"name": "key-auth", "ordering": {"before": {"access": ["rate-limiting"]}}})
    terminating = {"before": {"access": ["key-auth"]}, "after": {"access": ["rate-limiting"]}}
    entities.create("plugins", {"name": "request-termination", "ordering": terminating})
    assert _refused(entities, "plugins", {"name": "rate-limiting", "config": {"minute": 5}})
    entities.create("plugins", {"name": "request-transformer"})
    consumer = entities.create("consumers", {"username": "ann"})
    personal = {"name": "rate-limiting", "config": {"minute": 5}, "consumer": {"id": consumer["id"]}}
    assert _refused(entities, "plugins", personal)


def test_a_plugin_cannot_come_before_itself(entities: Entities):
    wish = {"before": {"access": ["key-auth"]}}
    assert entities.call("POST", "plugins", json={"name": "key-auth", "ordering": wish}).status_code == 400
