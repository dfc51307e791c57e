"""Runtimes as the owner of a control plane sees them, fed by what runtimes report."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest
from starlette.testclient import TestClient

from core.runtime.nodes import FORGET_AFTER_SECONDS, forget_gone
from schema.snapshot import EMPTY_CONFIG_HASH
from schema.version import VERSION
from tests.api.runtime.conftest import Plane, RuntimeApi
from tests.support.problems import assert_problem, violations
from tests.support.tenants import Tenant


def beat(node: httpx.Client, **fields: Any) -> None:
    body = {
        "node_id": node.headers["X-Test-Node"],
        "version": VERSION,
        "hostname": "gateway-1",
        "started_at": "2026-01-01T00:00:00+00:00",
        "tenants": 1,
    }
    assert node.post("/heartbeats", json=body | fields).status_code == 204


def run(node: httpx.Client, plane: Plane, **fields: Any) -> None:
    """Fetch the configuration and report that it runs."""
    update = node.get(f"/control-planes/{plane.id}/config").json()
    item = {
        "control_plane_id": str(plane.id),
        "version": update["version"],
        "accepted": True,
        "errors": [],
        "config_hash": update["config_hash"],
    }
    body = {"node_id": node.headers["X-Test-Node"], "items": [item | fields]}
    assert node.post("/acks", json=body).status_code == 204


@pytest.fixture
def base(plane: Plane) -> str:
    plane.assign("us")
    return f"/v2/control-planes/{plane.id}"


@pytest.fixture
def add(client: TestClient, base: str) -> Callable[[str], None]:
    def create(name: str) -> None:
        body = {"name": name, "host": "h.test"}
        assert client.post(f"{base}/core-entities/services", json=body).status_code == 201

    return create


def test_none(client: TestClient, base: str) -> None:
    assert client.get(f"{base}/nodes").json() == {"items": [], "page": {"total_count": 0, "next": None}}
    assert client.get(f"{base}/nodes/eol").json() == {"items": [], "page": {"total_count": 0, "next": None}}


def test_in_sync_and_behind(
    client: TestClient, base: str, plane: Plane, runtime_api: RuntimeApi, add: Callable[[str], None]
) -> None:
    with runtime_api.client("us") as node:
        beat(node)
        run(node, plane)
        (found,) = client.get(f"{base}/nodes").json()["items"]
        assert found == {
            "id": node.headers["X-Test-Node"],
            "version": VERSION,
            "hostname": "gateway-1",
            "region": "us",
            "last_ping": found["last_ping"],
            "type": "kong-proxy",
            "config_hash": EMPTY_CONFIG_HASH,
            "config_version": "0",
            "compatibility_status": {"state": "COMPATIBILITY_STATE_FULLY_COMPATIBLE", "issues": []},
            "created_at": found["created_at"],
            "updated_at": found["updated_at"],
        }
        add("a")
        expected = client.get(f"{base}/expected-config-hash").json()
        version = client.get(f"{base}/expected-config-version").json()
        assert expected["expected_hash"] != EMPTY_CONFIG_HASH
        assert expected["updated_at"] >= expected["created_at"] > 1_700_000_000
        assert version == {"expected_config_version": "1", "created_at": expected["updated_at"]}
        run(node, plane)
        seen = client.get(f"{base}/nodes/{node.headers['X-Test-Node']}").json()["item"]
        assert seen["config_hash"] == expected["expected_hash"]
        assert seen["config_version"] == version["expected_config_version"]


def test_a_refusal_is_an_issue(
    client: TestClient, base: str, plane: Plane, runtime_api: RuntimeApi, add: Callable[[str], None]
) -> None:
    with runtime_api.client("us") as node:
        beat(node)
        run(node, plane)
        add("a")
        error = {"entity": "service", "id": str(uuid4()), "name": "a", "field": "host", "message": "no such host"}
        run(node, plane, accepted=False, errors=[error], config_hash=EMPTY_CONFIG_HASH)
        (seen,) = client.get(f"{base}/nodes").json()["items"]
    assert (seen["config_hash"], seen["config_version"]) == (EMPTY_CONFIG_HASH, "0")
    status = seen["compatibility_status"]
    assert status["state"] == "COMPATIBILITY_STATE_INCOMPATIBLE"
    (issue,) = status["issues"]
    assert (issue["code"], issue["severity"], issue["description"]) == ("config-refused", "error", "no such host")
    assert issue["affected_resources"] == [{"id": error["id"], "type": "service", "details": ["host"]}]


def test_pages(client: TestClient, base: str, plane: Plane, runtime_api: RuntimeApi) -> None:
    ids = []
    for _ in range(3):
        with runtime_api.client("us") as node:
            run(node, plane)
            ids.append(node.headers["X-Test-Node"])
    first = client.get(f"{base}/nodes?page[size]=2").json()
    assert first["page"]["total_count"] == 3
    second = client.get(first["page"]["next"]).json()
    assert second["page"] == {"total_count": 3, "next": None}
    assert [item["id"] for item in first["items"] + second["items"]] == sorted(ids)
    assert violations(client.get(f"{base}/nodes?page[after]=!")) == {("page[after]", "invalid")}
    assert violations(client.get(f"{base}/nodes?page[size]=0")) == {("page[size]", "min")}


@pytest.mark.parametrize(("version", "expected"), [("0.0.9", 1), (VERSION, 0), ("99.0.0", 0), ("", 0), ("x", 0)])
def test_old_releases(
    client: TestClient, base: str, plane: Plane, runtime_api: RuntimeApi, version: str, expected: int
) -> None:
    with runtime_api.client("us") as node:
        beat(node, version=version)
        run(node, plane)
        body = client.get(f"{base}/nodes/eol").json()
        assert body["page"]["total_count"] == len(body["items"]) == expected
        for item in body["items"]:
            assert (item["node_id"], item["node_version"]) == (node.headers["X-Test-Node"], version)
            assert VERSION in item["message"]


def test_delete(client: TestClient, base: str, plane: Plane, runtime_api: RuntimeApi) -> None:
    with runtime_api.client("us") as node:
        run(node, plane)
        path = f"{base}/nodes/{node.headers['X-Test-Node']}"
        with node.stream("GET", "/stream") as stream:
            lines = stream.iter_lines()
            assert '"assignments"' in next(lines)
            assert client.delete(path).status_code == 204
            # whoever is alive is asked to report again
            assert any('"assigned"' in line for line in lines)
        assert_problem(client.get(path), 404)
        assert_problem(client.delete(path), 404)
        run(node, plane)
        assert client.get(path).status_code == 200


def test_silent_ones_are_forgotten_after_a_day(
    client: TestClient, base: str, plane: Plane, runtime_api: RuntimeApi
) -> None:
    with runtime_api.client("us") as node:
        run(node, plane)
        with runtime_api.database.system() as session:
            statement = "update runtime_nodes set last_seen_at = now() - make_interval(secs => %s) where id = %s"
            session.connection().exec_driver_sql(statement, (FORGET_AFTER_SECONDS + 60, node.headers["X-Test-Node"]))
            forget_gone(session)
    assert client.get(f"{base}/nodes").json()["items"] == []


def test_other_control_planes_and_organizations_see_nothing(
    client: TestClient,
    base: str,
    plane: Plane,
    runtime_api: RuntimeApi,
    new_plane: Callable[[], Plane],
    other_tenant: Tenant,
) -> None:
    with runtime_api.client("us") as node:
        run(node, plane)
        own = node.headers["X-Test-Node"]
    other = f"/v2/control-planes/{new_plane().id}"
    assert client.get(f"{other}/nodes").json()["items"] == []
    assert_problem(client.get(f"{other}/nodes/{own}"), 404)
    for path in ("nodes", "nodes/eol", f"nodes/{own}", "expected-config-hash", "expected-config-version"):
        assert_problem(client.get(f"{base}/{path}", headers=other_tenant.headers), 404)
    assert_problem(client.get(f"{base}/nodes/{uuid4()}"), 404)
