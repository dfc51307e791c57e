"""Making a stream that fails as small as it goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tests.framing.trial import Bench

_MOST_TRIES: Final = 400


async def smaller(bench: Bench, stream: bytes, client: str) -> bytes:
    """The stream without whatever it fails without, too; the stream itself if it does not fail alone."""
    tries = 0
    if not await bench.check(stream, client):
        return stream
    size = len(stream) // 2
    while size:
        start = 0
        while start < len(stream) and tries < _MOST_TRIES:
            tries += 1
            shorter = stream[:start] + stream[start + size :]
            if shorter and await bench.check(shorter, client):
                stream = shorter
            else:
                start += size
        size //= 2
    return stream
