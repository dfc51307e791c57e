"""Reports on targets go out when something is different; orders are carried out once their configuration is there."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from gateway_runtime.acks import AckBox
from gateway_runtime.cache import LastKnownGood
from gateway_runtime.client import ControlPlaneUnavailable, RequestRefused, TargetOrder
from gateway_runtime.health import MOST_ADDRESSES, MOST_ITEMS, MOST_TARGETS, HealthAgent
from gateway_runtime.sync import Sync, Tenant
from tests.support.fake_control_plane import FakeControlPlane
from tests.support.fake_engine import FakeEngine

PLANE = str(uuid4())
UPSTREAM = str(uuid4())


def address(health: str, **counters: int) -> dict[str, Any]:
    return {"ip": "10.0.0.1", "port": 80, "weight": 1, "health": health, "counters": counters}


def upstream(health: str = "HEALTHY", addresses: int = 1, targets: int = 1, **counters: int) -> dict[str, Any]:
    target = {"target": "a:80", "health": health, "weight": 1, "addresses": [address(health, **counters)] * addresses}
    return {
        "name": "u",
        "health": health,
        "weight": {"total": 1, "available": 1, "unavailable": 0},
        "targets": {str(number): target for number in range(targets)},
    }


def order(seq: int, version: int, *, healthy: bool = False, plane: str = PLANE) -> TargetOrder:
    return TargetOrder(
        seq=seq,
        control_plane_id=UUID(plane),
        version=version,
        upstream_id=UUID(UPSTREAM),
        target_id=UUID(int=seq),
        address=None,
        healthy=healthy,
    )


class World:
    def __init__(self, directory: Path) -> None:
        self.engine = FakeEngine()
        self.control_plane = FakeControlPlane()
        cache = LastKnownGood(directory, lambda _purpose, _salt: bytes(32))
        self.sync = Sync(self.engine, self.control_plane, cache, AckBox("node", self.control_plane))
        self.agent = HealthAgent("node", self.engine, self.control_plane, self.sync)

    def hold(self, version: int | None) -> None:
        self.sync.tenants[PLANE] = Tenant(assigned=True, held=version)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_only_differences_are_told(world: World) -> None:
    async def scenario() -> None:
        world.engine.found = {PLANE: {UPSTREAM: upstream()}}
        for successes in range(3):
            world.engine.found[PLANE][UPSTREAM] = upstream(successes=successes)
            await world.agent.report()
        assert world.control_plane.health_reports == 1
        world.engine.found[PLANE][UPSTREAM] = upstream("UNHEALTHY")
        await world.agent.report()
        told = world.control_plane.health[PLANE, UPSTREAM]
        assert told is not None
        assert told["targets"]["0"]["health"] == "UNHEALTHY"
        assert "counters" not in told["targets"]["0"]["addresses"][0]
        world.engine.found = {}
        await world.agent.report()
        assert world.control_plane.health[PLANE, UPSTREAM] is None
        await world.agent.report()
        assert world.control_plane.health_reports == 3

    asyncio.run(scenario())


def test_what_was_not_heard_is_told_again(world: World) -> None:
    async def scenario() -> None:
        world.engine.found = {PLANE: {UPSTREAM: upstream()}}
        world.control_plane.down = True
        with pytest.raises(ControlPlaneUnavailable):
            await world.agent.report()
        world.control_plane.down = False
        await world.agent.report()
        assert world.control_plane.health_reports == 1
        world.sync.connections += 1
        await world.agent.report()
        assert world.control_plane.health_reports == 2

    asyncio.run(scenario())


def test_reports_are_bounded(world: World) -> None:
    async def scenario() -> None:
        world.engine.found = {PLANE: {str(uuid4()): upstream() for _ in range(MOST_ITEMS + 1)}}
        world.engine.found[PLANE][UPSTREAM] = upstream(addresses=MOST_ADDRESSES + 1, targets=MOST_TARGETS + 1)
        await world.agent.report()
        assert world.control_plane.health_reports >= 2
        assert len(world.control_plane.health) == MOST_ITEMS + 2
        told = world.control_plane.health[PLANE, UPSTREAM]
        assert told is not None
        assert len(told["targets"]) == MOST_TARGETS
        assert len(told["targets"]["0"]["addresses"]) == MOST_ADDRESSES

    asyncio.run(scenario())


def test_a_refused_report_does_not_hold_up_the_others(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[str] = []

    async def refuse(_node_id: str, items: list[dict[str, Any]]) -> None:
        if any(item["report"]["health"] == "DNS_ERROR" for item in items):
            raise RequestRefused("no")
        taken.extend(item["upstream_id"] for item in items)

    async def scenario() -> None:
        good = [str(uuid4()) for _ in range(3)]
        world.engine.found = {PLANE: {**{key: upstream() for key in good}, UPSTREAM: upstream("DNS_ERROR")}}
        await world.agent.report()
        assert sorted(taken) == sorted(good)
        await world.agent.report()
        assert len(taken) == 3

    monkeypatch.setattr(world.control_plane, "report_health", refuse)
    asyncio.run(scenario())


def test_orders_wait_for_their_configuration(world: World) -> None:
    async def scenario() -> None:
        world.hold(2)
        world.control_plane.orders = [order(1, 2), order(2, 3, healthy=True), order(3, 0, plane=str(uuid4()))]
        await world.agent.obey()
        assert [(item["target"], item["healthy"]) for item in world.engine.orders] == [(str(UUID(int=1)), False)]
        world.hold(3)
        await world.agent.obey()
        assert [item["healthy"] for item in world.engine.orders] == [False, True]
        assert world.engine.orders[1] == {
            "control_plane_id": PLANE,
            "upstream": UPSTREAM,
            "target": str(UUID(int=2)),
            "healthy": True,
        }
        await world.agent.obey()
        assert len(world.engine.orders) == 2

    asyncio.run(scenario())


def test_orders_survive_a_control_plane_that_is_away(world: World) -> None:
    async def scenario() -> None:
        world.hold(None)
        world.control_plane.orders = [order(1, 2)]
        await world.agent.obey()
        world.control_plane.down = True
        world.hold(2)
        with pytest.raises(ControlPlaneUnavailable):
            await world.agent.obey()
        assert len(world.engine.orders) == 1

    asyncio.run(scenario())


def test_a_hint_of_the_stream_is_enough(world: World) -> None:
    async def scenario() -> None:
        tasks = [asyncio.create_task(world.sync.run()), asyncio.create_task(world.agent.run())]
        world.control_plane.versions[PLANE] = 1
        while world.sync.tenants.get(PLANE, Tenant()).held != 1:  # noqa: ASYNC110 - whoever does it
            await asyncio.sleep(0.002)
        world.control_plane.give(order(1, 1))
        async with asyncio.timeout(4):
            while not world.engine.orders:  # noqa: ASYNC110
                await asyncio.sleep(0.002)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(scenario())
