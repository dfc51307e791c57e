"""Changing and deleting control planes."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select
from starlette.testclient import TestClient

from core.db.engine import Database
from core.db.notices import ASSIGNMENTS_CHANNEL, Notice, PostgresNotices
from core.models import AuditEvent, ConfigChange, ControlPlane, DataplaneGroup, GatewayConfiguration, OutboxMessage
from tests.support.problems import assert_problem, violations
from tests.support.tenants import Tenant

_URL = {"host": "example.com", "port": 443, "protocol": "https"}


@pytest.fixture
def created(client: TestClient) -> dict[str, Any]:
    response = client.post(
        "/v2/control-planes",
        json={"name": "cp", "description": "old", "labels": {"env": "test", "team": "a"}, "proxy_urls": [_URL]},
    )
    assert response.status_code == 201
    return response.json()


@pytest.fixture
def path(created: dict[str, Any]) -> str:
    return f"/v2/control-planes/{created['id']}"


def add_gateways(database: Database, tenant: Tenant, control_plane_id: UUID, **states: str) -> UUID:
    """A configuration with one group per region; returns its id."""
    configuration_id = uuid4()
    with database.tenant(tenant.organization_id) as session:
        session.add(
            GatewayConfiguration(
                id=configuration_id, control_plane_id=control_plane_id, control_plane_geo="us", kind="serverless.v1"
            )
        )
        session.flush()
        for region, state in states.items():
            session.add(
                DataplaneGroup(
                    configuration_id=configuration_id,
                    control_plane_id=control_plane_id,
                    provider="aws",
                    region=region,
                    state=state,
                    hostname=f"{uuid4().hex[:10]}.{region}.gateways.localhost",
                )
            )
    return configuration_id


class TestPatch:
    def test_merges(self, client: TestClient, path: str, created: dict[str, Any]) -> None:
        body = client.patch(path, json={"description": "new"}).json()

        assert body == created | {"description": "new", "updated_at": body["updated_at"]}
        assert body["updated_at"] > created["updated_at"]
        assert client.get(path).json() == body

    def test_labels_merge_and_null_removes(self, client: TestClient, path: str) -> None:
        body = client.patch(path, json={"labels": {"team": None, "tier": "one"}}).json()

        assert body["labels"] == {"env": "test", "tier": "one"}

    def test_null_sets_back(self, client: TestClient, path: str) -> None:
        fields = ("description", "auth_type", "proxy_urls", "labels")

        body = client.patch(path, json=dict.fromkeys(fields)).json()

        assert body["description"] == ""
        assert body["labels"] == {}
        assert body["config"]["proxy_urls"] == []
        assert body["config"]["auth_type"] == "pinned_client_certs"

    def test_without_a_change_nothing_moves(self, client: TestClient, path: str, created: dict[str, Any]) -> None:
        assert client.patch(path, json={}).json() == created
        assert client.patch(path, json={"name": "cp", "labels": {"env": "test"}}).json() == created

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            ({"cluster_type": "CLUSTER_TYPE_CONTROL_PLANE"}, {("cluster_type", "unknown_property")}),
            ({"cloud_gateway": True}, {("cloud_gateway", "unknown_property")}),
            ({"name": None}, {("name", "is_string")}),
            ({"name": "x"}, {("name", "min_length")}),
            ({"labels": {"kic": "x"}}, {("labels", "is_label")}),
        ],
    )
    def test_refuses(
        self, client: TestClient, path: str, created: dict[str, Any], body: Any, expected: set[tuple[str, str]]
    ) -> None:
        assert violations(client.patch(path, json=body)) == expected
        assert client.get(path).json() == created

    def test_labels_that_stay_count(self, client: TestClient, path: str) -> None:
        client.patch(path, json={"labels": {f"key{number}": "x" for number in range(48)}})
        full = client.get(path).json()
        assert len(full["labels"]) == 50

        assert violations(client.patch(path, json={"labels": {"one-more": "x"}})) == {("labels", "is_label")}

        assert client.get(path).json() == full
        assert client.patch(path, json={"labels": {"one-more": "x", "env": None}}).status_code == 200

    def test_name_is_taken(self, client: TestClient, path: str, created: dict[str, Any]) -> None:
        client.post("/v2/control-planes", json={"name": "other"})

        assert_problem(client.patch(path, json={"name": "other", "description": "x"}), 409)

        assert client.get(path).json() == created


class TestDelete:
    def test_is_gone(self, client: TestClient, path: str) -> None:
        response = client.delete(path)

        assert response.status_code == 204
        assert response.content == b""
        assert_problem(client.get(path), 404)
        assert_problem(client.delete(path), 404)
        assert_problem(client.patch(path, json={}), 404)

    def test_takes_everything_below_and_has_gateways_torn_down(
        self, client: TestClient, tenant: Tenant, database: Database, created: dict[str, Any], path: str
    ) -> None:
        control_plane_id = UUID(created["id"])
        configuration_id = add_gateways(database, tenant, control_plane_id, us="ready", eu="initializing")
        with database.tenant(tenant.organization_id) as session:
            session.add(
                ConfigChange(
                    control_plane_id=control_plane_id,
                    version=1,
                    entity_type="services",
                    entity_id=uuid4(),
                    operation="put",
                    actor="user:x",
                )
            )
        notices = PostgresNotices(database.url).listen([ASSIGNMENTS_CHANNEL], quiet_seconds=5)
        assert next(notices) is None

        assert client.delete(path).status_code == 204

        heard = {next(notices), next(notices)}
        notices.close()
        assert heard == {Notice(ASSIGNMENTS_CHANNEL, f"{region} {control_plane_id}") for region in ("us", "eu")}
        with database.tenant(tenant.organization_id) as session:
            for model in (ControlPlane, GatewayConfiguration, DataplaneGroup, ConfigChange):
                assert session.scalar(select(func.count()).select_from(model)) == 0
            jobs = session.scalars(select(OutboxMessage)).all()
            assert [(job.topic, job.subject_id) for job in jobs] == [
                ("gateway_configuration.reconcile", configuration_id)
            ]
            actions = session.scalars(select(AuditEvent.action).order_by(AuditEvent.created_at)).all()
            assert list(actions[-2:]) == ["control_plane.created", "control_plane.deleted"]

    def test_name_is_free_again(self, client: TestClient, path: str) -> None:
        client.delete(path)

        assert client.post("/v2/control-planes", json={"name": "cp"}).status_code == 201


class TestProxyUrls:
    def test_names_gateways_that_are_ready(
        self, client: TestClient, tenant: Tenant, database: Database, created: dict[str, Any], path: str
    ) -> None:
        add_gateways(database, tenant, UUID(created["id"]), us="ready", eu="initializing")
        with database.tenant(tenant.organization_id) as session:
            host = session.scalar(select(DataplaneGroup.hostname).where(DataplaneGroup.region == "us"))

        expected = [
            _URL,
            {"host": host, "port": 8000, "protocol": "http"},
            {"host": host, "port": 8443, "protocol": "https"},
        ]
        assert client.get(path).json()["config"]["proxy_urls"] == expected
        assert client.get("/v2/control-planes").json()["data"][0]["config"]["proxy_urls"] == expected
        assert client.patch(path, json={"description": "x"}).json()["config"]["proxy_urls"] == expected


def test_foreign_control_plane_is_not_found(client: TestClient, path: str, other_tenant: Tenant) -> None:
    for response in (
        client.get(path, headers=other_tenant.headers),
        client.patch(path, json={"name": "mine"}, headers=other_tenant.headers),
        client.delete(path, headers=other_tenant.headers),
    ):
        assert_problem(response, 404)
    assert client.get(path).json()["name"] == "cp"


def test_ids(client: TestClient, created: dict[str, Any], path: str) -> None:
    assert client.get(f"/v2/control-planes/{created['id'].upper()}").status_code == 200
    assert violations(client.get("/v2/control-planes/not-a-uuid")) == {("control_plane_id", "is_uuid")}
    assert_problem(client.get(f"/v2/control-planes/{uuid4()}"), 404)
