"""What a caller wants: a full statement of a control plane's gateways."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal
from uuid import UUID

Kind = Literal["dedicated.v0", "serverless.v1"]
Geo = Literal["us", "eu", "au", "me", "in", "sg"]
ApiAccess = Literal["private", "public", "private+public"]

SERVERLESS_PROVIDER: Final = "aws"
"""The only provider name that Konnect gives serverless gateways; the regions below it are ours."""


@dataclass(frozen=True, slots=True)
class GroupStatement:
    """One wanted group. `environment` holds (name, value) pairs, None when the caller sent none."""

    provider: str
    region: str
    environment: tuple[tuple[str, str], ...] | None = None

    @property
    def place(self) -> tuple[str, str]:
        """What makes it the same group as another."""
        return (self.provider, self.region)

    def document(self) -> dict[str, Any]:
        """The form in which it is stored and echoed."""
        document: dict[str, Any] = {"provider": self.provider, "region": self.region}
        if self.environment is not None:
            document["environment"] = [{"name": name, "value": value} for name, value in self.environment]
        return document


@dataclass(frozen=True, slots=True)
class Statement:
    """All gateways that a control plane is to have; groups that are not named end."""

    control_plane_id: UUID
    control_plane_geo: Geo
    kind: Kind
    api_access: ApiAccess
    groups: Sequence[GroupStatement]
