"""The order of plugins in the access phase, as far as users decide it."""

from collections.abc import Mapping, Sequence
from typing import Any

Wish = Mapping[str, Any] | None
"""A plugin's `ordering`: names of plugins that run later (`before`) and earlier (`after`)."""


def mentioned(wish: Wish) -> frozenset[str]:
    """Names that a wish is about."""
    return frozenset((*_names(wish, "before"), *_names(wish, "after")))


def circle(wishes: Mapping[str, Wish]) -> Sequence[str]:
    """Plugins that would each have to run before the next one, and the last before the first; none if there is an order.

    `wishes` are those of all plugins that run together, by name; what they say about others has no effect.
    """
    earlier: dict[str, set[str]] = {name: set() for name in wishes}
    for name, wish in wishes.items():
        for other in _names(wish, "before"):
            if other in earlier:
                earlier[other].add(name)
        earlier[name].update(other for other in _names(wish, "after") if other in earlier)
    settled: set[str] = set()
    for start in sorted(earlier):
        path: list[str] = []
        steps = [iter((start,))]
        while steps:
            name = next(steps[-1], None)
            if name is None:
                steps.pop()
                if path:
                    settled.add(path.pop())
            elif name in path:
                return path[path.index(name) :][::-1]
            elif name not in settled:
                path.append(name)
                steps.append(iter(sorted(earlier[name])))
    return ()


def _names(wish: Wish, side: str) -> Sequence[str]:
    phases = (wish or {}).get(side) or {}
    return phases.get("access") or ()
