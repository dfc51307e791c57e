"""The limit: bytes read and written once, nothing understood."""

from __future__ import annotations

from tests.bench.rivals.job import Ends, Job, Proxy


def _command(ends: Ends, _job: Job) -> list[str]:
    here = f"127.0.0.1:{ends.port}"
    return [str(ends.tool), "relay", "--listen", here, "--backend", f"127.0.0.1:{ends.backend_port}"]


def _missing(job: Job) -> str | None:
    return "understands nothing" if job.tls or job.inject or job.authenticate else None


PROXY = Proxy("raw relay", _missing, _command, sees_prefix=False)
