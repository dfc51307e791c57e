"""The reference page of all settings, from their declarations."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pydantic import SecretStr

from core.settings import ENV_PREFIX, RegionSettings, Settings
from gateway_runtime import spec

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

_HEAD = """# Settings

Generated from the declarations by `make gen`. Settings are environment variables; an unknown name or an invalid value stops the start with
one line that names it. Lists are comma separated, structures are JSON.

## Control plane and workers

"""
_REGION = """
Each item of `SLUICE_REGIONS`:

"""
_GATEWAY = """
## Gateways

`sluice gateway` reads a JSON file (`--spec`) with these fields, the variables, or both; variables win.

"""


def render() -> str:
    """The page as Markdown."""
    return "".join(
        [
            _HEAD,
            _table(Settings, ENV_PREFIX),
            _REGION,
            _table(RegionSettings, None),
            _GATEWAY,
            _table(spec.GatewaySpec, spec.ENV_PREFIX),
        ]
    )


def _table(model: type[BaseModel], prefix: str | None) -> str:
    rows = ["| Name | Default | Meaning |", "|---|---|---|"]
    for name, field in model.model_fields.items():
        shown = name if prefix is None else prefix + name.upper()
        rows.append(f"| `{shown}` | {_default(field)} | {_meaning(field)} |")
    return "\n".join(rows) + "\n"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is None or value == () or isinstance(value, SecretStr):
        return "unset"
    if isinstance(value, tuple):
        return f"`{json.dumps([item.model_dump(exclude_none=True) for item in value])}`"
    return f"`{value}`"


def _meaning(field: FieldInfo) -> str:
    return (field.description or "").replace("|", "\\|")
