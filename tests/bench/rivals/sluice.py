"""Sluice: the engine alone, one thread, set up as a tenant would do it."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import asdict

from tests.bench.rivals.job import Ends, Job, Proxy


def _command(ends: Ends, job: Job) -> list[str]:
    settings = json.dumps(asdict(job))
    ports = [str(ends.port), str(ends.backend_port)]
    return [sys.executable, "-m", "tests.bench.gateway", *ports, str(ends.certificate), settings]


def _missing(_job: Job) -> str | None:
    found = importlib.util.find_spec("gateway_runtime._engine") is not None
    return None if found else "the engine is not built (make dev)"


PROXY = Proxy("sluice", _missing, _command)
