"""Schemas of custom plugins: named by their own text, with answers and errors in a form of their own."""

from uuid import uuid4

import pytest

from tests.support.entities import Entities
from tests.support.problems import assert_problem

LUA = 'local PLUGIN_NAME = "mine"\nreturn { name = PLUGIN_NAME, fields = { { config = { type = "record" } } } }'


def refused(response, status):
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    assert set(response.json()) == {"message"}
    return response.json()["message"]


@pytest.fixture
def item(entities: Entities):
    return entities.create("plugin-schemas", {"lua_schema": LUA})["item"]


def test_the_name_is_read_from_the_text(entities: Entities, item):
    assert set(item) == {"name", "lua_schema", "created_at", "updated_at"}
    assert (item["name"], item["lua_schema"]) == ("mine", LUA)
    assert type(item["created_at"]) is type(item["updated_at"]) is int
    assert entities.get("plugin-schemas/mine") == {"item": item}
    changed = entities.call("PUT", "plugin-schemas/mine", json={"lua_schema": f"{LUA} -- changed"})
    assert changed.json()["item"]["lua_schema"] == f"{LUA} -- changed"
    assert entities.call("DELETE", "plugin-schemas/mine").status_code == 204
    assert "not found" in refused(entities.call("DELETE", "plugin-schemas/mine"), 404)


def test_pages(entities: Entities):
    names = ["a", "b", "c"]
    for name in names:
        entities.create("plugin-schemas", {"lua_schema": LUA.replace("mine", name)})
    first = entities.call("GET", "plugin-schemas", params={"page[size]": 2, "page[after]": ""}).json()
    assert [item["name"] for item in first["items"]] == ["a", "b"]
    assert first["page"]["total_count"] == 3
    rest = entities.call("GET", "plugin-schemas", params={"page[after]": first["page"]["next"]}).json()
    assert [item["name"] for item in rest["items"]] == ["c"]
    assert rest["page"] == {"total_count": 3, "next": None}


def test_refusals_are_messages(entities: Entities, item):
    assert "'mine'" in refused(entities.call("POST", "plugin-schemas", json={"lua_schema": LUA}), 409)
    for body in ({"lua_schema": "return {}"}, {}, {"lua_schema": 7}, {"name": "x", "lua_schema": LUA}, []):
        assert refused(entities.call("POST", "plugin-schemas", json=body), 400)
    assert refused(entities.call("POST", "plugin-schemas", content=b"{"), 400).startswith("the request body is")
    other = {"lua_schema": LUA.replace("mine", "other")}
    assert refused(entities.call("PUT", "plugin-schemas/mine", json=other), 400).startswith("lua_schema: the schema is")
    assert refused(entities.call("PUT", "plugin-schemas/other", json=other), 404)
    assert refused(entities.call("GET", f"plugin-schemas/{uuid4()}"), 404)
    assert refused(entities.call("PATCH", "plugin-schemas/mine"), 405)
    assert entities.get("plugin-schemas/mine")["item"] == item


def test_errors_of_the_list_are_problems(entities: Entities):
    for params in ({"page[size]": "x"}, {"page[size]": "0"}, {"page[after]": "x"}):
        assert_problem(entities.call("GET", "plugin-schemas", params=params), 400)
    nowhere = Entities(entities.client, entities.headers, str(uuid4()))
    assert_problem(nowhere.call("GET", "plugin-schemas"), 404)
