import hashlib
import os
from pathlib import Path

import pytest

from gateway_runtime import cache as cache_module
from gateway_runtime.cache import Frame, FrameKind, LastKnownGood

KEY = "aaaaaaaa-0000-4000-8000-000000000001"
OTHER = "bbbbbbbb-0000-4000-8000-000000000002"


def derive(purpose: str, salt: bytes) -> bytes:
    return hashlib.sha256(purpose.encode() + salt).digest()


def snapshot(version: int, size: int = 100) -> Frame:
    return Frame(FrameKind.SNAPSHOT, 0, version, b"S" * size)


def delta(version: int, size: int = 20) -> Frame:
    return Frame(FrameKind.DELTA, version - 1, version, b"D" * size)


def opened(directory: Path) -> LastKnownGood:
    cache = LastKnownGood(directory, derive)
    assert cache.acquire()
    return cache


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """Versions 1 to 4 in one journal."""
    cache = opened(tmp_path)
    for frame in (snapshot(1), delta(2), delta(3), delta(4)):
        assert cache.store(KEY, frame)
    cache.close()
    return tmp_path / f"{KEY}.journal"


def test_journal_is_read_back(filled: Path) -> None:
    cache = opened(filled.parent)
    assert cache.control_planes() == [KEY]
    assert [frame.version for frame in cache.load(KEY)] == [1, 2, 3, 4]
    assert cache.load(OTHER) == []


def test_files_are_private_and_unreadable(filled: Path) -> None:
    assert filled.stat().st_mode & 0o777 == 0o600
    assert b"SSSS" not in filled.read_bytes()


def test_another_key_reads_nothing(filled: Path) -> None:
    assert LastKnownGood(filled.parent, lambda _purpose, _salt: bytes(32)).load(KEY) == []


def test_a_journal_cannot_stand_in_for_another(filled: Path) -> None:
    filled.rename(filled.with_name(f"{OTHER}.journal"))
    assert opened(filled.parent).load(OTHER) == []


def test_every_truncation_leaves_a_prefix(filled: Path) -> None:
    data = filled.read_bytes()
    seen: set[int] = set()
    for length in range(len(data)):
        filled.write_bytes(data[:length])
        frames = LastKnownGood(filled.parent, derive).load(KEY)
        assert [frame.version for frame in frames] == list(range(1, len(frames) + 1))
        seen.add(len(frames))
    assert seen == {0, 1, 2, 3}


def test_every_flipped_byte_leaves_a_prefix(filled: Path) -> None:
    data = filled.read_bytes()
    for at in range(len(data)):
        filled.write_bytes(data[:at] + bytes([data[at] ^ 0x40]) + data[at + 1 :])
        frames = LastKnownGood(filled.parent, derive).load(KEY)
        assert len(frames) < 4
        assert [frame.version for frame in frames] == list(range(1, len(frames) + 1))


def test_swapped_frames_are_noticed(tmp_path: Path) -> None:
    cache = opened(tmp_path)
    cache.store(KEY, snapshot(1))
    path = tmp_path / f"{KEY}.journal"
    ends = [path.stat().st_size]
    for version in (2, 3):
        cache.store(KEY, delta(version))
        ends.append(path.stat().st_size)
    data = path.read_bytes()
    path.write_bytes(data[: ends[0]] + data[ends[1] :] + data[ends[0] : ends[1]])
    assert [frame.version for frame in LastKnownGood(tmp_path, derive).load(KEY)] == [1]


def test_torn_tail_asks_for_a_snapshot_and_is_replaced(filled: Path) -> None:
    os.truncate(filled, filled.stat().st_size - 3)
    cache = opened(filled.parent)
    assert [frame.version for frame in cache.load(KEY)] == [1, 2, 3]
    assert cache.store(KEY, delta(4)) is False
    assert cache.store(KEY, snapshot(4))
    assert [frame.version for frame in cache.load(KEY)] == [4]


def test_delta_that_does_not_follow_asks_for_a_snapshot(filled: Path) -> None:
    cache = opened(filled.parent)
    assert cache.store(KEY, delta(9)) is False
    assert cache.store(OTHER, delta(2)) is False
    assert cache.store(KEY, delta(5))


def test_deltas_that_outgrow_the_snapshot_ask_for_a_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "COMPACT_AFTER_BYTES", 500)
    cache = opened(tmp_path)
    cache.store(KEY, snapshot(1))
    answers = [cache.store(KEY, delta(version, 150)) for version in (2, 3, 4)]
    assert answers == [True, True, False]
    assert cache.store(KEY, snapshot(4))
    assert cache.store(KEY, delta(5, 150))


def test_a_large_tenant_may_make_more_changes_before_it_starts_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "COMPACT_AFTER_FRAMES", 3)
    cache = opened(tmp_path)
    for key, size, changes in ((KEY, 100, 2), (OTHER, 6 * cache_module.SNAPSHOT_BYTES_PER_FRAME, 5)):
        cache.store(key, snapshot(1, size))
        answers = [cache.store(key, delta(version)) for version in range(2, changes + 3)]
        assert answers == [True] * changes + [False]


def test_full_disk_costs_freshness_only(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = opened(filled.parent)
    cache.load(KEY)
    write, calls = os.write, 0

    def torn(descriptor: int, data: memoryview) -> int:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise OSError(28, "No space left on device")
        return write(descriptor, data[:10])

    monkeypatch.setattr(cache_module.os, "write", torn)
    assert cache.store(KEY, delta(5)) is False
    monkeypatch.undo()
    assert cache.store(KEY, delta(5)) is False
    assert [frame.version for frame in opened_again(cache, filled.parent).load(KEY)] == [1, 2, 3, 4]


def opened_again(cache: LastKnownGood, directory: Path) -> LastKnownGood:
    cache.close()
    return opened(directory)


def test_only_one_writer(tmp_path: Path) -> None:
    first = opened(tmp_path)
    second = LastKnownGood(tmp_path, derive)
    assert not second.acquire()
    assert second.store(KEY, snapshot(1))
    assert second.control_planes() == []
    first.store(KEY, snapshot(1))
    first.close()
    assert second.acquire()
    assert second.version(KEY) == 1


def test_removed_is_gone(filled: Path) -> None:
    cache = opened(filled.parent)
    cache.remove(KEY)
    assert cache.control_planes() == []
    assert cache.version(KEY) is None
