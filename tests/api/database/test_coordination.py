"""Outbox, leases and notices: how processes hand work to each other."""

import asyncio
import time
from contextlib import closing, suppress
from uuid import uuid4

import pytest
from sqlalchemy import select, text

from core.db.engine import Database
from core.db.leases import lease
from core.db.notices import Notice, PostgresNotices, publish
from core.db.outbox import CHANNEL, Outbox
from core.models import OutboxMessage
from tests.support.postgres import PostgresServer
from tests.support.tenants import Tenant


class TestOutbox:
    def test_a_job_is_there_once_the_transaction_commits(self, database: Database, tenant: Tenant) -> None:
        subject = uuid4()
        with closing(PostgresNotices(database.url).listen([CHANNEL], quiet_seconds=5)) as notices:
            assert next(notices) is None
            with database.tenant(tenant.organization_id) as session:
                Outbox(session).put("thing.reconcile", tenant.organization_id, subject)
                Outbox(session).put("thing.reconcile", tenant.organization_id, subject)
            assert next(notices) == Notice(CHANNEL, "")

        with database.system() as session:
            rows = session.scalars(
                select(OutboxMessage).where(OutboxMessage.subject_id == subject).order_by(OutboxMessage.id)
            ).all()
        assert [(row.topic, row.org_id, row.attempts) for row in rows] == [
            ("thing.reconcile", tenant.organization_id, 0)
        ] * 2
        assert rows[0].id < rows[1].id

    def test_a_rollback_takes_it_back(self, database: Database, tenant: Tenant) -> None:
        with suppress(ZeroDivisionError), database.tenant(tenant.organization_id) as session:
            Outbox(session).put("thing.reconcile", tenant.organization_id, uuid4())
            raise ZeroDivisionError
        with database.tenant(tenant.organization_id) as session:
            assert session.scalars(select(OutboxMessage)).all() == []

    def test_a_dispatcher_skips_what_another_one_holds(self, database: Database, tenant: Tenant) -> None:
        with database.tenant(tenant.organization_id) as session:
            Outbox(session).put("thing.reconcile", tenant.organization_id, uuid4())
            Outbox(session).put("thing.reconcile", tenant.organization_id, uuid4())
        mine = OutboxMessage.org_id == tenant.organization_id
        take = (
            select(OutboxMessage.id).where(mine).order_by(OutboxMessage.id).limit(1).with_for_update(skip_locked=True)
        )
        with database.system() as first, database.system() as second:
            assert first.scalars(take).one() != second.scalars(take).one()


class TestLease:
    def test_one_holder(self, database: Database) -> None:
        name = uuid4().hex
        with lease(database, name, "a", 5) as first, lease(database, name, "b", 5) as second:
            assert (first, second) == (True, False)
        with lease(database, name, "b", 5) as third:
            assert third

    def test_the_same_worker_twice_is_not_the_same_holder(self, database: Database) -> None:
        name = uuid4().hex
        with lease(database, name, "a", 5) as first, lease(database, name, "a", 5) as second:
            assert (first, second) == (True, False)

    def test_is_given_back_after_a_failure(self, database: Database) -> None:
        name = uuid4().hex
        with pytest.raises(ZeroDivisionError), lease(database, name, "a", 60):
            raise ZeroDivisionError
        with lease(database, name, "b", 60) as held:
            assert held

    def test_a_dead_holder_gives_way(self, database: Database) -> None:
        name = uuid4().hex
        with database.system_autocommit() as connection:
            connection.execute(text("insert into leases values (:n, 'dead', now() - interval '1 ms')"), {"n": name})
        with lease(database, name, "b", 5) as held:
            assert held

    def test_a_late_holder_takes_nothing_away(self, database: Database) -> None:
        name = uuid4().hex
        with lease(database, name, "slow", 0.001) as slow:
            assert slow
            time.sleep(0.01)
            fast = lease(database, name, "fast", 60)
            assert fast.__enter__()
        with lease(database, name, "third", 60) as third:
            assert not third
        fast.__exit__(None, None, None)


class TestNotices:
    def test_arrive_after_the_commit_only(self, database: Database) -> None:
        channel = f"test_{uuid4().hex}"
        with closing(PostgresNotices(database.url).listen([channel], quiet_seconds=0.1)) as notices:
            assert next(notices) is None
            with database.system() as session:
                publish(session, channel, "one")
                assert next(notices) is None
            assert next(notices) == Notice(channel, "one")
            assert next(notices) is None

    def test_a_rollback_tells_nobody(self, database: Database) -> None:
        channel = f"test_{uuid4().hex}"
        with closing(PostgresNotices(database.url).listen([channel], quiet_seconds=0.1)) as notices:
            assert next(notices) is None
            with suppress(ZeroDivisionError), database.system() as session:
                publish(session, channel, "one")
                raise ZeroDivisionError
            assert next(notices) is None

    def test_in_order_and_for_the_channels_asked_for(self, database: Database) -> None:
        channel, other = f"test_{uuid4().hex}", f"test_{uuid4().hex}"
        with closing(PostgresNotices(database.url).listen([channel], quiet_seconds=5)) as notices:
            assert next(notices) is None
            for number in range(3):
                with database.system() as session:
                    publish(session, other, "not for us")
                    publish(session, channel, str(number))
            assert [next(notices) for _ in range(3)] == [Notice(channel, str(number)) for number in range(3)]

    def test_listener_comes_back_and_says_look(self, database: Database, postgres: PostgresServer) -> None:
        """Whoever lost the connection may have missed something: None means look for yourself."""
        channel = f"test_{uuid4().hex}"
        with closing(PostgresNotices(database.url).listen([channel], quiet_seconds=60)) as notices:
            assert next(notices) is None
            with postgres.administrator() as connection:
                ended = connection.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity where query = %s", (f'LISTEN "{channel}"',)
                ).fetchall()
            assert ended == [(True,)]
            assert next(notices) is None
            assert next(notices) is None
            with database.system() as session:
                publish(session, channel, "again")
            assert next(notices) == Notice(channel, "again")

    def test_for_an_event_loop(self, database: Database) -> None:
        channel = f"test_{uuid4().hex}"

        async def listen() -> list[Notice | None]:
            heard: list[Notice | None] = []
            notices = PostgresNotices(database.url).listen_async([channel], quiet_seconds=5)
            async for notice in notices:
                heard.append(notice)
                if notice is None:
                    with database.system() as session:
                        publish(session, channel, "one")
                else:
                    break
            await notices.aclose()
            return heard

        assert asyncio.run(listen()) == [None, Notice(channel, "one")]
