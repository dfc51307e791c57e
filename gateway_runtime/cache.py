"""Last known good configuration on disk: one encrypted, append-only journal per control plane.

A journal is a header (magic and salt) and frames: the snapshot it started from, then the deltas that followed. A frame is
`length (4 bytes, big endian) | nonce (12) | AES-256-GCM ciphertext`, with the control plane and the frame's index as
associated data, so frames cannot be moved between files or reordered. The file key comes from the node's private key and the
file's salt. A torn or altered frame ends the journal: what precedes it is still good.

Durability: a snapshot is synced to disk before it replaces the old file. Deltas are written at once, which survives the death
of the process, and synced within a second, so a power cut can cost the last second of deltas, never the file.
"""

import contextlib
import fcntl
import os
import secrets
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final, TypeAlias

import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

log = structlog.stdlib.get_logger(__name__)

MAGIC: Final = b"SLUICE-LKG-1\n"
SALT_BYTES: Final = 16
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
HEADER_BYTES: Final = len(MAGIC) + SALT_BYTES
PURPOSE: Final = "sluice last known good v1"
SUFFIX: Final = ".journal"
COMPACT_AFTER_BYTES: Final = 256 * 1024
COMPACT_AFTER_FRAMES: Final = 1000
SNAPSHOT_BYTES_PER_FRAME: Final = 4096
"""As much of a snapshot takes about as long to apply as a delta: a large tenant's changes may be replayed for as long as its
snapshot would take, or every thousandth of them would cost a snapshot."""
LARGEST_FRAME_BYTES: Final = 1 << 30

_Derive: TypeAlias = Callable[[str, bytes], bytes]


class FrameKind(Enum):
    """What an update document is."""

    SNAPSHOT = 1
    DELTA = 2


@dataclass(frozen=True, slots=True)
class Frame:
    """One update as the engine took it. `from_version` is 0 for a snapshot."""

    kind: FrameKind
    from_version: int
    version: int
    update: bytes


@dataclass(slots=True)
class _Journal:
    """State of one file that this process has read or written."""

    key: AESGCM
    version: int
    frames: int
    size: int
    snapshot_bytes: int
    broken: bool = False

    @property
    def outgrown(self) -> bool:
        deltas = self.size - HEADER_BYTES - self.snapshot_bytes
        most_frames = max(COMPACT_AFTER_FRAMES, self.snapshot_bytes // SNAPSHOT_BYTES_PER_FRAME)
        return self.frames > most_frames or deltas > max(self.snapshot_bytes, COMPACT_AFTER_BYTES)


class LastKnownGood:
    """The journals of one node. Blocking; calls for the same control plane must not overlap.

    Two processes of one node may overlap while one takes over from the other: only the holder of the lock writes. The other
    one reads at start and begins to write once `acquire` succeeds.
    """

    def __init__(self, directory: Path, derive_key: _Derive) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory = directory
        self._derive_key = derive_key
        self._journals: dict[str, _Journal] = {}
        self._unsynced: set[str] = set()
        self._lock: int | None = None
        self.unwritten: set[str] = set()
        """Control planes whose newest configuration could not be written: a restart would bring back an older one."""

    def acquire(self) -> bool:
        """Become the writer, if no other process is; True when this process may write."""
        if self._lock is not None:
            return True
        try:
            descriptor = os.open(self._directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            log.warning("cache.not_writable", error=str(error))
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return False
        self._lock = descriptor
        # What was read before belongs to the previous writer, who may have gone on since.
        self._journals.clear()
        return True

    @property
    def is_writer(self) -> bool:
        """This process holds the lock."""
        return self._lock is not None

    def close(self) -> None:
        """Sync what is open and let the next process write."""
        self.sync()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def control_planes(self) -> list[str]:
        """Ids with a journal, in no particular order."""
        return [path.name.removesuffix(SUFFIX) for path in self._directory.glob(f"*{SUFFIX}")]

    def load(self, control_plane_id: str) -> list[Frame]:
        """The frames to replay, snapshot first; empty when nothing readable is left."""
        path = self._path(control_plane_id)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            log.warning("cache.unreadable", control_plane_id=control_plane_id, error=str(error))
            return []
        if not data.startswith(MAGIC) or len(data) < HEADER_BYTES:
            log.warning("cache.discarded", control_plane_id=control_plane_id, reason="header")
            return []
        key = self._file_key(data[len(MAGIC) : HEADER_BYTES])
        frames: list[Frame] = []
        good = HEADER_BYTES
        for frame, end in _read_frames(memoryview(data), key, control_plane_id):
            if not _follows(frames[-1] if frames else None, frame):
                break
            frames.append(frame)
            good = end
        if good < len(data):
            log.warning(
                "cache.tail_dropped", control_plane_id=control_plane_id, frames=len(frames), bytes=len(data) - good
            )
        if frames:
            self._journals[control_plane_id] = _Journal(
                key=key,
                version=frames[-1].version,
                frames=len(frames),
                size=good,
                snapshot_bytes=len(frames[0].update),
                broken=good < len(data),
            )
        return frames

    def store(self, control_plane_id: str, frame: Frame) -> bool:
        """Remember an update that the engine has taken.

        Returns: False when the caller should fetch a snapshot and store that: the journal has outgrown its snapshot, does not
            reach the delta's first version, or could not be written.
        """
        if self._lock is None:
            return True
        try:
            if frame.kind is FrameKind.SNAPSHOT:
                self._replace(control_plane_id, frame)
                return True
            journal = self._journals.get(control_plane_id) or self._reopen(control_plane_id)
            if journal is None or journal.broken or journal.version != frame.from_version:
                return False
            self._append(control_plane_id, journal, frame)
        except OSError as error:
            # A full disk costs the cache its freshness, not the gateway its traffic.
            log.warning("cache.write_failed", control_plane_id=control_plane_id, error=str(error))
            self.unwritten.add(control_plane_id)
            return frame.kind is FrameKind.SNAPSHOT
        return not journal.outgrown

    def version(self, control_plane_id: str) -> int | None:
        """The newest version on disk, as far as this process has seen it."""
        journal = self._journals.get(control_plane_id) or self._reopen(control_plane_id)
        return None if journal is None or journal.broken else journal.version

    def remove(self, control_plane_id: str) -> None:
        """Forget a control plane."""
        if self._lock is None:
            return
        self._journals.pop(control_plane_id, None)
        self._unsynced.discard(control_plane_id)
        self.unwritten.discard(control_plane_id)
        with contextlib.suppress(OSError):
            self._path(control_plane_id).unlink(missing_ok=True)

    def sync(self) -> None:
        """Force appended deltas to disk."""
        while self._unsynced:
            path = self._path(self._unsynced.pop())
            with contextlib.suppress(OSError):
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    os.fdatasync(descriptor)
                finally:
                    os.close(descriptor)

    def _reopen(self, control_plane_id: str) -> _Journal | None:
        self.load(control_plane_id)
        return self._journals.get(control_plane_id)

    def _replace(self, control_plane_id: str, frame: Frame) -> None:
        salt = secrets.token_bytes(SALT_BYTES)
        key = self._file_key(salt)
        data = MAGIC + salt + _seal(key, control_plane_id, 0, frame)
        path = self._path(control_plane_id)
        temporary = path.with_suffix(".new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            _write_all(descriptor, data)
            os.fdatasync(descriptor)
        except OSError:
            temporary.unlink(missing_ok=True)  # a full disk needs its last blocks more than half a journal does
            raise
        finally:
            os.close(descriptor)
        temporary.replace(path)
        self._unsynced.discard(control_plane_id)
        self.unwritten.discard(control_plane_id)
        self._journals[control_plane_id] = _Journal(key, frame.version, 1, len(data), len(frame.update))

    def _append(self, control_plane_id: str, journal: _Journal, frame: Frame) -> None:
        data = _seal(journal.key, control_plane_id, journal.frames, frame)
        journal.broken = True  # until the whole frame is there: the next delta must not follow a torn one
        descriptor = os.open(self._path(control_plane_id), os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.lseek(descriptor, journal.size, os.SEEK_SET)
            _write_all(descriptor, data)
        finally:
            os.close(descriptor)
        journal.broken = False
        journal.size += len(data)
        journal.frames += 1
        journal.version = frame.version
        self._unsynced.add(control_plane_id)

    def _file_key(self, salt: bytes) -> AESGCM:
        return AESGCM(self._derive_key(PURPOSE, salt))

    def _path(self, control_plane_id: str) -> Path:
        return self._directory / f"{control_plane_id}{SUFFIX}"


_FRAME_HEAD: Final = struct.Struct(">BQQ")
_LENGTH: Final = struct.Struct(">I")


def _associated(control_plane_id: str, index: int) -> bytes:
    return b"%b|%b|%d" % (MAGIC, control_plane_id.encode(), index)


def _seal(key: AESGCM, control_plane_id: str, index: int, frame: Frame) -> bytes:
    nonce = secrets.token_bytes(NONCE_BYTES)
    plain = _FRAME_HEAD.pack(frame.kind.value, frame.from_version, frame.version) + frame.update
    sealed = key.encrypt(nonce, plain, _associated(control_plane_id, index))
    return _LENGTH.pack(NONCE_BYTES + len(sealed)) + nonce + sealed


def _read_frames(data: memoryview, key: AESGCM, control_plane_id: str) -> Iterator[tuple[Frame, int]]:
    """Frames and the offset after each, up to the first that is torn or altered."""
    at = HEADER_BYTES
    index = 0
    while at + _LENGTH.size <= len(data):
        (length,) = _LENGTH.unpack_from(data, at)
        start, end = at + _LENGTH.size, at + _LENGTH.size + length
        if length < NONCE_BYTES + TAG_BYTES + _FRAME_HEAD.size or length > LARGEST_FRAME_BYTES or end > len(data):
            return
        nonce, sealed = bytes(data[start : start + NONCE_BYTES]), bytes(data[start + NONCE_BYTES : end])
        try:
            plain = key.decrypt(nonce, sealed, _associated(control_plane_id, index))
            kind, from_version, version = _FRAME_HEAD.unpack_from(plain)
            frame = Frame(FrameKind(kind), from_version, version, plain[_FRAME_HEAD.size :])
        except (InvalidTag, ValueError):
            return
        yield frame, end
        at = end
        index += 1


def _follows(previous: Frame | None, frame: Frame) -> bool:
    if previous is None:
        return frame.kind is FrameKind.SNAPSHOT
    return frame.kind is FrameKind.DELTA and frame.from_version == previous.version


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
