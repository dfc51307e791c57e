"""What runtimes hear: one listener on the database per API process, fanned out to all of their streams.

A region's view is the list of its assignments as last read. Notices say when to read again; each change of the view becomes a
message for the region's streams. Notices may be lost, so the view is also read again whenever nothing was heard for a while.
A message is a hint: the configuration that a runtime fetches afterwards is always the newest.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final
from uuid import UUID

from core import logging
from core.db.notices import ASSIGNMENTS_CHANNEL, CONFIG_CHANNEL, NoticeBus
from core.runtime.assignments import Assignment

log = logging.get_logger("api.runtime_feed")

QUIET_SECONDS: Final = 5.0
PING_SECONDS: Final = 5.0
LONGEST_QUEUE: Final = 10_000

Message = dict[str, Any]
Read = Callable[[str], Sequence[Assignment]]


class TooSlow(Exception):
    """A stream was not read for so long that its messages were thrown away; the runtime has to start over."""


@dataclass(slots=True)
class _View:
    """A region as last read, and who wants to hear of it; `readings` counts those begun."""

    items: dict[UUID, Assignment] = field(default_factory=dict[UUID, Assignment])
    streams: set["asyncio.Queue[Message | None]"] = field(default_factory=set["asyncio.Queue[Message | None]"])
    users: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    readings: int = 0


class RuntimeFeed:
    """Streams of one API process. Belongs to one event loop; listens from the first stream on, until the loop ends."""

    def __init__(self, notices: NoticeBus, read: Read) -> None:
        self._notices = notices
        self._read = read
        self._views: dict[str, _View] = {}
        self._listener: asyncio.Task[None] | None = None
        self._listening = asyncio.Event()
        self._refreshing: set[asyncio.Task[None]] = set()

    async def stream(self, region: str) -> AsyncGenerator[Message]:
        """The region's complete list first, then what changes, with a ping whenever it is quiet.

        Raises: TooSlow.
        """
        view = self._views.setdefault(region, _View())
        view.users += 1
        queue: asyncio.Queue[Message | None] = asyncio.Queue(LONGEST_QUEUE)
        try:
            self._ensure_listener()
            # The listener must be on the line before the list is read, or a change between the two would be lost.
            await self._listening.wait()
            await self._refresh(region)
            view.streams.add(queue)
            yield {"type": "assignments", "items": [_item(assignment) for assignment in view.items.values()]}
            while True:
                try:
                    message = await asyncio.wait_for(queue.get(), PING_SECONDS)
                except TimeoutError:
                    message = {"type": "ping"}
                if message is None:
                    raise TooSlow
                yield message
        finally:
            view.streams.discard(queue)
            view.users -= 1
            if not view.users:
                self._views.pop(region, None)

    def _ensure_listener(self) -> None:
        if self._listener is None or self._listener.done():
            self._listening.clear()
            self._listener = asyncio.create_task(self._listen(), name="runtime-feed")

    async def _listen(self) -> None:
        async for notice in self._notices.listen_async([CONFIG_CHANNEL, ASSIGNMENTS_CHANNEL], QUIET_SECONDS):
            if notice is None:
                self._listening.set()
                for region in self._views:
                    self._refresh_soon(region)
            elif notice.channel == ASSIGNMENTS_CHANNEL:
                self._refresh_soon(notice.payload)
            else:
                _, control_plane_id, version = notice.payload.split()
                self._announce_version(UUID(control_plane_id), int(version))

    def _refresh_soon(self, region: str) -> None:
        """Read again without keeping the notices that follow waiting."""

        async def refresh() -> None:
            try:
                await self._refresh(region)
            except Exception as error:  # noqa: BLE001 - whatever it was, the next reading comes within seconds
                log.warning("runtime_feed.reading_failed", region=region, error=type(error).__name__)

        task = asyncio.create_task(refresh())
        self._refreshing.add(task)
        task.add_done_callback(self._refreshing.discard)

    def _announce_version(self, control_plane_id: UUID, version: int) -> None:
        for view in self._views.values():
            assignment = view.items.get(control_plane_id)
            if assignment is not None and assignment.version < version:
                view.items[control_plane_id] = replace(assignment, version=version)
                _tell(view, _version(control_plane_id, version))

    async def _refresh(self, region: str) -> None:
        """Read the region again and tell its streams what is different.

        One reading at a time. A reading counts for everybody who asked before it began, so a burst of notices costs two.
        """
        view = self._views.get(region)
        if view is None:
            return
        asked_after = view.readings
        async with view.lock:
            if view.readings > asked_after:
                return
            view.readings += 1
            try:
                found = {item.control_plane_id: item for item in await asyncio.to_thread(self._read, region)}
            except BaseException:
                view.readings -= 1  # whoever waits for this reading has to do it
                raise
            self._tell_differences(view, found)

    def _tell_differences(self, view: _View, found: dict[UUID, Assignment]) -> None:
        for control_plane_id in view.items.keys() - found.keys():
            del view.items[control_plane_id]
            _tell(view, {"type": "removed", "control_plane_id": str(control_plane_id)})
        for control_plane_id, new in found.items():
            old = view.items.get(control_plane_id)
            newest = new if old is None else replace(new, version=max(new.version, old.version))
            view.items[control_plane_id] = newest
            if old is None or old.hosts != newest.hosts:
                _tell(view, {"type": "assigned", "item": _item(newest)})
            elif old.version < newest.version:
                _tell(view, _version(control_plane_id, newest.version))


def _tell(view: _View, message: Message) -> None:
    for queue in view.streams:
        try:
            queue.put_nowait(message)
        except asyncio.QueueFull:
            while not queue.empty():
                queue.get_nowait()
            queue.put_nowait(None)


def _version(control_plane_id: UUID, version: int) -> Message:
    return {"type": "version", "control_plane_id": str(control_plane_id), "version": version}


def _item(assignment: Assignment) -> Message:
    return {
        "organization_id": str(assignment.organization_id),
        "control_plane_id": str(assignment.control_plane_id),
        "hosts": list(assignment.hosts),
        "version": assignment.version,
    }
