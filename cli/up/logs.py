"""Log files of the children: bounded in size without the writers' help.

A child writes to its file directly, opened for appending, so it keeps its log when `sluice up` dies. A full file
is copied aside and cut to nothing; an appending writer goes on at its new end.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 8 * 1024 * 1024
_CHECK_SECONDS = 2.0


def open_log(directory: Path, name: str) -> int:
    """A descriptor that appends to `<name>.log`; the caller closes it."""
    return os.open(directory / f"{name}.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def rotate(directory: Path, max_bytes: int = MAX_BYTES) -> None:
    """Move every log over `max_bytes` to `<name>.log.1`, replacing the one before it."""
    for path in directory.glob("*.log"):
        with contextlib.suppress(OSError):
            if path.stat().st_size > max_bytes:
                kept = path.with_suffix(".log.1")
                shutil.copyfile(path, kept)
                kept.chmod(0o600)
                os.truncate(path, 0)


async def keep_bounded(directory: Path) -> None:
    """Rotate now and then, until cancelled."""
    while True:
        await asyncio.to_thread(rotate, directory)
        await asyncio.sleep(_CHECK_SECONDS)


def last_line(directory: Path, name: str) -> str:
    """The last non-empty line a child wrote, shortened; what a failed start is explained with."""
    try:
        lines = (directory / f"{name}.log").read_text(errors="replace")[-8192:].strip().splitlines()
    except OSError:
        return "no log"
    return lines[-1].strip()[:300] if lines else "nothing in its log"
