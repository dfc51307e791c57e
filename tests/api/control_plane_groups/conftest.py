"""Groups of control planes, and what gateways get of them."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from starlette.testclient import TestClient

from core.crypto import KeyRing
from core.db.engine import Database
from core.models import DataplaneGroup, GatewayConfiguration
from core.snapshot.build import UpdateBuilder
from schema.snapshot import Limits
from tests.support.entities import Entities
from tests.support.tenants import Tenant

REGION = "us"


class Group:
    """A control plane group over HTTP, served in one region."""

    def __init__(self, client: TestClient, tenant: Tenant, database: Database, keyring: KeyRing, name: str) -> None:
        self.client = client
        self.tenant = tenant
        self._database = database
        self._builder = UpdateBuilder(database, keyring, Limits())
        body = {"name": name, "cluster_type": "CLUSTER_TYPE_CONTROL_PLANE_GROUP"}
        self.id = UUID(client.post("/v2/control-planes", json=body).json()["id"])
        self.path = f"/v2/control-planes/{self.id}"
        self._serve()

    def _serve(self) -> None:
        configuration = GatewayConfiguration(
            id=uuid4(), control_plane_id=self.id, control_plane_geo="us", kind="serverless.v1"
        )
        with self._database.tenant(self.tenant.organization_id) as session:
            session.add(configuration)
            session.flush()
            group = DataplaneGroup(
                configuration_id=configuration.id,
                control_plane_id=self.id,
                provider="aws",
                region=REGION,
                state="ready",
                hostname=f"{uuid4().hex[:10]}.test",
                assigned_version=0,
            )
            session.add(group)

    def member(self, name: str) -> Entities:
        """A new control plane that is a member."""
        made = Entities.of(self.client, self.tenant, name)
        self.add(made)
        return made

    def add(self, *members: Entities) -> None:
        self.change("POST", "group-memberships/add", *members)

    def remove(self, *members: Entities) -> None:
        self.change("POST", "group-memberships/remove", *members)

    def change(self, method: str, path: str, *members: Entities) -> None:
        body = {"members": [{"id": member.control_plane_id} for member in members]}
        response = self.client.request(method, f"{self.path}/{path}", json=body)
        assert response.status_code == 204, response.text

    def members(self) -> list[str]:
        return [item["name"] for item in self.client.get(f"{self.path}/group-memberships").json()["data"]]

    def status(self) -> dict[str, Any]:
        response = self.client.get(f"{self.path}/group-status")
        assert response.status_code == 200, response.text
        return response.json()["item"]

    def update(self, from_version: int | None = None) -> Any:
        """What a runtime would get that holds a version."""
        return self._builder.build(REGION, self.id, from_version)

    def names(self, plural: str) -> list[str]:
        """Natural keys of what gateways have."""
        return sorted(document["name"] for document in self.update().entities[plural])


@pytest.fixture
def new_group(client: TestClient, tenant: Tenant, database: Database, keyring: KeyRing) -> Callable[[str], Group]:
    return lambda name: Group(client, tenant, database, keyring, name)


@pytest.fixture
def group(new_group: Callable[[str], Group]) -> Group:
    return new_group("group")
