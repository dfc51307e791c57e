"""Fetching the configurations of many control planes with one request."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Mapping

from gateway_runtime.client import MOST_FETCHED, Answer, ConfigUpdate
from tests.unit.gateway_runtime.world import A, B, World, until


def test_many_are_fetched_together(world: World) -> None:
    keys = [f"{number:08x}-0000-4000-8000-000000000003" for number in range(250)]
    world.control_plane.versions = dict.fromkeys(keys, 1)

    async def scenario() -> None:
        await world.sync.synced.wait()
        await until(lambda: len(world.control_plane.acks) == len(keys))

    world.play(scenario)
    assert sorted(map(len, world.control_plane.requests)) == [50, MOST_FETCHED, MOST_FETCHED]
    assert world.engine.held == dict.fromkeys(keys, 1)


def test_what_came_before_an_answer_broke_off_is_kept(world: World) -> None:
    keys = [f"{number:08x}-0000-4000-8000-000000000003" for number in range(5)]
    world.control_plane.versions = dict.fromkeys(keys, 1)
    world.control_plane.cut_after = 3

    async def scenario() -> None:
        await until(lambda: len(world.engine.held) == 3)
        world.control_plane.cut_after = None
        await world.sync.synced.wait()

    world.play(scenario)
    assert world.engine.held == dict.fromkeys(keys, 1)
    kept = set(list(world.control_plane.requests[0])[:3])
    assert all(kept.isdisjoint(request) for request in world.control_plane.requests[1:])
    assert len(world.engine.applied) == len(keys)


def test_a_refused_one_does_not_stop_those_that_came_with_it(world: World) -> None:
    keys = [f"{number:08x}-0000-4000-8000-000000000003" for number in range(5)]
    world.control_plane.versions = dict.fromkeys(keys, 1)
    world.engine.refuse.add((keys[1], 1))
    world.engine.panic.add((keys[3], 1))

    async def scenario() -> None:
        await world.sync.synced.wait()
        await until(lambda: len(world.control_plane.acks) == len(keys))

    world.play(scenario)
    assert world.engine.held == dict.fromkeys([keys[0], keys[2], keys[4]], 1)
    assert [world.control_plane.acks[key]["accepted"] for key in keys] == [True, False, True, False, True]
    assert len(world.control_plane.requests) == 1


def test_what_was_not_asked_for_is_passed_over(world: World) -> None:
    world.control_plane.versions = {A: 1}
    fetch = world.control_plane.fetch

    async def chatty(have: Mapping[str, int | None]) -> AsyncGenerator[Answer]:
        async for answer in fetch(have):
            yield ConfigUpdate.read(json.dumps({"kind": "snapshot", "control_plane_id": B, "version": 1}).encode())
            yield answer
            yield answer

    world.control_plane.fetch = chatty  # type: ignore[method-assign]

    async def scenario() -> None:
        await world.sync.synced.wait()
        await until(lambda: A in world.control_plane.acks)

    world.play(scenario)
    assert world.engine.applied == [(A, "snapshot", 1)]


def test_a_change_that_is_announced_while_an_older_version_is_applied_follows(world: World) -> None:
    world.control_plane.versions = {A: 1}
    apply = world.engine.apply

    def late(update: bytes) -> bytes:
        if json.loads(update)["version"] == 1:
            loop.call_soon_threadsafe(world.control_plane.bump, A, 2)
            time.sleep(0.01)  # the agent hears of it before this is done
        return apply(update)

    world.engine.apply = late  # type: ignore[method-assign]

    async def scenario() -> None:
        nonlocal loop
        loop = asyncio.get_running_loop()
        await until(lambda: world.engine.held.get(A) == 2)

    loop: asyncio.AbstractEventLoop
    world.play(scenario)
    assert world.control_plane.fetches == [(A, None), (A, 1)]
