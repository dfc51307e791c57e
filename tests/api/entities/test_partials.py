"""Parts of configurations that plugins share: links, what is shown, and what runtimes get."""

import pytest
from sqlalchemy import text

from core.snapshot.build import UpdateBuilder
from schema.snapshot import Delta, Limits, apply_delta
from tests.api.entities.test_history import REGION, serve
from tests.support.entities import Entities
from tests.support.problems import core_entity_details

LIMITS = {"name": "rate-limiting", "config": {"minute": 5}}


@pytest.fixture
def partial(entities: Entities):
    body = {"name": "shared", "type": "redis-ce", "config": {"host": "redis.test", "password": "hunter2"}}
    return entities.create("partials", body)


@pytest.fixture
def linked(entities: Entities, partial):
    return entities.create("plugins", {**LIMITS, "partials": [{"id": partial["id"]}]})


class TestPartials:
    def test_the_configuration_is_completed_by_its_type(self, partial):
        assert partial["config"]["port"] == 6379
        assert partial["config"]["cloud_authentication"] is None
        assert partial["config"]["password"] == "hunter2"

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"type": "redis-ce", "config": {"port": "x"}}, "config.port"),
            ({"type": "redis-ce", "config": {"cluster_nodes": []}}, "config.cluster_nodes"),
            ({"type": "redis-ee", "config": {"sentinel_master": "m"}}, "config"),
            ({"type": "vectordb", "config": {}}, "config.strategy"),
            ({"type": "embeddings", "config": {"model": {"name": "m"}}}, "config.model.provider"),
            ({"type": "model", "config": {"route_type": "x", "model": {}}}, "config.route_type"),
            ({"type": "redis", "config": {}}, "type"),
            ({"type": "redis-ce", "config": []}, "config"),
            ({"config": {}}, "type"),
        ],
    )
    def test_what_is_no_partial(self, entities: Entities, body, field):
        assert field in core_entity_details(entities.call("POST", "partials", json=body))

    def test_secrets_are_sealed(self, entities: Entities, linked, database):
        entities.call("PATCH", "partials/shared", json={"config": {"password": "hunter3"}})
        with database.system() as session:
            for table in ("partials", "plugins", "config_changes", "audit_events"):
                stored = session.execute(text(f"select string_agg(t::text, '') from {table} t")).scalar_one()
                assert "hunter" not in stored

    def test_the_type_is_fixed(self, entities: Entities, partial):
        place = f"partials/{partial['id']}"
        refused = entities.call("PUT", place, json={"type": "redis-ee", "config": {}})
        assert core_entity_details(refused) == {"type": ["immutable field cannot be updated"]}
        assert entities.call("PATCH", place, json={"config": {"port": 7000}}).json()["config"]["port"] == 7000


class TestLinks:
    def test_what_a_partial_covers_is_not_the_plugins_own(self, entities: Entities, partial, linked):
        assert linked["partials"] == [{"id": partial["id"], "name": "shared", "path": "config.redis"}]
        assert "redis" not in linked["config"]
        assert linked["config"]["minute"] == 5
        for path in (f"plugins/{linked['id']}", "plugins"):
            found = entities.get(path)
            assert (found["data"][0] if "data" in found else found) == linked
        again = entities.call("PUT", f"plugins/{linked['id']}", json=linked).json()
        assert {**again, "updated_at": 0} == {**linked, "updated_at": 0}

    def test_a_plugin_can_be_read_with_what_it_takes(self, entities: Entities, partial, linked):
        for path in (f"plugins/{linked['id']}", "plugins"):
            found = entities.call("GET", path, params={"expand_partials": "true"}).json()
            shown = found["data"][0] if "data" in found else found
            assert shown["config"]["redis"] == partial["config"]
            assert shown["partials"] == linked["partials"]

    def test_partials_may_be_named(self, entities: Entities, partial):
        link = {"id": None, "name": "shared", "path": "config.redis"}
        made = entities.create("plugins", {**LIMITS, "partials": [link]})
        assert made["partials"] == [{**link, "id": partial["id"]}]

    def test_the_partial_wins(self, entities: Entities, partial):
        config = {"minute": 5, "redis": {"host": "own.test"}}
        made = entities.create("plugins", {**LIMITS, "config": config, "partials": [{"name": "shared"}]})
        assert "redis" not in made["config"]
        changed = entities.call("PATCH", f"plugins/{made['id']}", json={"config": {"redis": {"host": "x.test"}}})
        assert "redis" not in changed.json()["config"]

    def test_a_link_that_goes_leaves_defaults(self, entities: Entities, linked):
        place = f"plugins/{linked['id']}"
        alone = entities.call("PATCH", place, json={"partials": None}).json()
        assert (alone["partials"], alone["config"]["redis"]) == (None, None)
        back = entities.call("PATCH", place, json={"partials": [{"name": "shared"}]}).json()
        assert (back["partials"], back["config"]) == (linked["partials"], linked["config"])

    @pytest.mark.parametrize(
        ("links", "field"),
        [
            ([{"name": "nobody"}], "partials[0]"),
            ([{"id": "5f0c1d6e-8c1a-4c55-9f0f-0d6b3f6b2f11"}], "partials[0]"),
            ([{"id": "x"}], "partials[0].id"),
            ([{"path": "config.redis"}], "partials[0]"),
            ([{"name": "shared", "path": "config.minute"}], "partials[0].path"),
            ([{"name": "shared"}, {"name": "shared"}], "partials[1].path"),
            ([{"name": "other"}], "partials[0]"),
            ([7], "partials[0]"),
            ({"name": "shared"}, "partials"),
        ],
    )
    def test_what_is_no_link(self, entities: Entities, partial, links, field):
        entities.create("partials", {"name": "other", "type": "redis-ee", "config": {}})
        assert field in core_entity_details(entities.call("POST", "plugins", json={**LIMITS, "partials": links}))

    def test_who_links_to_a_partial(self, entities: Entities, partial, linked):
        service = entities.create("services", {"name": "s", "host": "h"})
        body = {**LIMITS, "instance_name": "second", "partials": [{"name": "shared"}]}
        second = entities.create("services/s/plugins", body)
        page = entities.get("partials/shared/links?size=1")
        assert page["data"] == [{"id": linked["id"], "name": "rate-limiting", "instance_name": None}]
        assert page["count"] == 2
        rest = entities.get(f"partials/{partial['id']}/links?size=1&offset={page['offset']}")
        assert [item["id"] for item in rest["data"]] == [second["id"]]
        assert rest["offset"] is rest["next"] is None
        assert entities.call("DELETE", f"services/{service['id']}").status_code == 204
        assert entities.get("partials/shared/links")["count"] == 1
        assert entities.call("GET", "partials/nobody/links").status_code == 404

    def test_a_linked_partial_stays(self, entities: Entities, partial, linked):
        refused = entities.call("DELETE", "partials/shared")
        assert refused.status_code == 400
        assert refused.json()["message"] == "an existing 'plugins' entity references this 'partials' entity"
        assert entities.call("DELETE", f"plugins/{linked['id']}").status_code == 204
        assert entities.call("DELETE", "partials/shared").status_code == 204


class TestRuntimes:
    @pytest.fixture
    def update(self, database, keyring, tenant, entities: Entities):
        serve(database, tenant.organization_id, entities.id)
        builder = UpdateBuilder(database, keyring, Limits())
        return lambda from_version=None: builder.build(REGION, entities.id, from_version)

    def test_runtimes_get_whole_configurations(self, update, entities: Entities, partial, linked):
        snapshot = update()
        assert "partials" not in snapshot.entities
        (plugin,) = snapshot.entities["plugins"]
        own = {name: value for name, value in linked["config"].items() if not name.startswith("redis_")}
        assert plugin["config"] == {**own, "redis": partial["config"]}
        assert plugin["partials"] is None

    def test_a_plugin_changes_with_its_partial(self, update, entities: Entities, linked):
        alone = entities.create("plugins", {"name": "request-transformer"})
        held = update()
        entities.call("PATCH", "partials/shared", json={"config": {"host": "moved.test"}})
        delta = update(held.version)
        assert isinstance(delta, Delta)
        (change,) = delta.changes
        assert (change.type, change.id) == ("plugins", linked["id"])
        assert change.id != alone["id"]
        assert change.entity is not None
        assert change.entity["config"]["redis"]["host"] == "moved.test"
        assert apply_delta(held, delta) == update()

    def test_a_partial_that_nobody_uses_changes_nothing(self, update, entities: Entities, partial):
        held = update()
        entities.call("PATCH", "partials/shared", json={"config": {"host": "moved.test"}})
        delta = update(held.version)
        assert (delta.version, delta.changes) == (held.version + 1, ())
        assert apply_delta(held, delta) == update()


class TestConditions:
    def test_nodes_of_ones_own_may_have_conditions(self, entities: Entities):
        made = entities.create("plugins", {**LIMITS, "condition": 'http.path == "/a"'})
        assert made["condition"] == 'http.path == "/a"'

    @pytest.mark.parametrize("fields", [{"cluster_type": "CLUSTER_TYPE_SERVERLESS_V1"}, {"cloud_gateway": True}])
    def test_this_gateway_says_that_it_has_none(self, entities: Entities, tenant, fields):
        hosted = Entities.of(entities.client, tenant, "hosted", **fields)
        refused = hosted.call("POST", "plugins", json={**LIMITS, "condition": "true"})
        (message,) = core_entity_details(refused)["condition"]
        assert message.startswith("conditions are not available on this gateway")
        assert hosted.create("plugins", {**LIMITS, "condition": None})["condition"] is None

    def test_a_condition_has_bounds(self, entities: Entities):
        refused = entities.call("POST", "plugins", json={**LIMITS, "condition": "x" * 1025})
        assert core_entity_details(refused) == {"condition": ["length must be at most 1024"]}
