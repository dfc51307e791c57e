"""What the engine says about an update, and the part of the engine that the agent needs."""

from typing import Final, Protocol

from pydantic import BaseModel, ConfigDict

VERSION_GAP: Final = "version-gap"


class EngineFault(RuntimeError):
    """The engine met a bug of its own in a call; what it ran before goes on running."""


class ApplyError(BaseModel):
    """Why one entity, or the update as a whole, was refused."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    code: str | None = None
    entity: str | None = None
    id: str | None = None
    name: str | None = None
    field: str | None = None
    message: str


class ApplyReport(BaseModel):
    """The engine's answer to one snapshot or delta: all of it runs now, or nothing of it does."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    control_plane_id: str
    version: int
    accepted: bool
    errors: list[ApplyError] = []

    @property
    def is_version_gap(self) -> bool:
        """The update was a delta from a version that the engine does not hold."""
        return not self.accepted and any(error.code == VERSION_GAP for error in self.errors)


class TenantEngine(Protocol):
    """Everything about tenants that crosses to Rust; each call releases the interpreter."""

    def apply(self, update: bytes) -> bytes:
        """Apply a snapshot or delta (JSON), all or nothing; returns an `ApplyReport` as JSON. Raises EngineFault."""
        ...

    def remove(self, control_plane_id: str) -> bool:
        """Forget a control plane; its hosts answer as unknown from now on."""
        ...

    def versions(self) -> bytes:
        """JSON object: control plane id to the version that runs."""
        ...

    def stats(self) -> bytes:
        """Counters as JSON."""
        ...

    def health(self) -> bytes:
        """Health of all targets as JSON: control plane id to upstream id to its health (gateway_runtime/engine.py)."""
        ...

    def metrics(self, control_plane_id: str) -> str | None:
        """Figures of the plugin `prometheus` of one control plane as text; None if there is no such one."""
        ...

    def set_target_health(self, order: bytes) -> bool:
        """Take a target for healthy or not; returns whether there is such a target. Raises ValueError: unreadable."""
        ...


class GatewayEngine(TenantEngine, Protocol):
    """The whole engine, with the listeners' life."""

    def start(self) -> list[str]:
        """Bind and serve; returns the bound addresses in listener order. Raises OSError when one cannot be bound."""
        ...

    def stop(self, grace_seconds: float) -> None:
        """Stop accepting, let requests in flight finish, join the threads. May be called twice."""
        ...
