"""From what is wanted to what is: the reconciler over real tables."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from starlette.testclient import TestClient

from core.clock import SystemClock
from core.db.engine import Database
from core.gateways import pools
from core.runtime import acks, assignments, nodes
from core.runtime.node_ca import Node
from tests.support.tenants import Tenant

Put = Callable[..., Any]
Reconcile = Callable[[str], int]


class Runtime:
    """A runtime of one region that reports what it is told to."""

    def __init__(self, database: Database, region: str) -> None:
        self.database = database
        self.node = Node(uuid4(), region)
        self.beat()

    def beat(self, at: datetime | None = None) -> None:
        now = at or SystemClock().now()
        with self.database.system() as session:
            nodes.record_heartbeat(session, self.node, nodes.Heartbeat("0.1.0", "host", now, 1), now)

    def report(
        self, control_plane_id: str, version: int = 0, *, error: str | None = None, removed: bool = False
    ) -> None:
        errors = [] if error is None else [{"message": error}]
        ack = acks.Ack(UUID(control_plane_id), version, error is None, errors, "hash", removed)
        with self.database.system() as session:
            acks.record(session, self.node, [ack], SystemClock().now())


@pytest.fixture(autouse=True)
def _no_runtimes(database: Database) -> None:
    """Regions are shared by all organizations: what earlier tests left there must not be seen here."""
    with database.system() as session:
        session.connection().exec_driver_sql("delete from runtime_nodes")


@pytest.fixture
def show(client: TestClient) -> Callable[[str], dict[str, Any]]:
    """The groups of a configuration by region."""

    def groups(identifier: str) -> dict[str, Any]:
        body = client.get(f"/v2/cloud-gateways/configurations/{identifier}").json()
        return {group["region"]: group for group in body["dataplane_groups"]}

    return groups


Show = Callable[[str], dict[str, Any]]


def is_assigned(database: Database, region: str, control_plane: dict[str, Any]) -> bool:
    with database.system() as session:
        found = {str(item.control_plane_id) for item in assignments.of_region(session, region)}
    return control_plane["id"] in found


def test_life_of_a_group(
    put: Put, reconcile: Reconcile, show: Show, client: TestClient, database: Database, control_plane: dict[str, Any]
) -> None:
    us = Runtime(database, "us")
    identifier = put("us").json()["id"]
    assert not is_assigned(database, "us", control_plane)

    reconcile(identifier)
    assert is_assigned(database, "us", control_plane)
    assert show(identifier)["us"]["state"] == "initializing"
    assert "confirm version 0" in show(identifier)["us"]["state_metadata"]["reason"]

    us.report(control_plane["id"])
    reconcile(identifier)
    assert show(identifier)["us"]["state"] == "ready"
    assert "state_metadata" not in show(identifier)["us"]
    urls = client.get(f"/v2/control-planes/{control_plane['id']}").json()["config"]["proxy_urls"]
    assert urls[0] == {"host": f"{control_plane['prefix']}.us.gateways.localhost", "port": 8000, "protocol": "http"}
    assert reconcile(identifier) == 0

    assert put().status_code == 200
    reconcile(identifier)
    assert not is_assigned(database, "us", control_plane)
    assert show(identifier)["us"]["state"] == "terminating"
    us.report(control_plane["id"], removed=True)
    reconcile(identifier)
    assert show(identifier) == {}
    assert reconcile(identifier) == 0
    assert put("us").status_code == 200


def test_regions_come_up_on_their_own(
    put: Put, reconcile: Reconcile, show: Show, database: Database, control_plane: dict[str, Any]
) -> None:
    eu = Runtime(database, "eu")
    identifier = put("us", "eu").json()["id"]
    reconcile(identifier)
    eu.report(control_plane["id"])
    reconcile(identifier)

    groups = show(identifier)
    assert groups["eu"]["state"] == "ready"
    assert groups["us"]["state"] == "initializing"
    assert "No gateway of region us" in groups["us"]["state_metadata"]["reason"]


def test_silent_node_does_not_count(
    put: Put, reconcile: Reconcile, show: Show, database: Database, control_plane: dict[str, Any]
) -> None:
    us = Runtime(database, "us")
    identifier = put("us").json()["id"]
    reconcile(identifier)
    us.report(control_plane["id"])
    us.beat(SystemClock().now() - timedelta(seconds=60))

    reconcile(identifier)

    assert show(identifier)["us"]["state"] == "initializing"


def test_refusal_is_shown(
    put: Put, reconcile: Reconcile, show: Show, database: Database, control_plane: dict[str, Any]
) -> None:
    us = Runtime(database, "us")
    identifier = put("us").json()["id"]
    reconcile(identifier)
    us.report(control_plane["id"], error="plugin: no such thing")

    reconcile(identifier)

    metadata = show(identifier)["us"]["state_metadata"]
    assert metadata["reported_status"] == "ERROR"
    assert "no such thing" in metadata["reason"]


def test_withdrawn_group_waits_for_live_nodes_only(
    put: Put, reconcile: Reconcile, show: Show, database: Database, control_plane: dict[str, Any]
) -> None:
    us = Runtime(database, "us")
    identifier = put("us").json()["id"]
    reconcile(identifier)
    us.report(control_plane["id"])
    reconcile(identifier)
    put()
    reconcile(identifier)
    assert show(identifier)["us"]["state"] == "terminating"

    us.beat(SystemClock().now() - timedelta(seconds=60))
    reconcile(identifier)

    assert show(identifier) == {}


def test_node_speaks_for_its_region_and_existing_versions_only(
    put: Put, reconcile: Reconcile, show: Show, database: Database, control_plane: dict[str, Any]
) -> None:
    eu, us = Runtime(database, "eu"), Runtime(database, "us")
    identifier = put("us").json()["id"]
    reconcile(identifier)
    eu.report(control_plane["id"])
    us.report(control_plane["id"], version=99)

    reconcile(identifier)

    assert show(identifier)["us"]["state"] == "initializing"


def test_a_later_refusal_does_not_take_back_what_runs(
    put: Put, reconcile: Reconcile, show: Show, database: Database, control_plane: dict[str, Any]
) -> None:
    us = Runtime(database, "us")
    identifier = put("us").json()["id"]
    reconcile(identifier)
    us.report(control_plane["id"])
    us.report(control_plane["id"], error="bad")

    reconcile(identifier)

    assert show(identifier)["us"]["state"] == "ready"


def test_report_wakes_the_reconciler_only_while_it_waits(
    put: Put, reconcile: Reconcile, database: Database, control_plane: dict[str, Any], tenant: Tenant
) -> None:
    us = Runtime(database, "us")
    identifier = put("us").json()["id"]
    reconcile(identifier)

    def jobs() -> int:
        with database.system() as session:
            statement = "select count(*) from outbox where org_id = %s"
            return session.connection().exec_driver_sql(statement, (tenant.organization_id,)).scalar_one()

    before = jobs()
    us.report(control_plane["id"])
    assert jobs() == before + 1
    reconcile(identifier)
    us.report(control_plane["id"])
    assert jobs() == before + 1


def test_unconverged_are_found_until_they_are_not(
    put: Put, reconcile: Reconcile, database: Database, control_plane: dict[str, Any], tenant: Tenant
) -> None:
    us = Runtime(database, "us")
    identifier = put("us").json()["id"]

    def found() -> list[tuple[UUID, UUID]]:
        with database.system() as session:
            return [item for item in pools.unconverged(session, 1000) if item[0] == tenant.organization_id]

    assert found() == [(tenant.organization_id, UUID(identifier))]
    reconcile(identifier)
    assert len(found()) == 1
    us.report(control_plane["id"])
    reconcile(identifier)
    assert found() == []


def test_deleted_configuration_is_no_work(reconcile: Reconcile, client: TestClient) -> None:
    del client
    assert reconcile(str(uuid4())) == 0
