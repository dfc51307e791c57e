"""The feed with a bus and a database of the test's own making."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy.orm import Session

from api import runtime_feed
from api.runtime_feed import RuntimeFeed, StartOver
from core.db.notices import ASSIGNMENTS_CHANNEL, CONFIG_CHANNEL, Notice
from core.runtime.assignments import Assignment

REGION = "us"


class World:
    """What the bus says and the database holds; `during_reading` happens after the rows were read, before they arrive."""

    def __init__(self) -> None:
        self.items: dict[UUID, Assignment] = {}
        self.readings: list[Collection[UUID] | None] = []
        self.during_reading: Callable[[], None] = lambda: None
        self.failures = 0
        self.feed = RuntimeFeed(self, self.read)
        self._notices: asyncio.Queue[Notice | Exception | None] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()

    def read(self, region: str, control_plane_ids: Collection[UUID] | None) -> Sequence[Assignment]:
        self.readings.append(control_plane_ids)
        if self.failures > 0:
            self.failures -= 1
            raise OSError("the database does not answer")
        found = [item for key, item in self.items.items() if control_plane_ids is None or key in control_plane_ids]
        self.during_reading()
        return found if region == REGION else []

    def publish(self, session: Session, channel: str, payload: str) -> None:
        raise AssertionError("the feed only listens")

    def listen(self, channels: Sequence[str], quiet_seconds: float) -> Any:
        raise AssertionError("the feed only listens")

    async def listen_async(self, channels: Sequence[str], quiet_seconds: float) -> AsyncGenerator[Notice | None]:
        del channels, quiet_seconds
        yield None
        while True:
            notice = await self._notices.get()
            if isinstance(notice, Exception):
                raise notice
            yield notice

    def tell(self, notice: Notice | Exception | None) -> None:
        """Have the bus say it; from any thread."""
        self._loop.call_soon_threadsafe(self._notices.put_nowait, notice)

    def put(self, version: int = 0, key: UUID | None = None) -> UUID:
        item = Assignment(uuid4(), key or uuid4(), ("h.test",), version)
        self.items[item.control_plane_id] = item
        return item.control_plane_id

    def at(self, key: UUID, version: int) -> None:
        self.items[key] = replace(self.items[key], version=version)


def assignment(key: UUID) -> Notice:
    return Notice(ASSIGNMENTS_CHANNEL, f"{REGION} {key}")


def version(key: UUID, number: int) -> Notice:
    return Notice(CONFIG_CHANNEL, f"{uuid4()} {key} {number}")


def play(scenario: Callable[[World], Awaitable[None]]) -> None:
    async def body() -> None:
        async with asyncio.timeout(10):
            await scenario(World())

    asyncio.run(body())


Stream = AsyncGenerator[dict[str, Any]]


@contextlib.asynccontextmanager
async def streaming(world: World) -> AsyncGenerator[tuple[dict[str, Any], Stream]]:
    async with contextlib.aclosing(world.feed.stream(REGION)) as stream:
        first = await anext(stream)
        world.readings.clear()
        yield first, stream


def test_an_assignment_reads_itself_and_nothing_else() -> None:
    async def scenario(world: World) -> None:
        for _ in range(100):
            world.put()
        async with streaming(world) as (first, stream):
            assert len(first["items"]) == 100
            await asyncio.sleep(0.05)  # the reading that every connection of the listener brings
            world.readings.clear()
            key = world.put(7)
            world.tell(assignment(key))
            message = await anext(stream)
            assert (message["type"], message["item"]["control_plane_id"]) == ("assigned", str(key))
            del world.items[key]
            world.tell(assignment(key))
            assert await anext(stream) == {"type": "removed", "control_plane_id": str(key)}
            assert world.readings == [{key}, {key}]

    play(scenario)


def test_a_notice_is_passed_on_even_if_nothing_is_different() -> None:
    """Withdrawn and assigned again at once: the reconciler waits for reports that it has just thrown away."""

    async def scenario(world: World) -> None:
        key, unknown = world.put(3), uuid4()
        async with streaming(world) as (_, stream):
            world.tell(assignment(key))
            assert (await anext(stream))["type"] == "assigned"
            world.tell(assignment(unknown))
            assert await anext(stream) == {"type": "removed", "control_plane_id": str(unknown)}

    play(scenario)


@pytest.mark.parametrize("named", [True, False])
def test_a_version_that_comes_while_the_assignment_is_read_is_not_lost(named: bool) -> None:
    async def scenario(world: World) -> None:
        async with streaming(world) as (_, stream):
            await asyncio.sleep(0.05)
            key = world.put(5)
            done = asyncio.Event()

            def meanwhile() -> None:
                world.during_reading = lambda: None
                world.at(key, 6)
                world.tell(version(key, 6))
                asyncio.run_coroutine_threadsafe(asyncio.sleep(0.05), world._loop).result()
                world._loop.call_soon_threadsafe(done.set)

            world.during_reading = meanwhile
            world.tell(assignment(key) if named else Notice(ASSIGNMENTS_CHANNEL, REGION))
            message = await anext(stream)
            await done.wait()
            assert (message["type"], message["item"]["version"]) == ("assigned", 6)

    play(scenario)


def test_a_listener_that_fails_comes_back_and_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime_feed, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(runtime_feed, "POLL_SECONDS", 60.0)

    async def scenario(world: World) -> None:
        async with streaming(world) as (_, stream):
            key = world.put(1)
            world.tell(ValueError("not a database error"))
            assert (await anext(stream))["item"]["control_plane_id"] == str(key)
            world.tell(version(key, 2))
            assert (await anext(stream))["version"] == 2

    play(scenario)


@pytest.mark.parametrize("payload", ["", "us x", "us a b", "x"])
@pytest.mark.parametrize("channel", [ASSIGNMENTS_CHANNEL, CONFIG_CHANNEL])
def test_notices_that_are_not_understood_do_no_harm(channel: str, payload: str) -> None:
    async def scenario(world: World) -> None:
        async with streaming(world) as (_, stream):
            world.tell(Notice(channel, payload))
            key = world.put(1)
            world.tell(assignment(key))
            assert (await anext(stream))["item"]["control_plane_id"] == str(key)

    play(scenario)


def test_a_failed_reading_is_made_up_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime_feed, "RETRY_SECONDS", 0.01)

    async def scenario(world: World) -> None:
        async with streaming(world) as (_, stream):
            await asyncio.sleep(0.05)
            world.failures = 2
            key = world.put(1)
            world.tell(assignment(key))
            assert (await anext(stream))["item"]["control_plane_id"] == str(key)

    play(scenario)


def test_a_database_that_has_gone_back_has_everyone_start_over() -> None:
    async def scenario(world: World) -> None:
        key = world.put(9)
        async with streaming(world) as (_, stream):
            world.at(key, 4)
            world.tell(None)
            with pytest.raises(StartOver):
                await anext(stream)
        async with streaming(world) as (first, _):
            assert first["items"][0]["version"] == 4

    play(scenario)


def test_a_stream_that_is_not_read_is_ended_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime_feed, "LONGEST_QUEUE", 10)

    async def scenario(world: World) -> None:
        key = world.put(0)
        async with streaming(world) as (_, stream):
            for number in range(1, 100):
                world.tell(version(key, number))
            await asyncio.sleep(0.1)
            with pytest.raises(StartOver):
                _ = [message async for message in stream]

    play(scenario)
