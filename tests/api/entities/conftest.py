"""A control plane to put entities into."""

import pytest
from starlette.testclient import TestClient

from tests.support.entities import Entities
from tests.support.tenants import Tenant


@pytest.fixture
def entities(shared_client: TestClient, tenant: Tenant) -> Entities:
    """The entities of this test's control plane."""
    return Entities.of(shared_client, tenant)
