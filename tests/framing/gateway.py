"""The engine under test, in front of a recorder."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

# Only streams that end within a message wait for these, and only if nobody ends the connection before.
_LIMITS: Final = {"head_timeout_ms": 5000, "body_timeout_ms": 5000, "idle_timeout_ms": 10_000}


def _snapshot(upstream: int, host: str, protocol: str) -> dict[str, Any]:
    service = {
        "id": "s", "name": "s", "protocol": protocol, "host": "127.0.0.1", "port": upstream, "path": None, "retries": 5,
        "connect_timeout": 5000, "write_timeout": 5000, "read_timeout": 5000, "tags": None, "enabled": True,
    }  # fmt: skip
    route = {
        "id": "r", "name": "r", "protocols": [protocol], "paths": ["/"], "regex_priority": 0, "strip_path": False,
        "path_handling": "v0", "preserve_host": False, "https_redirect_status_code": 426, "request_buffering": True,
        "response_buffering": True, "service": {"id": "s"},
    }  # fmt: skip
    # Bodies of this route are read into memory first, and none of them is changed.
    plugin = {
        "id": "p", "name": "request-transformer", "config": {"remove": {"body": ["none"]}}, "enabled": True,
        "protocols": [protocol], "service": None, "route": {"id": "whole"}, "consumer": None,
    }  # fmt: skip
    return {
        "format": 1, "kind": "snapshot", "organization_id": "org", "control_plane_id": f"cp-{host}", "version": 1, "hosts": [host],
        "settings": {"router_flavor": "traditional_compatible", "trusted_ips": [], "real_ip_header": "X-Real-IP", "headers": []},
        "limits": {"allow_upstream": ["127.0.0.0/8"]},
        "entities": {
            "services": [service], "routes": [route, {**route, "id": "whole", "name": "whole", "paths": ["/whole/"]}],
            "plugins": [plugin], "consumers": [],
        },
    }  # fmt: skip


@contextlib.asynccontextmanager
async def gateway(
    upstream: int, hosts: tuple[str, ...] = ("*",), *, protocol: str = "http"
) -> AsyncGenerator[int, None]:
    """An engine with a tenant for each host, whose every route leads to the upstream's port; yields its own port.

    `protocol` is that of services and routes.
    """
    from gateway_runtime.engine import Engine  # the readers alone need no compiled engine

    options = {
        "listeners": [{"address": "127.0.0.1:0", "tls": False}], "threads": 1, "version": "0.0", "limits": _LIMITS,
    }  # fmt: skip
    engine = Engine(json.dumps(options).encode())
    (address,) = engine.start()
    for host in hosts:
        report = json.loads(
            await asyncio.to_thread(engine.apply, json.dumps(_snapshot(upstream, host, protocol)).encode())
        )
        assert report["accepted"], report
    try:
        yield int(address.rpartition(":")[2])
    finally:
        await asyncio.to_thread(engine.stop, 0.0)
