"""The real engine behind a case: one per case, in process, on ports of its own."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from pydantic import ValidationError

from schema.declarative import load
from schema.snapshot import ANY_HOST, GatewaySettings, Limits, Snapshot
from tests.conformance.case import CaseError
from tests.conformance.certificates import backend_identity
from tests.conformance.client import Target
from tests.conformance.judge import ReportedError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from gateway_runtime.engine import Engine
    from tests.conformance.case import Document

_HOST: Final = "127.0.0.1"
_NAMESERVER_MS: Final = 500
_LISTENERS: Final = tuple((listener, tls) for listener in ("http", "stream", "proxied") for tls in (False, True))
_ORGANIZATION: Final = uuid.UUID(int=1)
_CONTROL_PLANE: Final = uuid.UUID(int=2)
# The backends are on loopback, which a gateway refuses to call unless it is told otherwise.
_LIMITS: Final = Limits(allow_upstream=("127.0.0.0/8", "::1/128"))


@dataclass(slots=True)
class _Tenant:
    """A control plane of the engine, in an organization of its own, under keys of its own."""

    organization_id: str
    control_plane_id: str
    credential_key: bytes
    version: int = 0

    @classmethod
    def named(cls, name: str) -> Self:
        """The tenant of a name; "" for the one of all other hosts."""
        if not name:
            return cls(str(_ORGANIZATION), str(_CONTROL_PLANE), bytes(range(32)))
        organization, control_plane = (str(uuid.uuid5(space, name)) for space in (_ORGANIZATION, _CONTROL_PLANE))
        return cls(organization, control_plane, hashlib.sha256(name.encode()).digest())


class EngineGateway:
    """One engine with a control plane that answers for every host, and others for some hosts."""

    def __init__(self, engine: Engine, addresses: list[str], logs: Path) -> None:
        self._engine = engine
        self._logs = logs
        self._ports = [int(address.rpartition(":")[2]) for address in addresses]
        self._tenants: dict[str, _Tenant] = {}

    @classmethod
    @contextlib.asynccontextmanager
    async def launch(cls, nameserver: str | None) -> AsyncGenerator[EngineGateway, None]:
        """Start an engine for one case and stop it afterwards, without waiting for what is still under way.

        `nameserver` (`host:port`) takes the place of the system's.
        """
        from gateway_runtime.engine import Engine  # reading and checking cases needs no compiled engine

        with tempfile.TemporaryDirectory() as logs:
            engine = Engine(_options(nameserver, logs))
            addresses = engine.start()
            try:
                yield cls(engine, addresses, Path(logs))
            finally:
                await asyncio.to_thread(engine.stop, 0.0)

    def target(self, scheme: str, listener: str) -> Target:
        """Where `http` or `https` requests to a listener for `http`, for a `stream` or for `proxied` clients go."""
        tls = scheme == "https"
        return Target(_HOST, self._ports[_LISTENERS.index((listener, tls))], tls)

    async def configure(
        self, config: Document, options: Document, tenant: str = "", hosts: Sequence[str] = (ANY_HOST,)
    ) -> list[ReportedError]:
        """Validate and complete a declarative configuration and apply it for a tenant; the errors, empty when accepted.

        Raises: CaseError: an option has a value that no gateway accepts.
        """
        try:
            settings = GatewaySettings.model_validate(options)
        except ValidationError as error:
            message = f"options: {error.errors(include_url=False)[0]['msg']}"
            raise CaseError(message) from None
        loaded = load(config)
        if loaded.errors:
            return [ReportedError(error.entity, error.field or None, error.message) for error in loaded.errors]
        known = self._tenants.setdefault(tenant, _Tenant.named(tenant))
        snapshot = Snapshot(
            organization_id=known.organization_id,
            control_plane_id=known.control_plane_id,
            version=known.version + 1,
            hosts=tuple(hosts),
            settings=settings.model_copy(update={"credential_key": base64.b64encode(known.credential_key).decode()}),
            limits=_LIMITS,
            entities=loaded.for_gateways(known.credential_key),
        )
        report: dict[str, Any] = json.loads(await asyncio.to_thread(self._engine.apply, snapshot.to_bytes()))
        if report["accepted"]:
            known.version = snapshot.version
            return []
        errors = [
            ReportedError(error.get("entity") or "", error.get("field") or None, error["message"])
            for error in report["errors"]
        ]
        return errors or [ReportedError("", None, "refused without a reason")]

    async def health(self, tenant: str = "") -> dict[str, dict[str, str]]:
        """Per upstream and target of a tenant, by name and address, what the gateway says of its health."""
        told: dict[str, Any] = json.loads(self._engine.health())
        return {
            upstream["name"]: {target["target"]: target["health"] for target in upstream["targets"].values()}
            for upstream in told.get(_Tenant.named(tenant).control_plane_id, {}).values()
        }

    async def set_health(self, upstream: str, target: str, *, healthy: bool) -> bool:
        """Overrule the health of a target; whether there is one."""
        order = {"control_plane_id": str(_CONTROL_PLANE), "upstream": upstream, "target": target, "healthy": healthy}
        return self._engine.set_target_health(json.dumps(order).encode())

    async def logged(self, path: str) -> bytes:
        """What is in a file of the tenant of all other hosts; nothing if there is no such file."""
        file = self._logs / str(_CONTROL_PLANE) / path.lstrip("/")
        return await asyncio.to_thread(lambda: file.read_bytes() if file.exists() else b"")

    async def figures(self, tenant: str = "") -> str:
        """A tenant's figures, as Prometheus reads them."""
        return self._engine.metrics(_Tenant.named(tenant).control_plane_id) or ""

    async def advance(self, seconds: float) -> None:
        """Move the engine's clock forward."""
        self._engine.advance_clock(seconds)


def _options(nameserver: str | None, logs: str) -> bytes:
    identity = backend_identity()
    options: dict[str, Any] = {
        "listeners": [_listener(kind, tls=tls) for kind, tls in _LISTENERS],
        "threads": 1,
        # Given, because making one anew for each engine would cost more than a whole case.
        "default_certificate": {"cert": identity.certificate, "key": identity.key},
        "version": "0.1.0",
        "log_directory": logs,
    }
    if nameserver is not None:
        options["dns"] = {"nameservers": [nameserver], "search": [], "timeout_ms": _NAMESERVER_MS}
    return json.dumps(options).encode()


def _listener(kind: str, *, tls: bool) -> dict[str, object]:
    if kind == "proxied":
        return {"address": f"{_HOST}:0", "tls": tls, "proxy_protocol": True, "public_port": 443 if tls else 80}
    return {"address": f"{_HOST}:0", "tls": tls, "protocol": kind}
