"""Schemas of custom plugins: named by their own text, with answers and errors in a form of their own."""

from uuid import uuid4

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from core.db.engine import Database
from tests.support.entities import Entities
from tests.support.problems import assert_problem, core_entity_details
from tests.support.tenants import Tenant

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


GREETING = """
local typedefs = require "kong.db.schema.typedefs"
return { name = "greeting", fields = { { consumer = typedefs.no_consumer }, { config = { type = "record", fields = {
  { text = { type = "string", required = true } }, { times = { type = "integer", default = 1 } } } } } } }
"""


class TestPluginsOfSchemas:
    """Plugins of the owner's own, for nodes of the owner's own."""

    @pytest.fixture
    def known(self, entities: Entities):
        return entities.create("plugin-schemas", {"lua_schema": GREETING})

    def test_life(self, entities: Entities, known):
        made = entities.create("plugins", {"name": "greeting", "config": {"text": "hello"}})
        assert made["config"] == {"text": "hello", "times": 1}
        place = f"plugins/{made['id']}"
        assert entities.get(place) == made
        changed = entities.call("PATCH", place, json={"config": {"times": 2}}).json()
        assert changed["config"] == {"text": "hello", "times": 2}
        again = entities.call("PUT", place, json=changed)
        assert (again.status_code, again.json()["config"]) == (200, changed["config"])
        assert entities.get("plugins")["data"] == [again.json()]
        assert entities.call("DELETE", place).status_code == 204

    def test_faults_have_their_place(self, entities: Entities, known):
        wrong = {"name": "greeting", "config": {"times": "x", "more": 1}, "consumer": {"id": str(uuid4())}}
        details = core_entity_details(entities.call("POST", "plugins", json=wrong))
        assert {"config.text", "config.times", "config.more", "consumer"} <= details.keys()
        checked = entities.call("POST", "schemas/plugins/validate", json=wrong)
        assert "config.text: required field missing" in checked.json()["message"]

    def test_clients_read_the_schema(self, entities: Entities, known):
        fields = {
            name: field for entry in entities.get("schemas/plugins/greeting")["fields"] for name, field in entry.items()
        }
        assert fields["config"]["fields"][1] == {"times": {"type": "integer", "default": 1}}
        assert entities.call("GET", "schemas/plugins/other").status_code == 404

    def test_by_a_plugin_with_code(self, entities: Entities):
        entities.create("custom-plugins", {"name": "greeting", "schema": GREETING, "handler": "return {}"})
        assert entities.create("plugins", {"name": "greeting", "config": {"text": "x"}})["config"]["times"] == 1

    def test_a_schema_that_would_have_to_be_run(self, entities: Entities):
        entities.create("plugin-schemas", {"lua_schema": "x = 1 return { name = 'odd', fields = {} }"})
        details = core_entity_details(entities.call("POST", "plugins", json={"name": "odd"}))
        assert "cannot be read without running it: line 1" in str(details["name"])

    def test_texts_are_sealed(self, entities: Entities, known, database: Database):
        made = entities.create("plugins", {"name": "greeting", "config": {"text": "hunter2"}})
        with database.system() as session:
            stored = session.execute(
                text("select doc::text from plugins where id = :id"), {"id": made["id"]}
            ).scalar_one()
        assert "hunter2" not in stored

    def test_it_stays_readable_without_its_schema(self, entities: Entities, known):
        made = entities.create("plugins", {"name": "greeting", "config": {"text": "hello"}})
        assert entities.call("DELETE", "plugin-schemas/greeting").status_code == 204
        assert entities.get(f"plugins/{made['id']}") == made
        assert entities.call("PUT", f"plugins/{made['id']}", json=made).status_code == 400

    def test_our_gateways_do_not_run_it(self, shared_client: TestClient, tenant: Tenant):
        entities = Entities.of(shared_client, tenant, cluster_type="CLUSTER_TYPE_SERVERLESS_V1", cloud_gateway=True)
        entities.create("plugin-schemas", {"lua_schema": GREETING})
        details = core_entity_details(
            entities.call("POST", "plugins", json={"name": "greeting", "config": {"text": "hello"}})
        )
        assert "not available on this gateway" in str(details["name"])

    def test_out_and_in_again(self, entities: Entities, known):
        made = entities.create("plugins", {"name": "greeting", "config": {"text": "hello"}})
        file = entities.get("config")
        assert entities.call("POST", "config", json=file, params={"check_hash": "1"}).status_code == 304
        file["plugins"][0]["config"]["times"] = 5
        assert entities.call("POST", "config", json=file).status_code == 201
        assert entities.get(f"plugins/{made['id']}")["config"] == {"text": "hello", "times": 5}
