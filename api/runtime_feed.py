"""What runtimes hear: one listener on the database per API process, fanned out to all of their streams.

A region's view is the list of its assignments as last read. A notice of a new version changes the view by itself; a notice about
an assignment has just that one control plane read again, so a change costs the same however many the region serves. Notices
may be lost, so the whole region is read now and then, and whenever the listener was off the line.

A message is a hint: the configuration that a runtime fetches afterwards is always the newest.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final
from uuid import UUID

from core import logging
from core.db.notices import ASSIGNMENTS_CHANNEL, CONFIG_CHANNEL, ORDERS_CHANNEL, Notice, NoticeBus
from core.runtime.assignments import Assignment

log = logging.get_logger("api.runtime_feed")

QUIET_SECONDS: Final = 60.0
POLL_SECONDS: Final = 5.0
LEAST_PAUSE: Final = 100.0
"""Pause between polls of a region in units of how long its last reading took: polls take a hundredth of the time at most."""
RETRY_SECONDS: Final = 1.0
PING_SECONDS: Final = 5.0
LONGEST_QUEUE: Final = 10_000

Message = dict[str, Any]
Read = Callable[[str, Collection[UUID] | None], Sequence[Assignment]]
"""Reads assignments of a region: those of the given control planes, or all of them for None. Blocking."""


class StartOver(Exception):
    """The stream cannot go on: it was not read for too long, or the database has gone back in time.

    A runtime that comes back gets the complete list.
    """


@dataclass(slots=True)
class _View:
    """A region as last read, and who wants to hear of it.

    Attributes:
        readings: how many complete readings have begun.
        named: control planes that a notice was about and that are not read again yet.
        unread: versions announced while a reading was under way; it may have begun before they came about.
        pause_seconds: until the next poll.
    """

    items: dict[UUID, Assignment] = field(default_factory=dict[UUID, Assignment])
    streams: set["asyncio.Queue[Message | None]"] = field(default_factory=set["asyncio.Queue[Message | None]"])
    users: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    readings: int = 0
    named: set[UUID] = field(default_factory=set[UUID])
    unread: dict[UUID, int] = field(default_factory=dict[UUID, int])
    polled_at: float = field(default_factory=time.monotonic)
    pause_seconds: float = POLL_SECONDS


class RuntimeFeed:
    """Streams of one API process. Belongs to one event loop; listens from the first stream on, until the loop ends."""

    def __init__(self, notices: NoticeBus, read: Read) -> None:
        self._notices = notices
        self._read = read
        self._views: dict[str, _View] = {}
        self._background: list[asyncio.Task[None]] = []
        self._listening = asyncio.Event()
        self._readers: set[asyncio.Task[None]] = set()

    async def stream(self, region: str) -> AsyncGenerator[Message]:
        """The region's complete list first, then what changes, with a ping whenever it is quiet.

        Raises: StartOver.
        """
        view = self._views.setdefault(region, _View())
        view.users += 1
        queue: asyncio.Queue[Message | None] = asyncio.Queue(LONGEST_QUEUE)
        try:
            self._ensure_background()
            # The listener must be on the line before the list is read, or a change between the two would be lost.
            await self._listening.wait()
            await self._read_region(region, view)
            view.streams.add(queue)
            yield {"type": "assignments", "items": [_item(assignment) for assignment in view.items.values()]}
            while True:
                try:
                    message = await asyncio.wait_for(queue.get(), PING_SECONDS)
                except TimeoutError:
                    message = {"type": "ping"}
                if message is None:
                    raise StartOver
                yield message
        finally:
            view.streams.discard(queue)
            view.users -= 1
            if not view.users:
                self._views.pop(region, None)

    def _ensure_background(self) -> None:
        if not self._background or any(task.done() for task in self._background):
            self._listening.clear()
            for task in self._background:
                task.cancel()
            self._background = [asyncio.create_task(self._listen()), asyncio.create_task(self._poll())]

    async def _listen(self) -> None:
        while True:
            try:
                channels = [CONFIG_CHANNEL, ASSIGNMENTS_CHANNEL, ORDERS_CHANNEL]
                async for notice in self._notices.listen_async(channels, QUIET_SECONDS):
                    self._hear(notice)
                    self._listening.set()
            except Exception:  # whatever it was: streams without a listener would hear nothing
                log.exception("runtime_feed.listener_failed")
                await asyncio.sleep(RETRY_SECONDS)

    def _hear(self, notice: Notice | None) -> None:
        """Take one notice. None, and what is not understood, may stand for anything: everything is read again."""
        words = [] if notice is None else notice.payload.split()
        try:
            if notice is not None and notice.channel == CONFIG_CHANNEL:
                self._announce_version(UUID(words[1]), int(words[2]))
                return
            if notice is not None and notice.channel == ORDERS_CHANNEL:
                self._announce_orders(UUID(words[0]))
                return
            if len(words) == 2:
                self._name(words[0], UUID(words[1]))
                return
        except (ValueError, IndexError):
            log.warning("runtime_feed.notice_not_understood", channel=notice and notice.channel)
        for region, view in self._views.items():
            if not words or words[0] == region or notice is None or notice.channel != ASSIGNMENTS_CHANNEL:
                self._start(self._read_region_safely(region, view))

    def _announce_version(self, control_plane_id: UUID, version: int) -> None:
        for view in self._views.values():
            if view.lock.locked():
                view.unread[control_plane_id] = max(version, view.unread.get(control_plane_id, 0))
            assignment = view.items.get(control_plane_id)
            if assignment is not None and assignment.version < version:
                view.items[control_plane_id] = replace(assignment, version=version)
                _tell(view, _version(control_plane_id, version))

    def _announce_orders(self, control_plane_id: UUID) -> None:
        """A hint to fetch at once what runtimes fetch now and then anyway."""
        for view in self._views.values():
            if control_plane_id in view.items:
                _tell(view, {"type": "orders"})

    def _name(self, region: str, control_plane_id: UUID) -> None:
        view = self._views.get(region)
        if view is not None:
            if not view.named:
                self._start(self._read_named(region, view))
            view.named.add(control_plane_id)

    def _start(self, reading: Any) -> None:
        """Read without keeping the notices that follow waiting."""
        task = asyncio.create_task(reading)
        self._readers.add(task)
        task.add_done_callback(self._readers.discard)

    async def _read_named(self, region: str, view: _View) -> None:
        """Read the control planes that notices were about; those that come up meanwhile wait for each other."""
        async with view.lock:
            named, view.named = view.named, set()
            try:
                found = await asyncio.to_thread(self._read, region, named)
            except Exception as error:  # noqa: BLE001 - whatever it was, the next poll comes within seconds
                log.warning("runtime_feed.reading_failed", region=region, error=type(error).__name__)
                view.pause_seconds = 0.0
                return
            unread, view.unread = view.unread, {}
            for control_plane_id in named - {item.control_plane_id for item in found}:
                # Told even if it was not in the view: a runtime that does not know it says so, and is believed.
                view.items.pop(control_plane_id, None)
                _tell(view, _removed(control_plane_id))
            for new in found:
                # Told even if nothing is different: whoever sent the notice waits for runtimes to confirm it.
                view.items[new.control_plane_id] = newest = _newest(new, unread)
                _tell(view, {"type": "assigned", "item": _item(newest)})

    async def _read_region(self, region: str, view: _View) -> None:
        """Read the whole region again and tell its streams what is different.

        One reading at a time. A reading counts for everybody who asked before it began, so a burst of notices costs two.
        """
        asked_after = view.readings
        async with view.lock:
            if view.readings > asked_after:
                return
            view.readings += 1
            began = time.monotonic()
            try:
                found = {item.control_plane_id: item for item in await asyncio.to_thread(self._read, region, None)}
            except BaseException:
                view.readings -= 1  # whoever waits for this reading has to do it
                raise
            view.polled_at = time.monotonic()
            view.pause_seconds = max(POLL_SECONDS, LEAST_PAUSE * (view.polled_at - began))
            unread, view.unread = view.unread, {}
            _tell_differences(view, found, unread)

    async def _read_region_safely(self, region: str, view: _View) -> None:
        try:
            await self._read_region(region, view)
        except Exception as error:  # noqa: BLE001 - whatever it was, the next poll comes within seconds
            log.warning("runtime_feed.reading_failed", region=region, error=type(error).__name__)

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(RETRY_SECONDS)
            now = time.monotonic()
            for region, view in list(self._views.items()):
                if now - view.polled_at >= view.pause_seconds:
                    await self._read_region_safely(region, view)


def _tell_differences(view: _View, found: dict[UUID, Assignment], unread: dict[UUID, int]) -> None:
    before, view.items = view.items, {key: _newest(new, unread) for key, new in found.items()}
    if any(key in before and new.version < before[key].version for key, new in view.items.items()):
        # The database has gone back (a restored backup, a standby that was behind): runtimes have to compare everything.
        _end_streams(view)
        return
    for control_plane_id in before.keys() - found.keys():
        _tell(view, _removed(control_plane_id))
    for control_plane_id, new in view.items.items():
        old = before.get(control_plane_id)
        if old is None or (old.hosts, old.terms) != (new.hosts, new.terms):
            _tell(view, {"type": "assigned", "item": _item(new)})
        elif old.version < new.version:
            _tell(view, _version(control_plane_id, new.version))


def _newest(new: Assignment, unread: dict[UUID, int]) -> Assignment:
    """As read, with a version that was announced while it was being read."""
    return replace(new, version=max(new.version, unread.get(new.control_plane_id, 0)))


def _tell(view: _View, message: Message) -> None:
    for queue in view.streams:
        try:
            queue.put_nowait(message)
        except asyncio.QueueFull:
            _end(queue)


def _end_streams(view: _View) -> None:
    for queue in view.streams:
        _end(queue)


def _end(queue: "asyncio.Queue[Message | None]") -> None:
    """Have the stream's runtime come back for the complete list."""
    while not queue.empty():
        queue.get_nowait()
    queue.put_nowait(None)


def _version(control_plane_id: UUID, version: int) -> Message:
    return {"type": "version", "control_plane_id": str(control_plane_id), "version": version}


def _removed(control_plane_id: UUID) -> Message:
    return {"type": "removed", "control_plane_id": str(control_plane_id)}


def _item(assignment: Assignment) -> Message:
    return {
        "organization_id": str(assignment.organization_id),
        "control_plane_id": str(assignment.control_plane_id),
        "hosts": list(assignment.hosts),
        "version": assignment.version,
        **({"terms": assignment.terms} if assignment.terms else {}),
    }
