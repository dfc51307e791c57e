"""Personal access tokens of a user."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from core.db.engine import Database
from core.iam import tokens
from core.models import AccessToken, AuditEvent
from tests.support.problems import assert_problem, violations
from tests.support.tenants import Tenant

_DAY = 86400


@pytest.fixture
def path(tenant: Tenant) -> str:
    return f"/v3/users/{tenant.user_id}/access-tokens"


def create(client: TestClient, path: str, **body: Any) -> dict[str, Any]:
    response = client.post(path, json={"name": "Deploy", "ttl_seconds": _DAY} | body)
    assert response.status_code == 201, response.text
    return response.json()


class TestCreate:
    def test_by_ttl(self, client: TestClient, tenant: Tenant, path: str) -> None:
        created = create(client, path)

        token = created.pop("konnect_token")
        assert re.fullmatch(r"kpat_[0-9A-Za-z]{49}", token)
        assert tokens.is_well_formed(token)
        assert created["name"] == "Deploy"
        assert created["state"] == "ACTIVE"
        assert created["user_id"] == str(tenant.user_id)
        assert created["last_used_at"] is None
        assert created["revoked_at"] is None
        assert created["revoked_by"] is None
        lifetime = datetime.fromisoformat(created["expires_at"]) - datetime.fromisoformat(created["created_at"])
        assert abs(lifetime.total_seconds() - _DAY) < 2
        assert client.get("/v3/users/me", headers={"Authorization": f"Bearer {token}"}).status_code == 200

    def test_by_end(self, client: TestClient, path: str) -> None:
        end = (datetime.now(UTC) + timedelta(days=30)).replace(microsecond=0)

        response = client.post(path, json={"name": "Deploy", "expires_at": end.isoformat()})

        assert response.status_code == 201
        assert datetime.fromisoformat(response.json()["expires_at"]) == end

    def test_is_shown_once(self, client: TestClient, path: str) -> None:
        created = create(client, path)

        for response in (client.get(path), client.get(f"{path}/{created['id']}")):
            assert created["konnect_token"] not in response.text
            assert "konnect_token" not in response.text

    def test_is_stored_as_hash_only(self, client: TestClient, path: str, database: Database) -> None:
        created = create(client, path)

        with database.system() as session:
            row = session.scalars(select(AccessToken).where(AccessToken.id == UUID(created["id"]))).one()
            stored = " ".join(str(value) for value in vars(row).values())
        assert created["konnect_token"] not in stored
        assert len(row.token_hash) == 32

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            ({"ttl_seconds": _DAY}, {("name", "required")}),
            ({"name": "", "ttl_seconds": _DAY}, {("name", "min_length")}),
            ({"name": "x" * 257, "ttl_seconds": _DAY}, {("name", "max_length")}),
            ({"name": "-x", "ttl_seconds": _DAY}, {("name", "matches_regex")}),
            ({"name": "x/y", "ttl_seconds": _DAY}, {("name", "matches_regex")}),
            ({"name": 7, "ttl_seconds": _DAY}, {("name", "is_string")}),
            ({"name": "x", "ttl_seconds": _DAY - 1}, {("ttl_seconds", "min")}),
            ({"name": "x", "ttl_seconds": 365 * _DAY + 1}, {("ttl_seconds", "max")}),
            ({"name": "x", "ttl_seconds": "86400"}, {("ttl_seconds", "is_integer")}),
            ({"name": "x"}, {("body", "required")}),
            ({"name": "x", "ttl_seconds": _DAY, "expires_at": "2030-01-01T00:00:00Z"}, {("body", "required")}),
            ({"name": "x", "expires_at": "2020-01-01T00:00:00Z"}, {("expires_at", "invalid")}),
            ({"name": "x", "expires_at": "2099-01-01T00:00:00Z"}, {("expires_at", "invalid")}),
            ({"name": "x", "expires_at": "tomorrow"}, {("expires_at", "is_date_time")}),
            ({"name": "x", "expires_at": "2030-01-01T00:00:00"}, {("expires_at", "is_date_time")}),
            ({"name": "x", "expires_at": "2030-01-01"}, {("expires_at", "is_date_time")}),
            ({"name": "x", "expires_at": 1893456000}, {("expires_at", "is_date_time")}),
            ({"name": "x", "expires_at": "1893456000"}, {("expires_at", "is_date_time")}),
            ({"name": "x", "expires_at": True}, {("expires_at", "is_date_time")}),
            ({"name": "x", "ttl_seconds": _DAY, "scope": "all"}, {("scope", "unknown_property")}),
            ([], {("body", "is_object")}),
        ],
    )
    def test_refuses(self, client: TestClient, path: str, body: Any, expected: set[tuple[str, str]]) -> None:
        assert violations(client.post(path, json=body)) == expected

    @pytest.mark.parametrize("name", ["a", "1", "孔", "Team's CI-token_1.0", "é x"])
    def test_names(self, client: TestClient, path: str, name: str) -> None:
        assert create(client, path, name=name)["name"] == name

    def test_ten_at_most(self, client: TestClient, path: str) -> None:
        for _ in range(9):
            create(client, path)

        body = assert_problem(client.post(path, json={"name": "x", "ttl_seconds": _DAY}), 400)

        assert "10" in body["detail"]
        assert len(client.get(path).json()["data"]) == 10


def test_list(client: TestClient, path: str) -> None:
    create(client, path, name="second")

    body = client.get(path).json()

    assert body["meta"] == {"number": 1, "size": 2, "total": 2}
    assert [item["name"] for item in body["data"]] == ["bootstrap", "second"]
    assert all(item["state"] == "ACTIVE" for item in body["data"])


def test_rename(client: TestClient, path: str) -> None:
    created = create(client, path)

    renamed = client.patch(f"{path}/{created['id']}", json={"name": "New"})

    assert renamed.status_code == 200
    assert renamed.json()["name"] == "New"
    assert client.get(f"{path}/{created['id']}").json() == renamed.json()
    assert violations(client.patch(f"{path}/{created['id']}", json={})) == {("name", "required")}


class TestEnd:
    def test_revoked_with_the_next_request(self, client: TestClient, tenant: Tenant, path: str) -> None:
        created = create(client, path)
        headers = {"Authorization": f"Bearer {created['konnect_token']}"}
        assert client.get("/v3/users/me", headers=headers).status_code == 200

        revoked = client.patch(f"{path}/{created['id']}/revoke")

        assert revoked.status_code == 200
        assert revoked.json()["state"] == "REVOKED"
        assert revoked.json()["revoked_by"] == str(tenant.user_id)
        assert revoked.json()["revoked_at"] is not None
        assert_problem(client.get("/v3/users/me", headers=headers), 401)
        assert_problem(client.patch(f"{path}/{created['id']}/revoke"), 409)

    def test_deleted_with_the_next_request(self, client: TestClient, path: str) -> None:
        created = create(client, path)
        headers = {"Authorization": f"Bearer {created['konnect_token']}"}

        assert client.delete(f"{path}/{created['id']}").status_code == 204

        assert_problem(client.get("/v3/users/me", headers=headers), 401)
        assert_problem(client.get(f"{path}/{created['id']}"), 404)
        assert_problem(client.delete(f"{path}/{created['id']}"), 404)

    def test_a_token_can_end_itself(self, client: TestClient, tenant: Tenant, path: str) -> None:
        own = client.get(path).json()["data"][0]["id"]

        assert client.patch(f"{path}/{own}/revoke").status_code == 200

        assert_problem(client.get(path), 401)

    def test_expired(self, client: TestClient, path: str, database: Database) -> None:
        created = create(client, path)
        with database.system() as session:
            row = session.scalars(select(AccessToken).where(AccessToken.id == UUID(created["id"]))).one()
            row.expires_at = datetime.now(UTC)

        assert_problem(client.get("/v3/users/me", headers={"Authorization": f"Bearer {created['konnect_token']}"}), 401)
        assert client.get(f"{path}/{created['id']}").json()["state"] == "EXPIRED"


class TestOwnership:
    def test_unknown_user(self, client: TestClient) -> None:
        path = "/v3/users/00000000-0000-4000-8000-000000000000/access-tokens"
        assert_problem(client.get(path), 404)
        assert_problem(client.post(path, json={"name": "x", "ttl_seconds": _DAY}), 404)

    def test_user_of_another_organization(self, client: TestClient, other_tenant: Tenant) -> None:
        assert_problem(client.get(f"/v3/users/{other_tenant.user_id}/access-tokens"), 404)

    def test_token_of_another_organization(self, client: TestClient, path: str, other_tenant: Tenant) -> None:
        theirs = client.get(f"/v3/users/{other_tenant.user_id}/access-tokens", headers=other_tenant.headers).json()[
            "data"
        ][0]["id"]

        assert_problem(client.get(f"{path}/{theirs}"), 404)
        assert_problem(client.patch(f"{path}/{theirs}/revoke"), 404)
        assert_problem(client.delete(f"{path}/{theirs}"), 404)
        assert client.get("/v3/users/me", headers=other_tenant.headers).status_code == 200


def test_every_change_is_in_the_audit_trail(client: TestClient, tenant: Tenant, path: str, database: Database) -> None:
    created = create(client, path)
    client.patch(f"{path}/{created['id']}", json={"name": "New"})
    client.patch(f"{path}/{created['id']}/revoke")
    client.delete(f"{path}/{created['id']}", headers=tenant.headers | {"X-Request-Id": "req-1"})

    with database.tenant(tenant.organization_id) as session:
        events = session.scalars(
            select(AuditEvent).where(AuditEvent.subject_type == "access_token").order_by(AuditEvent.created_at)
        ).all()
    assert [event.action for event in events] == [
        "access_token.created",
        "access_token.renamed",
        "access_token.revoked",
        "access_token.deleted",
    ]
    assert {event.actor for event in events} == {f"user:{tenant.user_id}"}
    assert events[-1].request_id == "req-1"
    assert created["konnect_token"] not in repr([event.details for event in events])
