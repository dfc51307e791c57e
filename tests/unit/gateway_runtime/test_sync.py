import asyncio
import errno
import json
import os
from collections.abc import Sequence
from typing import Any

import pytest

from gateway_runtime.acks import AckBox
from gateway_runtime.cache import Frame, FrameKind, LastKnownGood
from gateway_runtime.client import ControlPlaneUnavailable, RequestRefused
from gateway_runtime.sync import Sync
from tests.unit.gateway_runtime.world import A, B, World, derive, frame, until


def test_first_contact_fetches_snapshots_and_acknowledges(world: World) -> None:
    world.control_plane.versions = {A: 3, B: 7}

    async def scenario() -> None:
        await world.sync.synced.wait()
        assert world.engine.held == {A: 3, B: 7}
        await until(lambda: len(world.control_plane.acks) == 2)

    world.play(scenario)
    assert sorted(world.control_plane.fetches) == [(A, None), (B, None)]
    assert world.control_plane.acks[B]["accepted"] is True
    assert world.control_plane.acks[B]["config_hash"] == f"{7:032x}"


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
        assert world.control_plane.acks[A]["config_hash"] == f"{1:032x}"  # of what runs, not of what was refused
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
        await until(lambda: world.control_plane.acks.get(A, {}).get("removed", False))

    world.play(scenario)
    assert world.engine.held == {B: 1}
    assert world.cache.control_planes() == [B]


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
    world.control_plane.versions = {A: 6}
    world.cache.store(A, frame(world.control_plane.update(A, None)))
    world.control_plane.fetches.clear()
    world.restart()
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


def test_one_result_that_nobody_takes_does_not_hold_up_the_others(world: World) -> None:
    keys = [f"{number:08x}-0000-4000-8000-000000000003" for number in range(40)]
    world.control_plane.versions = dict.fromkeys(keys, 1)
    original = world.control_plane.acknowledge
    bad = {keys[7]: RequestRefused("status 400"), keys[23]: ControlPlaneUnavailable("status 500")}

    async def choosy(node_id: str, items: Sequence[dict[str, Any]]) -> None:
        for item in items:
            if item["control_plane_id"] in bad:
                raise bad[item["control_plane_id"]]
        await original(node_id, items)

    world.control_plane.acknowledge = choosy  # type: ignore[method-assign]

    async def scenario() -> None:
        await until(lambda: world.control_plane.acks.keys() == set(keys) - bad.keys())

    world.play(scenario)


def test_other_hosts_are_fetched_although_the_version_is_the_same(world: World) -> None:
    world.control_plane.versions = {A: 3}

    async def scenario() -> None:
        await world.sync.synced.wait()
        world.control_plane.hosts[A] = ["new.test"]
        world.control_plane.assign(A, 3)
        await until(lambda: world.sync.tenants[A].hosts == ("new.test",))
        await asyncio.sleep(0.02)

    world.play(scenario)
    assert world.control_plane.fetches == [(A, None), (A, 3)]


def test_terms_of_one_organization_are_fetched_for_it_alone(world: World) -> None:
    world.control_plane.versions = {A: 3, B: 1}

    async def scenario() -> None:
        await world.sync.synced.wait()
        world.control_plane.own_limits[A] = {"max_connections": 1}
        world.control_plane.assign(A, 3)
        await until(lambda: (A, 3) in world.control_plane.fetches)
        world.control_plane.assign(B, 1)
        await until(lambda: not world.sync.tenants[A].behind)

    world.play(scenario)
    assert sorted(world.control_plane.fetches, key=str) == sorted([(A, None), (B, None), (A, 3)], key=str)


def test_other_terms_are_fetched_although_the_version_is_the_same(world: World) -> None:
    """An operator who forbids upstreams must not have to wait for each tenant's next change."""
    world.control_plane.versions = {A: 3, B: 1}

    async def scenario() -> None:
        await world.sync.synced.wait()
        before = world.sync.tenants[A].terms
        world.control_plane.limits = {"max_body_bytes": 2}
        world.control_plane.cut()
        await until(lambda: all(tenant.terms != before for tenant in world.sync.tenants.values()))
        await until(lambda: len(LastKnownGood(world.directory, derive).load(A)) == 2)

    world.play(scenario)
    assert sorted(world.control_plane.fetches, key=str) == sorted([(A, None), (A, 3), (B, None), (B, 1)], key=str)
    terms = world.sync.tenants[A].terms
    world.restart()
    world.sync.load_cache()
    assert world.sync.tenants[A].terms == terms, "what is on disk remembers its terms"


def test_a_control_plane_that_went_back_is_followed(world: World) -> None:
    world.control_plane.versions = {A: 9}

    async def scenario() -> None:
        await world.sync.synced.wait()
        world.control_plane.versions[A] = 4
        world.control_plane.cut()
        await until(lambda: world.engine.held[A] == 4)
        world.control_plane.bump(A, 5)
        await until(lambda: world.engine.held[A] == 5)

    world.play(scenario)
    assert world.control_plane.fetches == [(A, None), (A, 9), (A, 4)]


def test_what_is_not_known_here_is_reported_as_removed(world: World) -> None:
    async def scenario() -> None:
        await world.sync.synced.wait()
        world.control_plane.say_removed(A)
        await until(lambda: A in world.control_plane.acks)

    world.play(scenario)
    assert world.control_plane.acks[A]["removed"] is True


def test_an_assignment_is_answered_with_a_report_even_if_nothing_is_new(world: World) -> None:
    world.control_plane.versions = {A: 2}

    async def scenario() -> None:
        await until(lambda: A in world.control_plane.acks)
        world.control_plane.acks.clear()
        world.control_plane.assign(A, 2)
        await until(lambda: A in world.control_plane.acks)

    world.play(scenario)
    assert world.control_plane.fetches == [(A, None)]


@pytest.mark.parametrize("seconds", [0.0, 1000.0])
def test_reports_are_repeated_after_a_long_loss_only(world: World, seconds: float, monkeypatch) -> None:
    monkeypatch.setattr("gateway_runtime.sync.REPORT_AGAIN_SECONDS", seconds)
    world.control_plane.versions = {A: 1, B: 1}
    world.engine.refuse.add((B, 2))

    async def scenario() -> None:
        await world.sync.synced.wait()
        world.control_plane.bump(B, 2)
        await until(lambda: (A, 1, True) in world.control_plane.acked and (B, 2, False) in world.control_plane.acked)
        world.control_plane.acked.clear()
        world.control_plane.cut()
        await until(lambda: not world.sync.connected)
        await until(lambda: world.sync.connected)
        await asyncio.sleep(0.05)

    world.play(scenario)
    assert sorted(world.control_plane.acked) == ([] if seconds else [(A, 1, True), (B, 2, False)])


def test_nothing_is_fetched_while_the_control_plane_is_away(world: World) -> None:
    world.control_plane.versions = {A: 1}

    async def scenario() -> None:
        await world.sync.synced.wait()
        world.control_plane.down = True
        world.control_plane.cut()
        await until(lambda: not world.sync.connected)
        fetched = len(world.control_plane.fetches)
        world.sync.tenants[A].wanted = 2
        for _ in range(5):
            await world.sync.sweep()
            await asyncio.sleep(0.01)
        assert len(world.control_plane.fetches) == fetched
        world.control_plane.versions[A] = 2
        world.control_plane.down = False
        await until(lambda: world.engine.held[A] == 2)

    world.play(scenario)


def test_a_bug_of_the_engine_stays_with_its_tenant(world: World) -> None:
    world.control_plane.versions = {A: 1, B: 1}
    world.engine.panic.add((A, 2))

    async def scenario() -> None:
        await world.sync.synced.wait()
        world.control_plane.bump(A, 2)
        await until(lambda: (A, 2, False) in world.control_plane.acked)
        world.control_plane.bump(B, 2)
        await until(lambda: world.engine.held == {A: 1, B: 2})

    world.play(scenario)
    assert world.control_plane.acks[A]["errors"][0]["code"] == "internal"


def test_a_bug_of_the_engine_does_not_keep_the_gateway_from_starting(world: World) -> None:
    world.control_plane.versions = {A: 1, B: 1}
    world.play(lambda: until(lambda: world.engine.held == {A: 1, B: 1} and len(world.cache.control_planes()) == 2))
    world.restart()
    world.engine.panic.add((A, 1))

    assert world.sync.load_cache() == 1

    assert world.engine.held == {B: 1}


def test_an_error_nobody_thought_of_stays_with_its_tenant(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.control_plane.versions = {A: 1, B: 1}
    apply, failures = world.engine.apply, 2

    def odd(update: bytes) -> bytes:
        nonlocal failures
        if json.loads(update)["control_plane_id"] == A and failures:
            failures -= 1
            raise ZeroDivisionError
        return apply(update)

    monkeypatch.setattr(world.engine, "apply", odd)

    async def scenario() -> None:
        await until(lambda: world.engine.held == {B: 1})
        await world.sync.synced.wait()
        assert world.engine.held == {A: 1, B: 1}

    world.play(scenario)


def test_journals_that_no_assignment_stands_for_are_deleted(world: World) -> None:
    world.control_plane.versions = {A: 1}
    (world.directory / f"{B}.journal").write_bytes(b"not ours")

    async def scenario() -> None:
        await world.sync.synced.wait()
        await world.sync.sweep()

    world.play(scenario)
    assert world.cache.control_planes() == [A]


def test_what_a_full_disk_refused_is_written_later(world: World, monkeypatch) -> None:
    world.control_plane.versions = {A: 1}
    write = os.write

    def full(_descriptor: int, _data: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    async def scenario() -> None:
        await world.sync.synced.wait()
        monkeypatch.setattr("gateway_runtime.cache.os.write", full)
        world.control_plane.bump(A, 2)
        await until(lambda: world.engine.held[A] == 2)
        await until(lambda: world.cache.unwritten == {A})
        await until(lambda: not world.sync.tenants[A].cache_wanted)
        monkeypatch.setattr("gateway_runtime.cache.os.write", write)
        await world.sync.sweep()
        await until(lambda: world.cache.version(A) == 2)
        assert world.cache.unwritten == set()

    world.play(scenario)
