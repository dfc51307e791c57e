"""How much a document may hold before anybody looks at it closely.

A body of a few megabytes holds a million small values, each of which can be wrong in its own way: finding and writing
that down costs a hundred times what sending it does.
"""

from typing import Any, Final, cast

MOST_VALUES: Final = 100_000
"""Of an entity: well above what the longest lists of all its fields come to."""
MOST_FINDINGS: Final = 200
"""Of one document that are told one by one."""


def holds_more_than(most: int, document: object) -> bool:
    """Whether a JSON value has more than `most` values in it, itself and members of all depths counted."""
    count = 1
    waiting: list[Any] = [document]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            inner = cast("dict[Any, Any]", part)
            count += len(inner)
            members = inner.values()
        elif isinstance(part, list):
            members = cast("list[Any]", part)
            count += len(members)
        else:
            continue
        if count > most:
            return True
        waiting += [member for member in members if isinstance(member, (dict, list))]
    return False
