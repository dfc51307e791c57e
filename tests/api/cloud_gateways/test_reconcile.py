"""From what is wanted to what is: the reconciler over real tables."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import pytest
from starlette.testclient import TestClient

from core.clock import SystemClock
from core.db.engine import Database
from core.db.sessions import SystemSession
from core.gateways import pools
from core.models import GatewayConfiguration
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

    def beat(self) -> None:
        with self.database.system() as session:
            nodes.record_heartbeat(session, self.node, nodes.Heartbeat("0.1.0", "host", SystemClock().now(), 1))

    def fall_silent(self) -> None:
        """As if the last sign of life were a minute old."""
        with self.database.system() as session:
            statement = "update runtime_nodes set last_seen_at = now() - interval '1 minute' where id = %s"
            session.connection().exec_driver_sql(statement, (str(self.node.node_id),))

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
    us.fall_silent()

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


def test_refused_group_gets_on_when_its_owner_helps(
    put: Put, reconcile: Reconcile, show: Show, database: Database, control_plane: dict[str, Any]
) -> None:
    us = Runtime(database, "us")
    identifier = put("us").json()["id"]
    reconcile(identifier)
    us.report(control_plane["id"], error="bad")
    reconcile(identifier)

    us.report(control_plane["id"])
    reconcile(identifier)
    assert show(identifier)["us"]["state"] == "ready"
    assert "state_metadata" not in show(identifier)["us"]


def test_refused_group_that_is_given_up_goes(
    put: Put, reconcile: Reconcile, show: Show, database: Database, control_plane: dict[str, Any]
) -> None:
    us = Runtime(database, "us")
    identifier = put("us").json()["id"]
    reconcile(identifier)
    us.report(control_plane["id"], error="bad")
    reconcile(identifier)

    assert put().status_code == 200
    reconcile(identifier)
    assert show(identifier)["us"]["state"] == "terminating"
    us.report(control_plane["id"], removed=True)
    reconcile(identifier)
    assert show(identifier) == {}


class TestStatementsMeetTheReconciler:
    """Each transaction takes its locks so that two never wait for each other."""

    @pytest.fixture
    def reconciling(
        self, put: Put, database: Database, tenant: Tenant
    ) -> Iterator[tuple[SystemSession, GatewayConfiguration]]:
        """A reconciler in the middle of its transaction, which has changed the group once."""
        configuration_id = UUID(put("us").json()["id"])
        with database.system() as session:
            configuration = pools.lock_configuration(session, tenant.organization_id, configuration_id)
            assert configuration is not None
            pools.report_waiting(session, configuration, _group_of(session), "PENDING", "first", SystemClock().now())
            yield session, configuration

    def _finish(self, reconciling: tuple[SystemSession, GatewayConfiguration], request: Callable[[], Any]) -> Any:
        session, configuration = reconciling
        with ThreadPoolExecutor(1) as thread:
            answer = thread.submit(request)
            try:
                _until_somebody_waits(session)
                # The second change of one row in one transaction makes PostgreSQL look at the control plane again.
                group_id = _group_of(session)
                pools.report_waiting(session, configuration, group_id, "ERROR", "second", SystemClock().now())
                session.commit()
            finally:
                session.rollback()
            return answer.result(10)

    def test_put(self, reconciling: tuple[SystemSession, GatewayConfiguration], put: Put) -> None:
        response = self._finish(reconciling, lambda: put("us", "eu"))

        assert response.status_code == 200

    def test_deletion_of_the_control_plane(
        self,
        reconciling: tuple[SystemSession, GatewayConfiguration],
        client: TestClient,
        control_plane: dict[str, Any],
    ) -> None:
        response = self._finish(reconciling, lambda: client.delete(f"/v2/control-planes/{control_plane['id']}"))

        assert response.status_code == 204


def _group_of(session: SystemSession) -> UUID:
    configuration_id = (
        session.connection()
        .exec_driver_sql("select id from gateway_configurations order by created_at desc limit 1")
        .scalar_one()
    )
    statement = "select id from dataplane_groups where configuration_id = %s"
    return session.connection().exec_driver_sql(statement, (configuration_id,)).scalar_one()


def _until_somebody_waits(session: SystemSession) -> None:
    statement = "select count(*) from pg_locks where not granted"
    end = time.monotonic() + 10
    while session.connection().exec_driver_sql(statement).scalar_one() == 0:
        assert time.monotonic() < end, "nobody waits"
        time.sleep(0.01)


def test_reports_from_before_an_assignment_count_no_more(
    put: Put, reconcile: Reconcile, show: Show, database: Database, control_plane: dict[str, Any]
) -> None:
    """Ended and wanted again while the gateways still let go: they have to confirm anew."""
    us = Runtime(database, "us")
    identifier = put("us").json()["id"]
    reconcile(identifier)
    us.report(control_plane["id"])
    reconcile(identifier)
    put()
    reconcile(identifier)
    with database.system() as session:
        statement = "update dataplane_groups set state = 'initializing' where configuration_id = %s"
        session.connection().exec_driver_sql(statement, (UUID(identifier),))

    reconcile(identifier)
    assert show(identifier)["us"]["state"] == "initializing"
    us.report(control_plane["id"])
    reconcile(identifier)
    assert show(identifier)["us"]["state"] == "ready"


def test_configurations_that_have_waited_long_are_looked_at_now_and_then(
    put: Put, database: Database, tenant: Tenant
) -> None:
    put("us")
    with database.system() as session:
        for table in ("gateway_configurations", "dataplane_groups"):
            statement = f"update {table} set updated_at = now() - interval '1 hour' where org_id = %s"
            session.connection().exec_driver_sql(statement, (tenant.organization_id,))

    def found(chance: float) -> int:
        with database.system() as session:
            return sum(item[0] == tenant.organization_id for item in pools.unconverged(session, 1000, chance))

    assert (found(0.0), found(1.0)) == (0, 1)


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

    us.fall_silent()
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
            return [item for item in pools.unconverged(session, 1000, 0.0) if item[0] == tenant.organization_id]

    assert found() == [(tenant.organization_id, UUID(identifier))]
    reconcile(identifier)
    assert len(found()) == 1
    us.report(control_plane["id"])
    reconcile(identifier)
    assert found() == []


def test_deleted_configuration_is_no_work(reconcile: Reconcile, client: TestClient) -> None:
    del client
    assert reconcile(str(uuid4())) == 0
