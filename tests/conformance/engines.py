"""The real engine behind a case: one per case, in process, on ports of its own."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import uuid
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from schema.declarative import load
from schema.snapshot import ANY_HOST, GatewaySettings, Limits, Snapshot
from tests.conformance.case import CaseError
from tests.conformance.certificates import backend_identity
from tests.conformance.client import Target
from tests.conformance.judge import ReportedError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from gateway_runtime.engine import Engine
    from tests.conformance.case import Document

_HOST: Final = "127.0.0.1"
_CREDENTIAL_KEY: Final = bytes(range(32))
_LISTENERS: Final = (("http", False), ("http", True), ("stream", False), ("stream", True))
_ORGANIZATION: Final = str(uuid.UUID(int=1))
_CONTROL_PLANE: Final = str(uuid.UUID(int=2))
# The backends are on loopback, which a gateway refuses to call unless it is told otherwise.
_LIMITS: Final = Limits(allow_upstream=("127.0.0.0/8", "::1/128"))


class EngineGateway:
    """One engine with one control plane that answers for every host."""

    def __init__(self, engine: Engine, addresses: list[str]) -> None:
        self._engine = engine
        self._ports = [int(address.rpartition(":")[2]) for address in addresses]
        self._version = 0

    @classmethod
    @contextlib.asynccontextmanager
    async def launch(cls) -> AsyncGenerator[EngineGateway, None]:
        """Start an engine for one case and stop it afterwards, without waiting for what is still under way."""
        from gateway_runtime.engine import Engine  # reading and checking cases needs no compiled engine

        engine = Engine(_options())
        addresses = engine.start()
        try:
            yield cls(engine, addresses)
        finally:
            await asyncio.to_thread(engine.stop, 0.0)

    def target(self, scheme: str, listener: str) -> Target:
        """Where `http` or `https` requests to a listener for `http` or for a `stream` go."""
        tls = scheme == "https"
        return Target(_HOST, self._ports[_LISTENERS.index((listener, tls))], tls)

    async def configure(self, config: Document, options: Document) -> list[ReportedError]:
        """Validate and complete a declarative configuration and apply it; the errors, empty when accepted.

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
        snapshot = Snapshot(
            organization_id=_ORGANIZATION,
            control_plane_id=_CONTROL_PLANE,
            version=self._version + 1,
            hosts=(ANY_HOST,),
            settings=settings.model_copy(update={"credential_key": base64.b64encode(_CREDENTIAL_KEY).decode()}),
            limits=_LIMITS,
            entities=loaded.for_gateways(_CREDENTIAL_KEY),
        )
        report: dict[str, Any] = json.loads(await asyncio.to_thread(self._engine.apply, snapshot.to_bytes()))
        if report["accepted"]:
            self._version = snapshot.version
            return []
        errors = [
            ReportedError(error.get("entity") or "", error.get("field") or None, error["message"])
            for error in report["errors"]
        ]
        return errors or [ReportedError("", None, "refused without a reason")]

    async def health(self) -> dict[str, dict[str, str]]:
        """Per upstream and target, by name and address, what the gateway says of its health."""
        told: dict[str, Any] = json.loads(self._engine.health())
        return {
            upstream["name"]: {target["target"]: target["health"] for target in upstream["targets"].values()}
            for upstream in told.get(_CONTROL_PLANE, {}).values()
        }

    async def set_health(self, upstream: str, target: str, *, healthy: bool) -> bool:
        """Overrule the health of a target; whether there is one."""
        order = {"control_plane_id": _CONTROL_PLANE, "upstream": upstream, "target": target, "healthy": healthy}
        return self._engine.set_target_health(json.dumps(order).encode())

    async def advance(self, seconds: float) -> None:
        """Move the engine's clock forward."""
        self._engine.advance_clock(seconds)


def _options() -> bytes:
    identity = backend_identity()
    options = {
        "listeners": [{"address": f"{_HOST}:0", "tls": tls, "protocol": kind} for kind, tls in _LISTENERS],
        "threads": 1,
        # Given, because making one anew for each engine would cost more than a whole case.
        "default_certificate": {"cert": identity.certificate, "key": identity.key},
        "version": "0.1.0",
    }
    return json.dumps(options).encode()
