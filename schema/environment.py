"""Names that `.sluice/env` publishes to people's shells. A process that finds them in its environment passes them over."""

import re
from typing import Final

# Regions are named like `us` or `eu-west-1`; no setting of a gateway begins with a word of two letters.
_PUBLISHED: Final = re.compile(
    r"SLUICE_(API|PAT|ORG_ID|ADMIN_EMAIL|ADMIN_PASSWORD|CONSOLE|GATEWAY_[A-Z]{2}(_[A-Z0-9]+)*)", re.ASCII
)


def is_published(name: str) -> bool:
    """Whether a variable of this name tells users where things are, and is nobody's setting."""
    return _PUBLISHED.fullmatch(name) is not None
