"""Control planes that may have gateways, and a reconciler that runs when it is told to."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from starlette.testclient import TestClient

from core.clock import SystemClock
from core.db.engine import Database
from tests.support.tenants import Tenant
from workers.reconcile import gateway_configuration

ControlPlane = dict[str, Any]


@pytest.fixture
def new_control_plane(client: TestClient) -> Callable[..., ControlPlane]:
    """Makes control planes; each has its prefix at hand."""
    made = 0

    def make(**fields: Any) -> ControlPlane:
        nonlocal made
        made += 1
        defaults = {"name": f"cp-{made}", "cluster_type": "CLUSTER_TYPE_SERVERLESS_V1", "cloud_gateway": True}
        response = client.post("/v2/control-planes", json=defaults | fields)
        assert response.status_code == 201, response.text
        body: ControlPlane = response.json()
        body["prefix"] = body["config"]["control_plane_endpoint"].removeprefix("https://").partition(".")[0]
        return body

    return make


@pytest.fixture
def control_plane(new_control_plane: Callable[..., ControlPlane]) -> ControlPlane:
    return new_control_plane()


@pytest.fixture
def put(client: TestClient, control_plane: ControlPlane) -> Callable[..., Any]:
    """States the regions of the control plane's gateways."""

    def statement(*regions: str, **fields: Any) -> Any:
        body = {
            "control_plane_id": control_plane["id"],
            "control_plane_geo": "us",
            "kind": "serverless.v1",
            "dataplane_groups": [{"provider": "aws", "region": region} for region in regions],
        }
        return client.put("/v2/cloud-gateways/configurations", json=body | fields)

    return statement


@pytest.fixture
def reconcile(database: Database, tenant: Tenant) -> Callable[[str], int]:
    """Runs the reconciler of one configuration."""

    def run(configuration_id: str) -> int:
        return gateway_configuration.reconcile(database, SystemClock(), tenant.organization_id, UUID(configuration_id))

    return run
