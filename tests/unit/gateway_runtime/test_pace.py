import asyncio
import time

from gateway_runtime.pace import BURST, EVERY_NS, Pace
from tests.unit.gateway_runtime.world import A, B, World, until

EVERY_SECONDS = EVERY_NS / 1e9


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000_000_000

    def __call__(self) -> int:
        return self.now


def test_a_handful_of_steps_does_not_wait() -> None:
    clock = Clock()
    pace = Pace(clock)
    for _ in range(BURST):
        assert pace.wait_seconds == 0
        pace.step()
    assert 0 < pace.wait_seconds <= EVERY_SECONDS


def test_a_long_series_makes_one_step_per_interval() -> None:
    clock = Clock()
    pace = Pace(clock)
    steps = 0
    for _ in range(10_000):  # ten seconds of milliseconds
        if pace.wait_seconds == 0:
            pace.step()
            steps += 1
        clock.now += 1_000_000
    assert BURST + 10 / EVERY_SECONDS - 1 <= steps <= BURST + 10 / EVERY_SECONDS


def test_rest_gives_the_handful_back() -> None:
    clock = Clock()
    pace = Pace(clock)
    for _ in range(10 * BURST):  # more than it allows: others may not ask
        pace.step()
    clock.now += BURST * EVERY_NS
    for _ in range(BURST):
        assert pace.wait_seconds == 0
        pace.step()
    assert pace.wait_seconds > 0


def test_a_stream_of_changes_is_taken_in_together(world: World) -> None:
    world.control_plane.versions = {A: 1, B: 1}

    async def scenario() -> None:
        await world.sync.synced.wait()
        begun = time.monotonic()
        for version in range(2, 102):
            world.control_plane.bump(A, version)
            await asyncio.sleep(0.002)
        world.control_plane.bump(B, 2)
        await until(lambda: world.engine.held[B] == 2)  # A's pace is A's alone
        await until(lambda: world.engine.held[A] == 101)
        steps = sum(key == A for key, _ in world.control_plane.fetches)
        assert steps <= BURST + (time.monotonic() - begun) / EVERY_SECONDS + 1

    world.play(scenario)
    assert [version for key, version in world.control_plane.fetches if key == B] == [None, 1]


def test_what_is_removed_while_its_change_waits_goes_at_once(world: World) -> None:
    world.control_plane.versions = {A: 1}

    async def scenario() -> None:
        await world.sync.synced.wait()
        version = 1
        while not world.sync.tenants[A].waits:
            version += 1
            world.control_plane.bump(A, version)
            await asyncio.sleep(0.001)
        world.control_plane.unassign(A)
        await until(lambda: A not in world.engine.held and A not in world.sync.tenants)
        await asyncio.sleep(EVERY_SECONDS)  # the timer finds nothing to do

    world.play(scenario)
    assert A not in world.sync.tenants
