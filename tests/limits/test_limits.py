"""No more passes than may: on a node always, over several nodes as far as their policy says."""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.limits.hammer import LIMIT, hammer, start
from tests.limits.valkey import DATABASE, PASSWORD, connected, valkey

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROUNDS: Final = int(os.environ.get("ROUNDS") or 20)
NODES: Final = 3
_PATIENCE_SECONDS: Final = 30.0


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A Valkey server's."""
    folder: Path = tmp_path_factory.mktemp("valkey")
    with valkey(folder) as port:
        yield port


def limiting(policy: str, port: int, sync_rate: float = -1) -> dict[str, Any]:
    """A configuration of rate-limiting, complete."""
    server = {
        "host": "127.0.0.1", "port": port, "timeout": 20_000, "username": None, "password": PASSWORD, "database": DATABASE,
        "ssl": False, "ssl_verify": True, "server_name": None, "cloud_authentication": None,
    }  # fmt: skip
    return {
        "second": None, "minute": None, "hour": None, "day": LIMIT, "month": None, "year": None, "limit_by": "ip",
        "header_name": None, "path": None, "policy": policy, "sync_rate": sync_rate, "fault_tolerant": False,
        "redis": server, "hide_client_headers": False, "error_code": 429, "error_message": "no more",
    }  # fmt: skip


def played(config: dict[str, Any], nodes: int) -> list[list[int]]:
    """What each node has let through, window by window."""
    started = start(config, nodes)
    try:
        return asyncio.run(hammer(started, ROUNDS))
    finally:
        for node in started:
            node.engine.stop(0.0)


def test_a_node_lets_exactly_as_many_through_as_it_may() -> None:
    assert played(limiting("local", 1), 1) == [[LIMIT]] * ROUNDS


def test_nodes_that_share_a_server_let_exactly_as_many_through_together(port: int) -> None:
    windows = played(limiting("redis", port), NODES)
    assert [sum(window) for window in windows] == [LIMIT] * ROUNDS

    # The next ones have counters of their own, for as long as these are remembered.
    with connected(port) as client:
        names = list(client.scan_iter("ratelimit:{cp:*", count=10_000))
        assert len(names) == ROUNDS
        assert set(client.mget(names)) == {str(LIMIT).encode()}
        assert all(0 < client.ttl(name) <= 86_400 + 10 for name in names[:10])
        client.flushdb()


def test_nodes_that_synchronise_let_no_more_through_than_each_of_them_may(port: int) -> None:
    started = start(limiting("redis", port, sync_rate=0.05), NODES)
    try:
        windows = asyncio.run(hammer(started, ROUNDS))
        assert all(LIMIT <= sum(window) <= NODES * LIMIT for window in windows)
        assert all(passed <= LIMIT for window in windows for passed in window)

        # All of it arrives, and none of it twice.
        passed = [sum(window[node] for window in windows) for node in range(NODES)]
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while [node.counted("records_sent_total") for node in started] != passed:
            assert time.monotonic() < deadline, [node.counted("records_sent_total") for node in started]
            time.sleep(0.02)
        with connected(port) as client:
            names = list(client.scan_iter("ratelimit:{cp:*", count=10_000))
            counted = sum(int(value or 0) for value in client.mget(names))
        assert counted == sum(passed)
    finally:
        for node in started:
            node.engine.stop(0.0)
