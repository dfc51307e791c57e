"""What guides for a self-managed gateway use beyond entities."""

from typing import Any

import pytest

from schema.registry import registry
from tests.support.entities import Entities


def test_information(entities: Entities) -> None:
    entities.create("plugins", {"name": "request-transformer"})
    for path in ("", "/"):
        answer = entities.client.get(entities.base + path, headers=entities.headers)
        assert answer.status_code == 200
    body = answer.json()
    assert body["plugins"]["available_on_server"].keys() == registry().plugins.keys()
    assert body["plugins"]["enabled_in_cluster"] == ["request-transformer"]
    assert body["configuration"]["database"] == "postgres"
    assert entities.get("plugins/enabled") == {"enabled_plugins": list(registry().plugins)}


def test_status_follows_the_configuration(entities: Entities) -> None:
    before = entities.get("status")
    entities.create("services", {"host": "h"})
    after = entities.get("status")
    assert after["database"] == {"reachable": True}
    assert after["configuration_version"] == before["configuration_version"] + 1
    assert (before["entities"], after["entities"]) == (0, 1)


def test_endpoints(entities: Entities) -> None:
    found = entities.get("endpoints")["data"]
    assert found == sorted(found)
    assert {"/", "/services", "/services/{ServiceId}/plugins", "/routes/{RouteId}/service", "/tags/{tag}"} <= set(found)


class TestTags:
    def test_all_and_one(self, entities: Entities) -> None:
        service = entities.create("services", {"host": "h", "tags": ["a", "b"]})
        route = entities.create("routes", {"paths": ["/"], "tags": ["b"]})
        entities.create("consumers", {"username": "none", "tags": []})
        lines = [
            {"entity_name": "routes", "entity_id": route["id"], "tag": "b"},
            {"entity_name": "services", "entity_id": service["id"], "tag": "a"},
            {"entity_name": "services", "entity_id": service["id"], "tag": "b"},
        ]
        assert entities.get("tags") == {"data": lines, "next": None, "offset": None}
        assert entities.get("tags/b")["data"] == [lines[0], lines[2]]
        assert entities.get("tags/c")["data"] == []

    def test_pages(self, entities: Entities) -> None:
        for number in range(5):
            entities.create("services", {"host": "h", "tags": ["x", f"t{number}"]})
        seen: list[Any] = []
        path: str | None = f"{entities.base}/tags?size=3"
        while path is not None:
            page = entities.client.get(path, headers=entities.headers).json()
            assert len(page["data"]) <= 3
            seen += page["data"]
            path = page["next"]
        assert len(seen) == 10
        assert len({(line["entity_id"], line["tag"]) for line in seen}) == 10

    @pytest.mark.parametrize("query", ["size=0", "size=x", "offset=!", "offset=WyJhIl0", "offset=W10"])
    def test_bad_pages(self, entities: Entities, query: str) -> None:
        assert entities.call("GET", f"tags?{query}").status_code == 400

    def test_of_this_control_plane_only(self, entities: Entities, tenant: Any, shared_client: Any) -> None:
        other = Entities.of(shared_client, tenant, "other")
        other.create("services", {"host": "h", "tags": ["a"]})
        assert entities.get("tags")["data"] == entities.get("tags/a")["data"] == []


class TestMethods:
    def test_head_is_get_without_content(self, entities: Entities) -> None:
        service = entities.create("services", {"name": "s", "host": "h"})
        for path in ("services", "services/s", f"services/{service['id']}/plugins", "status"):
            got, head = entities.call("GET", path), entities.call("HEAD", path)
            assert head.status_code == 200
            assert head.content == b""
            assert head.headers["content-length"] == got.headers["content-length"]
        assert entities.call("HEAD", "services/nobody").status_code == 404
        assert entities.client.head(f"{entities.base}/services").status_code == 401

    @pytest.mark.parametrize(
        ("path", "allow"),
        [
            ("services", "GET, HEAD, OPTIONS, POST"),
            ("services/s", "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"),
            ("tags", "GET, HEAD, OPTIONS"),
            ("config", "GET, HEAD, OPTIONS, POST"),
        ],
    )
    def test_options_say_what_is_allowed(self, entities: Entities, path: str, allow: str) -> None:
        answer = entities.call("OPTIONS", path)
        assert (answer.status_code, answer.headers["allow"], answer.content) == (204, allow, b"")
        refused = entities.call("DELETE" if path != "services/s" else "POST", path)
        assert (refused.status_code, refused.headers["allow"]) == (405, allow)
        assert refused.json()["message"] == "Method not allowed"

    @pytest.mark.parametrize("method", ["GET", "OPTIONS", "HEAD", "POST"])
    def test_unknown_paths(self, entities: Entities, method: str) -> None:
        answer = entities.call(method, "gadgets/1")
        assert answer.status_code == 404
        if method != "HEAD":
            assert answer.json()["message"] == "Not found"
