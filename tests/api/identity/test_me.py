"""Who am I."""

import re

import pytest
from starlette.testclient import TestClient

from tests.support.tenants import Tenant

_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@pytest.mark.parametrize("path", ["/v3/organizations/me", "/v2/organizations/me"])
def test_organization(client: TestClient, tenant: Tenant, path: str) -> None:
    response = client.get(path)

    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert body.pop("id") == str(tenant.organization_id)
    assert body.pop("owner_id") == str(tenant.user_id)
    assert _INSTANT.fullmatch(body.pop("created_at"))
    assert _INSTANT.fullmatch(body.pop("updated_at"))
    assert body == {"name": "Test", "login_path": "", "state": "active", "retention_period_days": 90}


def test_user(client: TestClient, tenant: Tenant) -> None:
    response = client.get("/v3/users/me")

    assert response.status_code == 200
    body = response.json()
    assert body["id"] == str(tenant.user_id)
    assert body["email"] == tenant.email
    assert body["active"] is True
    assert "inferred_region" not in body
    assert "password_hash" not in response.text


@pytest.mark.parametrize("host", ["us.api.localhost:8080", "global.api.localhost", "sluice.example", "127.0.0.1"])
def test_every_host_serves_every_path(client: TestClient, host: str) -> None:
    assert client.get("/v3/users/me", headers={"Host": host}).status_code == 200
