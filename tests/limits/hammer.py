"""Many connections to several gateways, all for the same window."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter
    from collections.abc import Sequence

    from gateway_runtime.engine import Engine

CONNECTIONS: Final = 64
# Together some more than twice the limit.
REQUESTS: Final = 4
LIMIT: Final = 100
_DAY_SECONDS: Final = 86_400
_REQUEST: Final = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Node:
    """A gateway and its port."""

    engine: Engine
    port: int

    def counted(self, name: str) -> int:
        """A counter of its control plane."""
        return int(json.loads(self.engine.stats())["tenants"]["cp"][name])


def _snapshot(limiting: dict[str, Any]) -> bytes:
    def plugin(name: str, config: dict[str, Any]) -> dict[str, Any]:
        return {"id": name, "name": name, "config": config, "enabled": True, "protocols": ["http"]}

    route = {
        "id": "r", "name": "r", "protocols": ["http"], "paths": ["/"], "regex_priority": 0, "strip_path": False,
        "path_handling": "v0", "preserve_host": False, "https_redirect_status_code": 426, "request_buffering": True,
        "response_buffering": True,
    }  # fmt: skip
    answer = {
        "status_code": 200, "message": "ok", "content_type": None, "body": None, "echo": False, "trigger": None,
    }  # fmt: skip
    document = {
        "format": 1, "kind": "snapshot", "organization_id": "org", "control_plane_id": "cp", "version": 1, "hosts": ["*"],
        "settings": {"router_flavor": "traditional_compatible", "trusted_ips": [], "real_ip_header": "X-Real-IP", "headers": []},
        "limits": {"allow_upstream": ["127.0.0.0/8"]},
        "entities": {
            "services": [], "routes": [route], "consumers": [],
            "plugins": [plugin("rate-limiting", limiting), plugin("request-termination", answer)],
        },
    }  # fmt: skip
    return json.dumps(document).encode()


def start(limiting: dict[str, Any], nodes: int) -> list[Node]:
    """Gateways that limit by the same configuration, at the beginning of the same day. The caller stops them."""
    from gateway_runtime.engine import Engine  # the module can be read without the compiled engine

    options = {"listeners": [{"address": "127.0.0.1:0", "tls": False}], "threads": 2, "version": "0.0", "limits": {"max_delay_ms": 0}}  # fmt: skip
    started: list[Node] = []
    for _ in range(nodes):
        engine = Engine(json.dumps(options).encode())
        (address,) = engine.start()
        started.append(Node(engine, int(address.rpartition(":")[2])))
        report = json.loads(engine.apply(_snapshot(limiting)))
        assert report["accepted"], report
        # A day has room for whatever a test does, once it has begun.
        engine.advance_clock(_DAY_SECONDS - time.time() % _DAY_SECONDS + 60)
    return started


async def hammer(nodes: Sequence[Node], rounds: int) -> list[list[int]]:
    """Asks for one window after another; says for each how many requests every gateway let through."""
    lanes = [
        (number % len(nodes), await asyncio.open_connection("127.0.0.1", nodes[number % len(nodes)].port))
        for number in range(CONNECTIONS)
    ]
    passed: list[list[int]] = []
    try:
        for _ in range(rounds):
            window = [0] * len(nodes)
            for node, count in await asyncio.gather(*(_ask(node, *lane) for node, lane in lanes)):
                window[node] += count
            passed.append(window)
            for node in nodes:
                node.engine.advance_clock(_DAY_SECONDS)
    finally:
        for _, (_, writer) in lanes:
            writer.close()
    return passed


async def _ask(node: int, reader: StreamReader, writer: StreamWriter) -> tuple[int, int]:
    passed = 0
    writer.write(_REQUEST * REQUESTS)
    for _ in range(REQUESTS):
        head = await reader.readuntil(b"\r\n\r\n")
        status = int(head[9:12])
        assert status in {200, 429}, head
        passed += status == 200
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        await reader.readexactly(int(length))
    return node, passed
