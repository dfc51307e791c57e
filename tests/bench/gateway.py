"""`python -m tests.bench.gateway PORT BACKEND_PORT CERTIFICATE JOB`: the engine alone, one thread, doing one job."""

from __future__ import annotations

import base64
import json
import signal
import sys
from pathlib import Path
from typing import Any

from gateway_runtime.engine import Engine
from schema.declarative import load
from schema.snapshot import GatewaySettings, Limits, Snapshot
from tests.bench.rivals.job import HOST, KEY_HEADER, KEYS, LIMIT, PREFIX, SECRET, Job, consumer, key

CREDENTIAL_KEY = bytes(range(32))


def configuration(job: Job, backend_port: int) -> dict[str, Any]:
    """The job as a declarative file."""
    plugins: list[dict[str, Any]] = []
    consumers: list[dict[str, Any]] = []
    if job.inject:
        value = f"Authorization:{SECRET}"
        both = {"replace": {"headers": [value]}, "add": {"headers": [value]}}
        plugins.append({"name": "request-transformer", "route": {"name": "api"}, "config": both})
    if job.authenticate:
        consumers = [
            {"username": consumer(number), "keyauth_credentials": [{"key": key(number)}]} for number in range(KEYS)
        ]
        plugins += [
            {"name": "key-auth", "route": {"name": "api"}, "config": {"key_names": [KEY_HEADER]}},
            {"name": "rate-limiting", "route": {"name": "api"}, "config": {"minute": LIMIT, "policy": "local"}},
        ]
    return {
        "_format_version": "3.0",
        "services": [{"name": "backend", "url": f"http://127.0.0.1:{backend_port}"}],
        "routes": [{"name": "api", "service": {"name": "backend"}, "paths": [PREFIX]}],
        "consumers": consumers,
        "plugins": plugins,
    }


def snapshot(entities: dict[str, list[dict[str, Any]]]) -> bytes:
    """A tenant with these entities, as gateways get it."""
    return Snapshot(
        organization_id="00000000-0000-0000-0000-000000000001",
        control_plane_id="00000000-0000-0000-0000-000000000002",
        version=1,
        hosts=(HOST,),
        limits=Limits(allow_upstream=("127.0.0.0/8",)),
        settings=GatewaySettings(credential_key=base64.b64encode(CREDENTIAL_KEY).decode()),
        entities=entities,
    ).to_bytes()


def serve(port: int, configuration: bytes, *, pem: str = "", logs: Path | None = None) -> None:
    """Serve one tenant until SIGTERM or SIGINT; with TLS if there is a certificate. `logs`: directory of log files."""
    options: dict[str, Any] = {
        "listeners": [{"address": f"127.0.0.1:{port}", "tls": bool(pem)}],
        "threads": 1,
        "default_certificate": {"cert": pem, "key": pem} if pem else None,
        "version": "0.1.0",
    }
    if logs is not None:
        options["log_directory"] = str(logs)
    engine = Engine(json.dumps(options).encode())
    report = json.loads(engine.apply(configuration))
    if not report["accepted"]:
        raise SystemExit(json.dumps(report))
    engine.start()
    # Blocked before waiting, so that the signal is taken here and by nobody else.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    engine.stop(0.0)


def main(port: int, backend_port: int, certificate: Path, job: Job) -> int:
    loaded = load(configuration(job, backend_port))
    if loaded.errors:
        raise SystemExit(str(loaded.errors))
    serve(port, snapshot(loaded.for_gateways(CREDENTIAL_KEY)), pem=certificate.read_text() if job.tls else "")
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), Job(**json.loads(sys.argv[4]))))
