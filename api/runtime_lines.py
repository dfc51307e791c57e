"""Configurations of many control planes as a stream of lines (api/routes/runtime.py)."""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from core.snapshot.build import Built

PART_BYTES: Final = 64 * 1024
_GZIP: Final = 31


def parts(items: Iterable[Built], *, compress: bool) -> Iterator[bytes]:
    """One JSON object per item, in parts worth sending, each of which can be read as soon as it has come."""
    packer = zlib.compressobj(level=1, wbits=_GZIP)

    def packed(lines: Sequence[bytes], mode: int) -> bytes:
        content = b"".join(lines)
        return packer.compress(content) + packer.flush(mode) if compress else content

    waiting, size = list[bytes](), 0
    for item in items:
        waiting.append(_line(item))
        size += len(waiting[-1])
        if size >= PART_BYTES:
            yield packed(waiting, zlib.Z_SYNC_FLUSH)
            waiting, size = [], 0
    yield packed(waiting, zlib.Z_FINISH)


def _line(item: Built) -> bytes:
    if item.update is not None:
        return item.update.to_bytes() + b"\n"
    kind = b"failed" if item.failed else b"not-assigned"
    return b'{"kind":"%b","control_plane_id":"%b"}\n' % (kind, str(item.control_plane_id).encode())
