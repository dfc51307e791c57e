"""The runtime API, request by request."""

import gzip
import hashlib
import json
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from core.db.engine import Database
from core.models import RuntimeAck, RuntimeNode
from tests.api.runtime.conftest import Plane, RuntimeApi
from tests.support.problems import assert_problem
from tests.support.tenants import Tenant

ENDPOINTS = [
    ("GET", "/stream"),
    ("GET", f"/control-planes/{UUID(int=1)}/config"),
    ("POST", "/configs"),
    ("POST", "/acks"),
    ("POST", "/heartbeats"),
    ("POST", "/target-health"),
    ("GET", "/target-orders"),
]


def heartbeat(client: httpx.Client) -> dict[str, Any]:
    return {
        "node_id": client.headers["X-Test-Node"],
        "version": "0.1.0",
        "hostname": "host",
        "started_at": "2026-01-01T00:00:00+00:00",
        "tenants": 3,
    }


def ack(plane: Plane, **fields: Any) -> dict[str, Any]:
    return {
        "control_plane_id": str(plane.id),
        "version": 0,
        "accepted": True,
        "errors": [],
        "config_hash": "h",
    } | fields


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
@pytest.mark.parametrize("authorization", [None, "Sluice-Node", "Sluice-Node x", "Sluice-Node a.b.c", "Bearer x"])
def test_needs_a_node(
    runtime_api: RuntimeApi, tenant: Tenant, method: str, path: str, authorization: str | None
) -> None:
    for value in (authorization, tenant.headers["Authorization"]):
        headers = {} if value is None else {"Authorization": value}
        response = httpx.request(method, f"{runtime_api.url}/runtime/v1{path}", headers=headers, trust_env=False)
        assert_problem(response, 401)


def test_without_a_node_ca_nobody_gets_in(anonymous: TestClient, runtime_api: RuntimeApi) -> None:
    with runtime_api.client("us") as client:
        authorization = client.headers["Authorization"]
    assert_problem(anonymous.get("/runtime/v1/stream", headers={"Authorization": authorization}), 401)


def test_snapshot_and_delta(runtime_api: RuntimeApi, plane: Plane, client: TestClient) -> None:
    plane.assign("us", "eu")
    entities = f"/v2/control-planes/{plane.id}/core-entities"
    for name in ("a", "b"):
        assert client.post(f"{entities}/services", json={"name": name, "host": "h.test"}).status_code == 201

    with runtime_api.client("us") as node:
        first = node.get(f"/control-planes/{plane.id}/config")
        second = node.get(f"/control-planes/{plane.id}/config", params={"from_version": 1})
        empty = node.get(f"/control-planes/{plane.id}/config", params={"from_version": 2})

    snapshot, delta = first.json(), second.json()
    assert (snapshot["kind"], snapshot["version"], snapshot["control_plane_id"]) == ("snapshot", 2, str(plane.id))
    assert snapshot["hosts"] == [plane.host("us")]
    assert snapshot["limits"]["allow_upstream"] == ["127.0.0.0/8"]
    assert (snapshot["settings"]["trusted_ips"], snapshot["settings"]["real_ip_header"]) == (
        ["10.0.0.0/8"],
        "X-Real-IP",
    )
    assert [service["name"] for service in snapshot["entities"]["services"]] != []
    assert (delta["kind"], delta["from_version"], delta["version"]) == ("delta", 1, 2)
    assert [change["entity"]["name"] for change in delta["changes"]] == ["b"]
    assert empty.json()["changes"] == []
    assert first.headers["etag"] == f'"{hashlib.sha256(first.content).hexdigest()}"'


def test_large_answers_are_compressed(runtime_api: RuntimeApi, plane: Plane, client: TestClient) -> None:
    plane.assign("us")
    entities = f"/v2/control-planes/{plane.id}/core-entities"
    for number in range(5):
        client.post(f"{entities}/services", json={"name": f"service-{number}", "host": "h.test"})

    with runtime_api.client("us") as node, node.stream("GET", f"/control-planes/{plane.id}/config") as response:
        raw = b"".join(response.iter_raw())

    assert response.headers["content-encoding"] == "gzip"
    assert json.loads(gzip.decompress(raw))["version"] == 5


def test_only_what_is_assigned_to_the_region(runtime_api: RuntimeApi, plane: Plane) -> None:
    plane.assign("us")
    with runtime_api.client("eu") as node:
        assert_problem(node.get(f"/control-planes/{plane.id}/config"), 404)
        assert_problem(node.get(f"/control-planes/{uuid4()}/config"), 404)
    with runtime_api.client("us") as node:
        assert node.get(f"/control-planes/{plane.id}/config").status_code == 200
        plane.withdraw("us")
        assert_problem(node.get(f"/control-planes/{plane.id}/config"), 404)


@pytest.mark.parametrize("version", ["-1", "x", "1.5"])
def test_bad_versions(runtime_api: RuntimeApi, plane: Plane, version: str) -> None:
    with runtime_api.client("us") as node:
        assert_problem(node.get(f"/control-planes/{plane.id}/config", params={"from_version": version}), 400)


def test_heartbeats(runtime_api: RuntimeApi, database: Database) -> None:
    with runtime_api.client("eu") as client:
        node_id = client.headers["X-Test-Node"]
        assert client.post("/heartbeats", json=heartbeat(client)).status_code == 204
        assert client.post("/heartbeats", json=heartbeat(client) | {"tenants": 4}).status_code == 204
        with database.system() as session:
            row = session.get_one(RuntimeNode, node_id)
        assert (row.region, row.version, row.hostname, row.tenants) == ("eu", "0.1.0", "host", 4)

        assert_problem(client.post("/heartbeats", json=heartbeat(client) | {"node_id": str(uuid4())}), 403)
        assert_problem(client.post("/heartbeats", json=heartbeat(client) | {"tenants": -1}), 400)
        assert_problem(client.post("/heartbeats", json=heartbeat(client) | {"colour": "red"}), 400)


def test_acks(runtime_api: RuntimeApi, database: Database, plane: Plane) -> None:
    plane.assign("us")
    with runtime_api.client("us") as client:
        node_id = client.headers["X-Test-Node"]

        def post(*items: dict[str, Any], sender: str = node_id) -> httpx.Response:
            return client.post("/acks", json={"node_id": sender, "items": list(items)})

        def rows() -> list[RuntimeAck]:
            with database.system() as session:
                return list(session.scalars(select(RuntimeAck).where(RuntimeAck.node_id == node_id)))

        assert post(ack(plane)).status_code == 204
        (row,) = rows()
        assert (row.control_plane_id, row.version, row.accepted, row.running_version) == (plane.id, 0, True, 0)

        refusal = ack(plane, accepted=False, errors=[{"entity": "plugin", "message": "no"}])
        assert post(refusal).status_code == 204
        (row,) = rows()
        assert (row.accepted, row.running_version, row.errors[0]["message"]) == (False, 0, "no")

        assert post(ack(plane, removed=True)).status_code == 204
        assert rows() == []
        assert post(ack(plane, control_plane_id=str(uuid4()))).status_code == 204
        assert rows() == []
        assert_problem(post(ack(plane), sender=str(uuid4())), 403)
        assert_problem(post({"control_plane_id": "x"}), 400)


def test_acks_of_another_regions_control_plane_are_passed_over(
    runtime_api: RuntimeApi, database: Database, plane: Plane
) -> None:
    plane.assign("us")
    with runtime_api.client("eu") as client:
        body = {"node_id": client.headers["X-Test-Node"], "items": [ack(plane)]}
        assert client.post("/acks", json=body).status_code == 204
    with database.system() as session:
        assert session.scalars(select(RuntimeAck).where(RuntimeAck.control_plane_id == plane.id)).all() == []
