"""Config stores and the secrets in them."""

from urllib.parse import quote
from uuid import uuid4

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from core.control_planes import config_stores
from core.db.engine import Database
from tests.support.problems import assert_problem
from tests.support.tenants import Tenant


class Stores:
    """Calls below the config stores of one control plane."""

    def __init__(self, client: TestClient, tenant: Tenant) -> None:
        self._client = client
        self._headers = tenant.headers
        made = client.post("/v2/control-planes", json={"name": "stores"}, headers=tenant.headers).json()
        self.control_plane_id = made["id"]

    def call(self, method: str, path: str = "", **arguments):
        url = f"/v2/control-planes/{self.control_plane_id}/config-stores{path}"
        return self._client.request(method, url, headers=self._headers, **arguments)

    def create(self, name: str | None = "mine") -> str:
        made = self.call("POST", json={} if name is None else {"name": name})
        assert made.status_code == 201, made.text
        return made.json()["id"]


@pytest.fixture
def stores(shared_client: TestClient, tenant: Tenant) -> Stores:
    return Stores(shared_client, tenant)


def keys(answer) -> list[str]:
    return [item["key"] for item in answer.json()["data"]]


class TestStores:
    def test_life(self, stores: Stores):
        made = stores.call("POST", json={"name": "mine"})
        assert made.status_code == 201
        assert made.json().keys() == {"id", "name", "created_at", "updated_at"}
        place = f"/{made.json()['id']}"
        assert stores.call("GET", place).json() == made.json()
        renamed = stores.call("PUT", place, json={"name": "other"})
        assert (renamed.status_code, renamed.json()["name"]) == (200, "other")
        assert renamed.json()["created_at"] == made.json()["created_at"]
        assert stores.call("GET").json()["data"] == [renamed.json()]
        assert stores.call("DELETE", place).status_code == 204
        for method in ("GET", "DELETE"):
            assert_problem(stores.call(method, place), 404)
        assert_problem(stores.call("PUT", place, json={"name": "x"}), 404)

    def test_a_name_may_be_missing_and_may_repeat(self, stores: Stores):
        assert len({stores.create(None), stores.create("a"), stores.create("a")}) == 3
        assert [store["name"] for store in stores.call("GET").json()["data"]] == [None, "a", "a"]

    @pytest.mark.parametrize("body", [{"name": ""}, {"name": "x" * 101}, {"name": 1}, {"more": 1}, []])
    def test_bad_bodies(self, stores: Stores, body):
        assert_problem(stores.call("POST", json=body), 400)

    def test_pages(self, stores: Stores):
        made = [stores.create(name) for name in "abc"]
        first = stores.call("GET", "?page[size]=2").json()
        page = first["meta"]["page"]
        assert page.keys() == {"first", "next", "previous", "size"}
        assert (page["size"], page["previous"], page["first"].endswith("config-stores?page[size]=2")) == (2, None, True)
        second = stores.call("GET", page["next"].partition("config-stores")[2]).json()
        assert [item["id"] for item in first["data"] + second["data"]] == made
        assert second["meta"]["page"]["next"] is None
        for wrong in ("YQ", "MjAyNi0wMS0wMSB4", "%00"):
            assert_problem(stores.call("GET", f"?page[after]={wrong}"), 400)

    def test_so_many(self, stores: Stores, monkeypatch):
        monkeypatch.setattr(config_stores, "MOST_STORES", 1)
        stores.create()
        assert_problem(stores.call("POST", json={}), 400)

    def test_one_with_secrets_goes_by_force_alone(self, stores: Stores):
        place = f"/{stores.create()}"
        stores.call("POST", f"{place}/secrets", json={"key": "k", "value": "v"})
        refused = stores.call("DELETE", place)
        assert_problem(refused, 400)
        (wrong,) = refused.json()["invalid_parameters"]
        assert (wrong["field"], wrong["rule"], wrong["source"]) == ("force", "required", "query")
        assert "1 secret" in wrong["reason"]
        assert_problem(stores.call("DELETE", f"{place}?force=false"), 400)
        assert_problem(stores.call("DELETE", f"{place}?force=1"), 400)
        assert stores.call("GET", f"{place}/secrets/k").status_code == 200
        assert stores.call("DELETE", f"{place}?force=true").status_code == 204
        assert_problem(stores.call("GET", f"{place}/secrets/k"), 404)


class TestSecrets:
    def test_life(self, stores: Stores):
        place = f"/{stores.create()}/secrets"
        made = stores.call("POST", place, json={"key": "token", "value": "hunter2"})
        assert made.status_code == 201
        assert made.json().keys() == {"key", "created_at", "updated_at"}
        assert stores.call("GET", f"{place}/token").json() == made.json()
        assert_problem(stores.call("POST", place, json={"key": "token", "value": "again"}), 409)
        put = stores.call("PUT", f"{place}/token", json={"value": "hunter3"})
        assert (put.status_code, put.json()["created_at"]) == (200, made.json()["created_at"])
        assert stores.call("PUT", f"{place}/other", json={"value": "x"}).status_code == 201
        assert keys(stores.call("GET", place)) == ["other", "token"]
        assert stores.call("DELETE", f"{place}/token").status_code == 204
        assert_problem(stores.call("DELETE", f"{place}/token"), 404)
        assert_problem(stores.call("GET", f"{place}/token"), 404)
        for method, below in (("GET", ""), ("POST", ""), ("PUT", "/token"), ("DELETE", "/token")):
            body = {"json": {"key": "k", "value": "v"} if method == "POST" else {"value": "v"}}
            arguments = body if method in {"POST", "PUT"} else {}
            assert_problem(stores.call(method, f"/{uuid4()}/secrets{below}", **arguments), 404)

    @pytest.mark.parametrize("key", ["a/b", "a b", "ü", "a?b#c", "x" * 512])
    def test_any_key(self, stores: Stores, key):
        place = f"/{stores.create()}/secrets"
        assert stores.call("PUT", f"{place}/{quote(key, safe='')}", json={"value": "v"}).status_code == 201
        assert stores.call("GET", f"{place}/{quote(key, safe='')}").json()["key"] == key
        assert stores.call("DELETE", f"{place}/{quote(key, safe='')}").status_code == 204

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"key": "k"},
            {"key": "", "value": "v"},
            {"key": "k", "value": ""},
            {"key": "k" * 513, "value": "v"},
            {"key": "k", "value": "v" * 5121},
            {"key": "k\0", "value": "v"},
            {"key": "k", "value": 1},
        ],
    )
    def test_bad_bodies(self, stores: Stores, body):
        assert_problem(stores.call("POST", f"/{stores.create()}/secrets", json=body), 400)

    def test_a_key_of_a_path_is_bounded_like_one_of_a_body(self, stores: Stores):
        place = f"/{stores.create()}/secrets"
        assert_problem(stores.call("PUT", f"{place}/{'k' * 513}", json={"value": "v"}), 400)
        assert_problem(stores.call("GET", f"{place}/{'k' * 513}"), 404)
        assert_problem(stores.call("PUT", f"{place}/%00", json={"value": "v"}), 404)

    def test_pages_go_on_where_they_stopped(self, stores: Stores):
        place = f"/{stores.create()}/secrets"
        for key in ("b", "B", "é", "a"):
            stores.call("POST", place, json={"key": key, "value": "v"})
        first = stores.call("GET", f"{place}?page[size]=2")
        following = first.json()["meta"]["page"]["next"].partition("config-stores")[2]
        stores.call("DELETE", f"{place}/a")
        assert keys(first) + keys(stores.call("GET", following)) == ["B", "a", "b", "é"]

    def test_so_many(self, stores: Stores, monkeypatch):
        monkeypatch.setattr(config_stores, "MOST_SECRETS", 1)
        place = f"/{stores.create()}/secrets"
        stores.call("POST", place, json={"key": "a", "value": "v"})
        assert_problem(stores.call("POST", place, json={"key": "b", "value": "v"}), 400)
        assert_problem(stores.call("PUT", f"{place}/b", json={"value": "v"}), 400)
        assert stores.call("PUT", f"{place}/a", json={"value": "v"}).status_code == 200

    def test_values_are_sealed_and_in_no_trail(self, stores: Stores, database: Database):
        store = stores.create()
        stores.call("POST", f"/{store}/secrets", json={"key": "k", "value": "hunter2"})
        stores.call("PUT", f"/{store}/secrets/k", json={"value": "hunter2"})
        with database.system() as session:
            rows = session.execute(
                text("select value from config_store_secrets where store_id = :id"), {"id": store}
            ).scalars()
            (value,) = rows.all()
            trail = session.execute(
                text("select action, details::text from audit_events where subject_id = :id order by id"),
                {"id": store},
            ).all()
        assert value.startswith("v1:")
        assert "hunter2" not in value + str(trail)
        assert {action for action, _ in trail} == {
            "config_store.created",
            "config_store_secret.created",
            "config_store_secret.updated",
        }
