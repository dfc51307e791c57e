"""What a control plane's row says of its configuration as a whole: version, size, hash, and when it last changed.

The hash follows the changes: each version's comes from the hash before and from what the version changed. So equal hashes mean
equal entities, it costs a write nothing that grows with the configuration, and after a backup was restored what runtimes
hold from later times does not pass for the new versions. Without entities it is 32 zeros.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from core.models.control_plane import ControlPlane
from core.settings import Settings
from schema.snapshot import EMPTY_CONFIG_HASH, MOST_CONFIG_BYTES

GROUP: Final = "CLUSTER_TYPE_CONTROL_PLANE_GROUP"
_HEX_DIGITS: Final = len(EMPTY_CONFIG_HASH)


@dataclass(frozen=True, slots=True)
class Caps:
    """How large one configuration may become, alone or as that of a group."""

    entities: int = 100_000
    size_bytes: int = MOST_CONFIG_BYTES

    @classmethod
    def of(cls, settings: Settings) -> "Caps":
        """As the operator set them."""
        return cls(settings.max_entities, settings.max_config_bytes)

    def exceeded(self, control_plane: ControlPlane) -> str | None:
        """What is too much, None if nothing is."""
        if control_plane.entity_count > self.entities:
            return f"{self.entities} entities"
        if control_plane.config_bytes > self.size_bytes:
            return f"{self.size_bytes} bytes of configuration"
        return None


def advance(control_plane: ControlPlane, content: bytes, now: datetime) -> int:
    """Make the next version of a locked control plane, whose counts are set already; returns its number.

    `content` tells its changes from all others that could have been.
    """
    control_plane.config_version += 1
    control_plane.config_changed_at = now
    if control_plane.entity_count == 0:
        control_plane.config_bytes = 0
        control_plane.config_hash = EMPTY_CONFIG_HASH
    else:
        before = bytes.fromhex(control_plane.config_hash)
        control_plane.config_hash = hashlib.sha256(before + content).hexdigest()[:_HEX_DIGITS]
    return control_plane.config_version
