"""The stream over real HTTP, and the whole agent behind it."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from core.clock import SystemClock
from core.db.engine import Database
from core.runtime import acks, nodes
from gateway_runtime.acks import AckBox
from gateway_runtime.cache import LastKnownGood
from gateway_runtime.client import (
    Assigned,
    Assignments,
    ConfigUpdate,
    ControlPlaneUnavailable,
    HttpControlPlane,
    Removed,
    StreamMessage,
    Version,
)
from gateway_runtime.sync import Sync
from tests.api.runtime.conftest import Plane, RuntimeApi
from tests.support.fake_engine import FakeEngine
from tests.support.postgres import PostgresServer


class Listener:
    """Collects what one runtime hears."""

    def __init__(self) -> None:
        self.heard: list[StreamMessage] = []

    async def until(self, condition: Callable[[StreamMessage], bool]) -> StreamMessage:
        async with asyncio.timeout(10):
            while True:
                for message in self.heard:
                    if condition(message):
                        return message
                await asyncio.sleep(0.005)


def listening(runtime_api: RuntimeApi, region: str, scenario: Callable[[Listener], Awaitable[None]]) -> None:
    async def body() -> None:
        _, identity = runtime_api.identity(region)
        listener = Listener()

        async def follow() -> None:
            with contextlib.suppress(ControlPlaneUnavailable):
                async for message in client.stream():
                    listener.heard.append(message)

        async with contextlib.aclosing(HttpControlPlane(runtime_api.url, identity.assertion)) as client:
            task = asyncio.create_task(follow())
            try:
                await listener.until(lambda message: isinstance(message, Assignments))
                await scenario(listener)
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    asyncio.run(body())


def concerns(plane: Plane, kind: type) -> Callable[[Any], bool]:
    def check(message: Any) -> bool:
        if not isinstance(message, kind):
            return False
        return (
            message.item.control_plane_id if isinstance(message, Assigned) else message.control_plane_id
        ) == plane.id

    return check


def test_first_line_is_the_complete_list(runtime_api: RuntimeApi, new_plane: Callable[[], Plane]) -> None:
    mine, elsewhere = new_plane(), new_plane()
    mine.assign("us", "eu")
    elsewhere.assign("eu")

    async def scenario(listener: Listener) -> None:
        first = listener.heard[0]
        assert isinstance(first, Assignments)
        items = {item.control_plane_id: item for item in first.items}
        assert items[mine.id].hosts == [mine.host("us")]
        assert items[mine.id].version == 0
        assert elsewhere.id not in items

    listening(runtime_api, "us", scenario)


def test_changes_are_heard_by_notices_alone(
    runtime_api: RuntimeApi, plane: Plane, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.runtime_feed.POLL_SECONDS", 3600.0)

    async def scenario(listener: Listener) -> None:
        await asyncio.to_thread(plane.assign, "us")
        await listener.until(concerns(plane, Assigned))
        entities = f"/v2/control-planes/{plane.id}/core-entities"
        await asyncio.to_thread(client.post, f"{entities}/services", json={"host": "h.test"})
        message = await listener.until(concerns(plane, Version))
        assert isinstance(message, Version)
        assert message.version == 1
        await asyncio.to_thread(plane.withdraw, "us")
        await listener.until(concerns(plane, Removed))

    listening(runtime_api, "us", scenario)


def test_the_list_says_under_which_terms(runtime_api: RuntimeApi, plane: Plane) -> None:
    plane.assign("us")

    async def scenario(listener: Listener) -> None:
        first = listener.heard[0]
        assert isinstance(first, Assignments)
        with runtime_api.client("us") as node:
            update = node.get(f"/control-planes/{plane.id}/config")
        assert first.terms == ConfigUpdate.read(update.content).terms

    listening(runtime_api, "us", scenario)


def test_a_node_is_reminded_of_what_it_is_on_record_for(
    runtime_api: RuntimeApi, new_plane: Callable[[], Plane], database: Database, tmp_path: Path
) -> None:
    """A gateway that dies while it lets go of a control plane forgets it; the record of it must not stay for ever."""
    served, ended = new_plane(), new_plane()
    served.assign("us")
    ended.assign("us")
    node, identity = runtime_api.identity("us")

    def record() -> None:
        with database.system() as session:
            nodes.record_sign_of_life(session, node)
            items = [acks.Ack(plane.id, 0, accepted=True, errors=[], config_hash="") for plane in (served, ended)]
            acks.record(session, node, items, SystemClock().now())

    def on_record() -> set[UUID]:
        with database.system() as session:
            statement = "select control_plane_id from runtime_acks where node_id = %s"
            return set(session.connection().exec_driver_sql(statement, (str(node.node_id),)).scalars())

    record()
    ended.withdraw("us")
    assert on_record() == {served.id, ended.id}

    async def body() -> None:
        async with contextlib.aclosing(HttpControlPlane(runtime_api.url, identity.assertion)) as control_plane:
            cache = LastKnownGood(tmp_path, identity.derive_key)
            sync = Sync(FakeEngine(), control_plane, cache, AckBox(str(node.node_id), control_plane))
            agent = asyncio.create_task(sync.run())
            async with asyncio.timeout(10):
                while ended.id in await asyncio.to_thread(on_record):  # noqa: ASYNC110 - the agent makes it true
                    await asyncio.sleep(0.005)
            agent.cancel()
            await asyncio.gather(agent, return_exceptions=True)
            cache.close()

    asyncio.run(body())
    assert served.id in on_record()


def test_deleting_the_control_plane_is_heard(runtime_api: RuntimeApi, plane: Plane, client: TestClient) -> None:
    async def scenario(listener: Listener) -> None:
        await asyncio.to_thread(plane.assign, "us")
        await listener.until(concerns(plane, Assigned))
        response = await asyncio.to_thread(client.delete, f"/v2/control-planes/{plane.id}")
        assert response.status_code == 204
        await listener.until(concerns(plane, Removed))

    listening(runtime_api, "us", scenario)


def test_lost_notices_cost_seconds_only(
    runtime_api: RuntimeApi, plane: Plane, client: TestClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.db.notices._NOTIFY", text("select :channel || :payload"))

    async def scenario(listener: Listener) -> None:
        await asyncio.to_thread(plane.assign, "us")
        await listener.until(concerns(plane, Assigned))

    listening(runtime_api, "us", scenario)


def test_listener_comes_back_when_its_connection_is_cut(
    runtime_api: RuntimeApi, plane: Plane, new_plane: Callable[[], Plane], postgres: PostgresServer
) -> None:
    def cut() -> None:
        with postgres.administrator() as connection:
            connection.execute("select pg_terminate_backend(pid) from pg_stat_activity where query like 'LISTEN%'")

    async def scenario(listener: Listener) -> None:
        await asyncio.to_thread(cut)
        await asyncio.to_thread(plane.assign, "us")
        await listener.until(concerns(plane, Assigned))
        later = await asyncio.to_thread(new_plane)
        await asyncio.to_thread(later.assign, "us")
        await listener.until(concerns(later, Assigned))

    listening(runtime_api, "us", scenario)


def test_agent_follows_a_control_plane(
    runtime_api: RuntimeApi, plane: Plane, client: TestClient, database: Database, tmp_path: Path
) -> None:
    """The runtime's real agent against the real API: assignment, changes, acknowledgements, end."""
    engine = FakeEngine()
    key = str(plane.id)

    def acknowledged() -> list[int]:
        with database.system() as session:
            statement = "select version from runtime_acks where control_plane_id = %s and accepted"
            return list(session.connection().exec_driver_sql(statement, (plane.id,)).scalars())

    async def until(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not await asyncio.to_thread(condition):  # noqa: ASYNC110 - anything may make it true
                await asyncio.sleep(0.005)

    async def body() -> None:
        node, identity = runtime_api.identity("us")
        async with contextlib.aclosing(HttpControlPlane(runtime_api.url, identity.assertion)) as control_plane:
            cache = LastKnownGood(tmp_path, identity.derive_key)
            sync = Sync(engine, control_plane, cache, AckBox(str(node.node_id), control_plane))
            sync.load_cache()
            agent = asyncio.create_task(sync.run())
            await sync.synced.wait()
            await asyncio.to_thread(plane.assign, "us")
            await until(lambda: engine.held.get(key) == 0 and acknowledged() == [0])
            entities = f"/v2/control-planes/{plane.id}/core-entities"
            await asyncio.to_thread(client.post, f"{entities}/services", json={"host": "h.test"})
            await until(lambda: engine.held.get(key) == 1 and acknowledged() == [1])
            assert (key, "delta", 1) in engine.applied
            await asyncio.to_thread(plane.withdraw, "us")
            await until(lambda: key not in engine.held and acknowledged() == [])
            agent.cancel()
            await asyncio.gather(agent, return_exceptions=True)
            cache.close()

    asyncio.run(body())
