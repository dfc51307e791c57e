"""Where secrets can be kept: the backends of vaults, and what a configuration of one may hold."""

import re
from typing import Any, Final

BACKENDS: Final = ("aws", "azure", "azure-certs", "conjur", "env", "fs", "gcp", "hcv", "konnect")
MOST_FIELDS: Final = 64
_DEEPEST: Final = 4
_FIELD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,127}", re.ASCII)
_PREFIX: Final = re.compile(r"[a-z][a-z0-9-]*[a-z0-9]", re.ASCII)


def backend_fault(name: str) -> str | None:
    """What is wrong with the name of a backend."""
    return None if name in BACKENDS else f"vault '{name}' is not installed"


def prefix_fault(prefix: str) -> str | None:
    """What is wrong with a prefix: it must not be taken for a backend."""
    if not _PREFIX.fullmatch(prefix):
        return f"invalid value: {prefix}"
    return f"must not be one of: {', '.join(BACKENDS)}" if prefix in BACKENDS else None


def config_fault(config: dict[str, Any]) -> str | None:
    """What is wrong with a configuration. Its values are the backend's own business."""
    return _fault(config, 1)


def _fault(value: object, depth: int) -> str | None:
    if not isinstance(value, (dict, list)):
        return None
    if depth > _DEEPEST:
        return f"must not be nested deeper than {_DEEPEST} levels"
    if len(value) > MOST_FIELDS:  # pyright: ignore[reportUnknownArgumentType]  # whatever JSON there is
        return f"length must be at most {MOST_FIELDS}"
    members: dict[str, Any] | list[Any] = value
    if isinstance(members, dict):
        unnamed = next((name for name in members if not _FIELD.fullmatch(name)), None)
        if unnamed is not None:
            return "names of fields consist of letters, digits, - and _"
        return next((wrong for item in members.values() if (wrong := _fault(item, depth + 1))), None)
    return next((wrong for item in members if (wrong := _fault(item, depth + 1))), None)
