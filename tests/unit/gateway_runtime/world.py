"""An agent in a small world: engine, control plane and disk are made up."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from gateway_runtime.acks import AckBox
from gateway_runtime.cache import Frame, FrameKind, LastKnownGood
from gateway_runtime.client import ConfigUpdate
from gateway_runtime.sync import Sync
from tests.support.fake_control_plane import FakeControlPlane
from tests.support.fake_engine import FakeEngine

A = "aaaaaaaa-0000-4000-8000-000000000001"
B = "bbbbbbbb-0000-4000-8000-000000000002"


def frame(update: ConfigUpdate) -> Frame:
    return Frame(FrameKind.SNAPSHOT, update.from_version, update.version, update.document)


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
