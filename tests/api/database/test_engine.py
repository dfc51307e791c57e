"""Connections: roles, transactions, and a server that goes away."""

from collections.abc import Iterator
from contextlib import suppress
from uuid import uuid4

import pytest
from sqlalchemy import select, text

from core.db.engine import APP_ROLE, SYSTEM_ROLE, Database
from core.errors import DatabaseUnreachable
from core.models import ControlPlane, Organization
from migrations import runner
from tests.support.postgres import PostgresServer
from tests.support.tenants import Tenant


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


def control_plane() -> ControlPlane:
    return ControlPlane(name="cp", cluster_type="x", auth_type="x", endpoint_prefix=uuid4().hex[:10])


def test_roles(database: Database, tenant: Tenant) -> None:
    who = text("select current_user")
    with database.tenant(tenant.organization_id) as session:
        assert session.scalar(who) == APP_ROLE
    with database.system() as session:
        assert session.scalar(who) == SYSTEM_ROLE
    with database.system_autocommit() as connection:
        assert connection.scalar(who) == SYSTEM_ROLE


def test_times_are_in_utc_wherever_the_server_stands(database: Database) -> None:
    with database.system_autocommit() as connection:
        assert connection.scalar(text("show timezone")) == "UTC"


def test_the_end_of_the_block_commits_and_an_exception_does_not(database: Database, tenant: Tenant) -> None:
    with suppress(ZeroDivisionError), database.tenant(tenant.organization_id) as session:
        session.add(control_plane())
        session.flush()
        raise ZeroDivisionError
    with database.tenant(tenant.organization_id) as session:
        assert session.scalars(select(ControlPlane)).all() == []
        session.add(control_plane())
    with database.tenant(tenant.organization_id) as session:
        assert session.scalars(select(ControlPlane.name)).all() == ["cp"]


def test_a_savepoint_begins_no_transaction_and_knows_whose_it_is(database: Database, tenant: Tenant) -> None:
    complaints: list[str | None] = []
    with database.tenant(tenant.organization_id) as session:
        driver = session.connection().connection.driver_connection
        assert driver is not None
        driver.add_notice_handler(lambda notice: complaints.append(notice.message_primary))
        with session.begin_nested():
            assert session.scalar(text("select current_setting('app.org_id')")) == str(tenant.organization_id)
    with database.tenant(tenant.organization_id) as session, session.begin_nested():
        assert session.scalar(text("select current_setting('app.org_id')")) == str(tenant.organization_id)
    assert complaints == []


class TestAfterCommit:
    def test_runs_when_others_can_see_it(self, database: Database, tenant: Tenant) -> None:
        seen: list[int] = []

        def look() -> None:
            with database.tenant(tenant.organization_id) as other:
                seen.append(len(other.scalars(select(ControlPlane)).all()))

        with database.tenant(tenant.organization_id) as session:
            session.after_commit(look)
            with session.begin_nested():
                session.add(control_plane())
            assert seen == []
        assert seen == [1]

    def test_a_rollback_drops_it(self, database: Database, tenant: Tenant) -> None:
        called: list[int] = []
        session = database.tenant_session(tenant.organization_id)
        session.after_commit(lambda: called.append(1))
        session.scalars(select(ControlPlane)).all()
        session.rollback()
        session.scalars(select(ControlPlane)).all()
        session.commit()
        session.close()
        assert called == []


def test_a_restart_of_the_server_costs_one_failure(own_server: PostgresServer) -> None:
    url = own_server.create_database("restarted")
    runner.upgrade(url)
    database = Database(url, pool_size=4)
    organization = uuid4()
    for _ in range(2):
        with database.tenant(organization) as tenant_session, database.system() as system_session:
            tenant_session.execute(select(Organization))
            system_session.execute(select(Organization))
    own_server.restart()

    with pytest.raises(DatabaseUnreachable):
        database.check()

    database.check()
    with database.tenant(organization) as session:
        session.execute(select(Organization))
    database.close()


def test_no_server() -> None:
    with pytest.raises(DatabaseUnreachable) as raised:
        Database("postgresql://nobody:hunter2@127.0.0.1:1/none").check()
    assert "hunter2" not in str(raised.value)
    assert "hunter2" not in str(raised.value.context)
