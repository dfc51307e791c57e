"""`python -m tests.bench.gateway PORT BACKEND_PORT`: the engine alone, one thread, with the route of the comparison."""

from __future__ import annotations

import json
import signal
import sys

from gateway_runtime.engine import Engine
from schema.declarative import load
from schema.snapshot import Limits, Snapshot
from tests.bench.proxies import HOST, PREFIX, SECRET


def main(port: int, backend_port: int) -> int:
    loaded = load(
        {
            "_format_version": "3.0",
            "services": [{"name": "backend", "url": f"http://127.0.0.1:{backend_port}"}],
            "routes": [{"name": "api", "service": {"name": "backend"}, "paths": [PREFIX]}],
            "plugins": [
                {
                    "name": "request-transformer",
                    "route": {"name": "api"},
                    "config": {
                        "replace": {"headers": [f"Authorization:{SECRET}"]},
                        "add": {"headers": [f"Authorization:{SECRET}"]},
                    },
                }
            ],
        }
    )
    if loaded.errors:
        raise SystemExit(str(loaded.errors))
    engine = Engine(
        json.dumps(
            {
                "listeners": [{"address": f"127.0.0.1:{port}", "tls": False}],
                "threads": 1,
                "default_certificate": None,
                "version": "0.1.0",
            }
        ).encode()
    )
    snapshot = Snapshot(
        organization_id="00000000-0000-0000-0000-000000000001",
        control_plane_id="00000000-0000-0000-0000-000000000002",
        version=1,
        hosts=(HOST,),
        limits=Limits(allow_upstream=("127.0.0.0/8",)),
        entities=loaded.entities,
    )
    report = json.loads(engine.apply(snapshot.to_bytes()))
    if not report["accepted"]:
        raise SystemExit(json.dumps(report))
    engine.start()
    # Blocked before waiting, so that the signal is taken here and by nobody else.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    engine.stop(0.0)
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
