import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from gateway_runtime.acks import AckBox
from gateway_runtime.cache import Frame, FrameKind, LastKnownGood
from gateway_runtime.client import RequestRefused
from gateway_runtime.sync import Sync
from tests.support.fake_control_plane import FakeControlPlane
from tests.support.fake_engine import FakeEngine

A = "aaaaaaaa-0000-4000-8000-000000000001"
B = "bbbbbbbb-0000-4000-8000-000000000002"


def derive(purpose: str, salt: bytes) -> bytes:
    return (purpose.encode() + salt + bytes(32))[:32]


class World:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.engine = FakeEngine()
        self.control_plane = FakeControlPlane()
        self.restart()

    def restart(self) -> None:
        """A new process on the same directory."""
        if hasattr(self, "cache"):
            self.cache.close()
        self.engine.held.clear()
        self.engine.applied.clear()
        self.cache = LastKnownGood(self.directory, derive)
        self.cache.acquire()
        self.sync = Sync(self.engine, self.control_plane, self.cache, AckBox("node", self.control_plane))

    def play(self, scenario: Callable[[], Awaitable[None]]) -> None:
        async def body() -> None:
            self.sync.synced, self.sync.usable = asyncio.Event(), asyncio.Event()
            agent = asyncio.create_task(self.sync.run())
            try:
                async with asyncio.timeout(10):
                    await scenario()
            finally:
                agent.cancel()
                await asyncio.gather(agent, return_exceptions=True)

        asyncio.run(body())


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - anything may make it true
        await asyncio.sleep(0.002)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_first_contact_fetches_snapshots_and_acknowledges(world: World) -> None:
    world.control_plane.versions = {A: 3, B: 7}

    async def scenario() -> None:
        await world.sync.synced.wait()
        assert world.engine.held == {A: 3, B: 7}
        await until(lambda: len(world.control_plane.acks) == 2)

    world.play(scenario)
    assert sorted(world.control_plane.fetches) == [(A, None), (B, None)]
    assert world.control_plane.acks[B]["accepted"] is True
    assert len(world.control_plane.acks[B]["config_hash"]) == 64


def test_no_assignments_is_in_sync(world: World) -> None:
    async def scenario() -> None:
        await world.sync.usable.wait()

    world.play(scenario)


def test_notice_leads_to_a_delta(world: World) -> None:
    world.control_plane.versions = {A: 1}

    async def scenario() -> None:
        await world.sync.synced.wait()
        world.control_plane.bump(A, 2)
        await until(lambda: world.engine.held[A] == 2)

    world.play(scenario)
    assert world.control_plane.fetches == [(A, None), (A, 1)]


def test_version_gap_is_closed_by_a_snapshot(world: World) -> None:
    world.control_plane.versions = {A: 1}

    async def scenario() -> None:
        await world.sync.synced.wait()
        world.control_plane.lying_delta_from = 0
        world.control_plane.bump(A, 5)
        await until(lambda: world.engine.held[A] == 5)

    world.play(scenario)
    assert world.control_plane.fetches == [(A, None), (A, 1), (A, None)]


def test_refused_version_is_reported_once_and_the_old_one_stays(world: World) -> None:
    world.control_plane.versions = {A: 1}
    world.engine.refuse.add((A, 2))

    async def scenario() -> None:
        await world.sync.synced.wait()
        world.control_plane.bump(A, 2)
        await until(lambda: (A, 2, False) in world.control_plane.acked)
        assert world.engine.held[A] == 1
        fetched = len(world.control_plane.fetches)
        world.control_plane.bump(A, 2)
        await asyncio.sleep(0.05)
        assert len(world.control_plane.fetches) == fetched
        world.control_plane.bump(A, 3)
        await until(lambda: world.engine.held[A] == 3)

    world.play(scenario)
    assert world.control_plane.fetches[-1] == (A, 1)
    refusal = world.control_plane.acked.index((A, 2, False))
    assert world.control_plane.acked[refusal + 1 :] == [(A, 3, True)]


def test_unassigned_is_removed_everywhere(world: World) -> None:
    world.control_plane.versions = {A: 1, B: 1}

    async def scenario() -> None:
        await world.sync.synced.wait()
        world.control_plane.unassign(A)
        await until(lambda: A not in world.sync.tenants)

    world.play(scenario)
    assert world.engine.held == {B: 1}
    assert world.cache.control_planes() == [B]
    assert world.control_plane.acks[A]["removed"] is True


def test_stream_comes_back_and_what_was_missed_is_caught_up(world: World) -> None:
    world.control_plane.versions = {A: 1, B: 1}

    async def scenario() -> None:
        await world.sync.synced.wait()
        world.control_plane.down = True
        world.control_plane.cut()
        await until(lambda: not world.sync.connected)
        world.control_plane.versions[A] = 4
        del world.control_plane.versions[B]
        await asyncio.sleep(0.05)
        assert world.engine.held == {A: 1, B: 1}
        world.control_plane.down = False
        await until(lambda: world.engine.held == {A: 4})

    world.play(scenario)


def test_failed_fetches_are_repeated(world: World) -> None:
    world.control_plane.versions = {A: 1, B: 1}
    world.control_plane.fail_fetches[A] = 3

    async def scenario() -> None:
        await world.sync.synced.wait()

    world.play(scenario)
    assert world.engine.held == {A: 1, B: 1}


def test_serves_from_disk_without_a_control_plane(world: World) -> None:
    world.control_plane.versions = {A: 1}

    async def scenario() -> None:
        await world.sync.synced.wait()
        world.control_plane.bump(A, 2)
        await until(lambda: world.cache.version(A) == 2)

    world.play(scenario)
    world.restart()
    world.control_plane.down = True
    assert world.sync.load_cache() == 1
    assert world.engine.applied == [(A, "snapshot", 1), (A, "delta", 2)]

    async def offline() -> None:
        await world.sync.usable.wait()
        await asyncio.sleep(0.05)
        assert world.engine.held == {A: 2}

    world.play(offline)


def test_loaded_from_disk_is_acknowledged_and_continued_by_delta(world: World) -> None:
    document = {"kind": "snapshot", "organization_id": "o", "control_plane_id": A, "version": 6}
    world.cache.store(A, Frame(FrameKind.SNAPSHOT, 0, 6, json.dumps(document).encode()))
    world.restart()
    world.control_plane.versions = {A: 6}
    world.sync.load_cache()

    async def scenario() -> None:
        await until(lambda: A in world.control_plane.acks)
        assert world.control_plane.fetches == []
        world.control_plane.bump(A, 7)
        await until(lambda: world.engine.held[A] == 7)

    world.play(scenario)
    assert world.control_plane.fetches == [(A, 6)]


def test_what_the_engine_no_longer_accepts_from_disk_is_fetched_anew(world: World) -> None:
    for kind, start, version in ((FrameKind.SNAPSHOT, 0, 1), (FrameKind.DELTA, 1, 2)):
        document = {"kind": kind.name.lower(), "control_plane_id": A, "from_version": start, "version": version}
        world.cache.store(A, Frame(kind, start, version, json.dumps(document).encode()))
    world.restart()
    world.engine.refuse.add((A, 2))
    world.control_plane.versions = {A: 3}
    assert world.sync.load_cache() == 1

    async def scenario() -> None:
        await until(lambda: world.cache.version(A) == 3)

    world.play(scenario)
    assert world.control_plane.fetches == [(A, None)]
    assert [frame.version for frame in world.cache.load(A)] == [3]


def test_second_process_takes_over_the_journals(world: World) -> None:
    world.control_plane.versions = {A: 1}
    first = world.cache
    assert first.acquire()
    world.cache = LastKnownGood(world.directory, derive)
    world.sync = Sync(world.engine, world.control_plane, world.cache, AckBox("node", world.control_plane))

    async def scenario() -> None:
        await world.sync.synced.wait()
        assert world.cache.control_planes() == []
        first.close()
        await world.sync.sweep()
        await until(lambda: world.cache.version(A) == 1)

    world.play(scenario)


def test_acks_wait_for_the_control_plane(world: World) -> None:
    world.control_plane.versions = {A: 1}

    async def scenario() -> None:
        original = world.control_plane.acknowledge
        failures = 2

        async def flaky(node_id: str, items: object) -> None:
            nonlocal failures
            world.control_plane.down, failures = failures > 0, failures - 1
            try:
                await original(node_id, items)  # type: ignore[arg-type]
            finally:
                world.control_plane.down = False

        world.control_plane.acknowledge = flaky  # type: ignore[assignment,method-assign]
        await until(lambda: A in world.control_plane.acks)

    world.play(scenario)


def test_a_refused_batch_does_not_hold_up_the_next(world: World) -> None:
    world.control_plane.versions = {A: 1}
    original = world.control_plane.acknowledge
    calls = 0

    async def refuse_once(node_id: str, items: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise RequestRefused("status 400")
        await original(node_id, items)  # type: ignore[arg-type]

    world.control_plane.acknowledge = refuse_once  # type: ignore[assignment,method-assign]

    async def scenario() -> None:
        await until(lambda: calls == 1)
        world.control_plane.bump(A, 2)
        await until(lambda: A in world.control_plane.acks)

    world.play(scenario)
    assert world.control_plane.acked == [(A, 2, True)]
