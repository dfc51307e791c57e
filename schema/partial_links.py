"""Links from plugins to partials: which part of a configuration a partial stands for, and putting it in and taking it out.

A part that a partial stands for is not kept with the plugin: whatever a client sends for it gives way to the partial.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from schema.base import Catalog, Document, PluginSpec
from schema.errors import Violation

_CONFIG: Final = "config"


@dataclass(frozen=True, slots=True)
class Link:
    """A part of a configuration, by its steps below `config`, with what a partial says of it."""

    path: tuple[str, ...]
    content: Document


def resolve(links: object, spec: PluginSpec, catalog: Catalog) -> tuple[list[Any], list[Link], list[Violation]]:
    """What the links of a plugin's document stand for.

    Returns: the links with their paths filled in, those whose partial is known, and what is wrong. A link that is no
    link, or leads nowhere, is left to whoever checks the field and its references.
    """
    if not isinstance(links, list):
        return [], [], []
    completed: list[Any] = []
    found: list[Link] = []
    wrong: list[Violation] = []
    for index, item in enumerate(cast("list[Any]", links)):
        completed.append(item)
        reference = _reference(item)
        partial = None if reference is None else catalog.find("partials", reference)
        if partial is None:
            continue
        path: Any = item.get("path")
        places = [place for kind, place in spec.partials if kind == partial["type"]]
        if not places:
            text = f"plugin '{spec.name}' takes no partials of type '{partial['type']}'"
            wrong.append(Violation(f"partials[{index}]", text))
        elif path is not None and path not in places:
            if isinstance(path, str):
                wrong.append(Violation(f"partials[{index}].path", f"expected one of: {', '.join(places)}"))
        else:
            place = places[0] if path is None else path
            steps = tuple(place.split("."))[1:]
            completed[-1] = {**item, "path": place}
            if place.endswith("[]"):
                wrong.append(Violation(f"partials[{index}]", "partials for items of lists are not supported"))
            elif any(link.path == steps for link in found):
                wrong.append(Violation(f"partials[{index}].path", f"more than one partial for {place}"))
            else:
                found.append(Link(steps, partial[_CONFIG]))
    return completed, found, wrong


def _reference(item: object) -> Mapping[str, Any] | None:
    if not isinstance(item, dict):
        return None
    members = cast("dict[str, Any]", item)
    for name in ("id", "name"):
        if isinstance(members.get(name), str):
            return {name: members[name]}
    return None


def put_in(config: Document, links: Sequence[Link]) -> Document:
    """A configuration with what the partials say."""
    for link in links:
        config = _changed(config, link.path, link.content)
    return config


def take_out(config: Document, links: Sequence[Link]) -> Document:
    """A configuration without what the partials say."""
    for link in links:
        config = _changed(config, link.path, None)
    return config


def _changed(config: Document, path: tuple[str, ...], content: Document | None) -> Document:
    step, rest = path[0], path[1:]
    if not rest:
        without = {name: value for name, value in config.items() if name != step}
        return without if content is None else {**config, step: content}
    below = config.get(step)
    if not isinstance(below, dict):
        if content is None:
            return config
        below = {}
    return {**config, step: _changed(below, rest, content)}
