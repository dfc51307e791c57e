"""Health of targets: reports of runtimes, what they come to, and orders on their way to runtimes."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from core.db.engine import Database
from tests.api.runtime.conftest import Plane, RuntimeApi
from tests.support.entities import Entities
from tests.support.problems import assert_problem
from tests.support.tenants import Tenant


@pytest.fixture
def entities(client: TestClient, tenant: Tenant, plane: Plane) -> Entities:
    plane.assign("us", "eu")
    return Entities(client, tenant.headers, str(plane.id))


@pytest.fixture
def upstream(entities: Entities) -> dict[str, Any]:
    return entities.create("upstreams", {"name": "u"})


@pytest.fixture
def target(entities: Entities, upstream: dict[str, Any]) -> dict[str, Any]:
    return entities.create("upstreams/u/targets", {"target": "backend.test:80"})


def report(target_id: str, health: str, *, ip: str = "10.0.0.1", available: int = 100) -> dict[str, Any]:
    address = {"ip": ip, "port": 80, "weight": 100, "health": health}
    return {
        "health": health,
        "weight": {"total": 100, "available": available, "unavailable": 100 - available},
        "targets": {target_id: {"health": health, "addresses": [address]}},
    }


def send(client: Any, plane: Plane, upstream_id: str, content: dict[str, Any] | None) -> Any:
    item = {"control_plane_id": str(plane.id), "upstream_id": upstream_id, "report": content}
    return client.post("/target-health", json={"node_id": client.headers["X-Test-Node"], "items": [item]})


def health(entities: Entities, query: str = "") -> dict[str, Any]:
    return entities.get(f"upstreams/u/health{query}")


def test_nobody_has_reported(entities: Entities, plane: Plane, target: dict[str, Any]) -> None:
    found = health(entities)
    assert found["total"] == 1
    assert UUID(found["node_id"])
    ((only,), following) = (found["data"], found["next"])
    assert following is None
    assert (only["id"], only["target"], only["health"], only["nodes"]) == (
        target["id"], "backend.test:80", "HEALTHCHECKS_OFF", [],
    )  # fmt: skip
    assert only["data"]["addresses"] == []
    assert health(entities, "?balancer_health=1")["data"]["health"] == "HEALTHCHECKS_OFF"


def test_the_worst_runtime_counts(
    runtime_api: RuntimeApi, entities: Entities, plane: Plane, upstream: dict[str, Any], target: dict[str, Any]
) -> None:
    with runtime_api.client("us") as us, runtime_api.client("eu") as eu:
        assert send(us, plane, upstream["id"], report(target["id"], "HEALTHY")).status_code == 204
        assert health(entities)["data"][0]["health"] == "HEALTHY"
        bad = report(target["id"], "UNHEALTHY", available=0)
        assert send(eu, plane, upstream["id"], bad).status_code == 204
        (found,) = health(entities)["data"]
        assert found["health"] == "UNHEALTHY"
        assert {node["region"]: node["health"] for node in found["nodes"]} == {"us": "HEALTHY", "eu": "UNHEALTHY"}
        assert found["data"]["addresses"] == [{"ip": "10.0.0.1", "port": 80, "weight": 100, "health": "UNHEALTHY"}]
        assert found["data"]["weight"] == {"total": 100, "available": 0, "unavailable": 100}
        balancer = health(entities, "?balancer_health=1")["data"]
        assert (balancer["id"], balancer["health"]) == (upstream["id"], "UNHEALTHY")
        assert balancer["details"]["weight"]["available"] == 0
        assert send(eu, plane, upstream["id"], None).status_code == 204
        assert health(entities)["data"][0]["health"] == "HEALTHY"


def test_silent_runtimes_do_not_count(
    runtime_api: RuntimeApi, database: Database, entities: Entities, plane: Plane, upstream: Any, target: Any
) -> None:
    with runtime_api.client("us") as us:
        send(us, plane, upstream["id"], report(target["id"], "UNHEALTHY"))
        with database.system() as session:
            silent = "update runtime_nodes set last_seen_at = now() - interval '1 minute' where id = :id"
            session.execute(text(silent), {"id": us.headers["X-Test-Node"]})
        assert health(entities)["data"][0]["health"] == "HEALTHCHECKS_OFF"
        plane.withdraw("us")
        send(us, plane, upstream["id"], report(target["id"], "UNHEALTHY"))
        assert health(entities)["data"][0]["health"] == "HEALTHCHECKS_OFF"


def test_reports_are_not_trusted(
    runtime_api: RuntimeApi, database: Database, entities: Entities, plane: Plane, upstream: Any, target: Any
) -> None:
    plane.withdraw("eu")
    good = report(target["id"], "HEALTHY")

    def rows() -> int:
        with database.system() as session:
            statement = "select count(*) from target_health where control_plane_id = :id"
            return session.execute(text(statement), {"id": plane.id}).scalar_one()

    with runtime_api.client("eu") as eu, runtime_api.client("us") as us:
        assert send(eu, plane, upstream["id"], good).status_code == 204  # passed over: not of its region
        assert send(us, plane, str(uuid4()), good).status_code == 204
        assert rows() == 0
        for bad in (
            {**good, "health": "FINE"},
            {**good, "extra": 1},
            {**good, "targets": {"x": good["targets"][target["id"]]}},
            {**good, "targets": {str(uuid4()): good["targets"][target["id"]] for _ in range(1001)}},
            {**good, "weight": {"total": -1, "available": 0, "unavailable": 0}},
        ):
            assert_problem(send(us, plane, upstream["id"], bad), 400)
        body = {"node_id": str(uuid4()), "items": []}
        assert_problem(us.post("/target-health", json=body), 403)
        assert rows() == 0


class TestOrders:
    def test_orders_reach_the_runtimes_of_their_regions(
        self, runtime_api: RuntimeApi, entities: Entities, plane: Plane, upstream: Any, target: Any
    ) -> None:
        plane.withdraw("eu")
        path = "upstreams/u/targets/backend.test:80"
        with runtime_api.client("us") as us, runtime_api.client("eu") as eu:

            def fetch(client: Any, after: int = 0) -> list[dict[str, Any]]:
                items = client.get("/target-orders", params={"after": after}).json()["items"]
                return [item for item in items if item["control_plane_id"] == str(plane.id)]

            assert entities.call("PUT", f"{path}/10.0.0.1:80/unhealthy").status_code == 204
            assert entities.call("PUT", f"{path}/[::1]:80/healthy").status_code == 204
            first, second = fetch(us)
            assert (first["target_id"], first["upstream_id"]) == (target["id"], upstream["id"])
            assert (first["address"], first["healthy"]) == ("10.0.0.1:80", False)
            assert (second["address"], second["healthy"]) == ("[::1]:80", True)
            assert first["version"] == 2
            assert fetch(us, first["seq"]) == [second]
            assert fetch(eu) == []
            # One for the whole target says more than those for its addresses.
            response = entities.call("PUT", f"upstreams/{upstream['id']}/targets/{target['id']}/unhealthy")
            assert (response.status_code, response.content) == (204, b"")
            (whole,) = fetch(us)
            assert (whole["address"], whole["healthy"]) == (None, False)
            assert whole["seq"] > second["seq"]

    def test_orders_about_nothing(self, entities: Entities, plane: Plane, target: Any) -> None:
        for path in ("upstreams/v/targets/backend.test:80", "upstreams/u/targets/other.test"):
            assert entities.call("PUT", f"{path}/healthy").status_code == 404
        for address in ("x", "10.0.0.1", "backend.test:80", "10.0.0.1:99999"):
            response = entities.call("PUT", f"upstreams/u/targets/{target['id']}/{address}/unhealthy")
            assert response.status_code == 400

    def test_orders_end_with_their_target_and_with_time(
        self, runtime_api: RuntimeApi, database: Database, entities: Entities, plane: Plane, target: Any
    ) -> None:
        path = f"upstreams/u/targets/{target['id']}"
        entities.call("PUT", f"{path}/unhealthy")
        with runtime_api.client("us") as us, database.system() as session:
            before = "update target_orders set created_at = now() - interval '11 minutes' where control_plane_id = :id"
            session.execute(text(before), {"id": plane.id})
            session.commit()
            items = us.get("/target-orders").json()["items"]
            assert str(plane.id) not in {item["control_plane_id"] for item in items}
        assert entities.call("DELETE", path).status_code == 204
        with database.system() as session:
            rows = session.execute(text("select control_plane_id from target_orders")).scalars().all()
        assert plane.id not in rows


def test_runtimes_of_a_group_speak_for_its_members(
    runtime_api: RuntimeApi, client: TestClient, tenant: Tenant, new_plane: Callable[..., Plane]
) -> None:
    group = new_plane("CLUSTER_TYPE_CONTROL_PLANE_GROUP")
    group.assign("us")
    member, stranger = (Entities.of(client, tenant, name) for name in ("member", "stranger"))
    body = {"members": [{"id": member.control_plane_id}]}
    assert client.post(f"/v2/control-planes/{group.id}/group-memberships/add", json=body).status_code == 204
    upstream = member.create("upstreams", {"name": "u"})
    target = member.create("upstreams/u/targets", {"target": "backend.test:80"})
    foreign = stranger.create("upstreams", {"name": "u"})
    with runtime_api.client("us") as node, runtime_api.client("eu") as elsewhere:
        update = node.get(f"/control-planes/{group.id}/config").json()
        assert [item["id"] for item in update["entities"]["targets"]] == [target["id"]]
        bad = report(target["id"], "UNHEALTHY", available=0)
        assert send(elsewhere, group, upstream["id"], bad).status_code == 204
        assert send(node, group, foreign["id"], bad).status_code == 204
        assert health(member)["data"][0]["health"] == "HEALTHCHECKS_OFF"
        assert send(node, group, upstream["id"], bad).status_code == 204
        assert health(member)["data"][0]["health"] == "UNHEALTHY"
        with node.stream("GET", "/stream") as stream:
            lines = stream.iter_lines()
            assert '"assignments"' in next(lines)
            assert member.call("PUT", f"upstreams/u/targets/{target['id']}/healthy").status_code == 204
            assert any('"orders"' in line for line in lines)
        (order,) = [item for item in node.get("/target-orders").json()["items"] if item["target_id"] == target["id"]]
        assert (order["control_plane_id"], order["version"]) == (str(group.id), update["version"])
        assert not any(item["target_id"] == target["id"] for item in elsewhere.get("/target-orders").json()["items"])
        assert send(node, group, upstream["id"], None).status_code == 204
        assert health(member)["data"][0]["nodes"] == []
