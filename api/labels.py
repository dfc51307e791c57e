"""Labels: short keys and values that users sort their things by.

Source: the Labels component of the published Konnect API documents; at most 50 pairs.
"""

import re
from typing import Annotated, Final

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from core.labels import MOST_LABELS

_WORD: Final = re.compile(r"[a-z0-9A-Z]([a-z0-9A-Z\-._]*[a-z0-9A-Z]+)?")
_RESERVED: Final = ("kong", "konnect", "mesh", "kic", "_")
_MAX_LENGTH: Final = 63


def _check_key(key: str) -> None:
    if not 1 <= len(key) <= _MAX_LENGTH:
        raise _violation("Label keys must have 1 to 63 characters")
    if key.startswith(_RESERVED):
        raise _violation("Label keys must not start with kong, konnect, mesh, kic or _")


def _check_value(value: str) -> None:
    if not 1 <= len(value) <= _MAX_LENGTH:
        raise _violation("Label values must have 1 to 63 characters")
    if not _WORD.fullmatch(value):
        raise _violation("Label values must be letters, digits, - . _ and start and end with a letter or digit")


def _check(labels: dict[str, str]) -> dict[str, str]:
    _check_changes(dict(labels))
    return labels


def _check_changes(labels: dict[str, str | None]) -> dict[str, str | None]:
    if len(labels) > MOST_LABELS:
        raise _violation(f"There may be at most {MOST_LABELS} labels")
    for key, value in labels.items():
        _check_key(key)
        if value is not None:
            _check_value(value)
    return labels


def _violation(reason: str) -> PydanticCustomError:
    return PydanticCustomError("violation", "{reason}", {"rule": "is_label", "reason": reason})


Labels = Annotated[dict[str, str], AfterValidator(_check)]
# In a PATCH, null removes a key.
LabelChanges = Annotated[dict[str, str | None], AfterValidator(_check_changes)]
