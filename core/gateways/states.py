"""Where a data plane group can be, and what is said of one that is not where it should be."""

from collections.abc import Mapping
from typing import Any, Final, Literal

ReportedStatus = Literal["PENDING", "ERROR"]

UNFINISHED: Final = frozenset({"created", "initializing", "terminating"})
PENDING: Final[ReportedStatus] = "PENDING"
"""Something is still to happen, and will by itself."""
REFUSED: Final[ReportedStatus] = "ERROR"
"""The runtimes do not take the configuration: only its owner can help."""


def awaits_only_time(state: str, metadata: Mapping[str, Any]) -> bool:
    """Whether a group will get further without its owner: another statement has to wait for it."""
    return state in UNFINISHED and metadata.get("reported_status") != REFUSED
