"""Rules of single entities that need the database: `hooks/<singular>.py` with a class `Hooks`, found by name."""

import importlib
import pkgutil
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Protocol
from uuid import UUID

from core.models.entities import EntityRow
from schema.base import Document, Entity
from schema.errors import Violation


class Neighbours(Protocol):
    """What a rule may look up: entities of the same control plane."""

    def by_id(self, plural: str, identifier: UUID) -> EntityRow | None:
        """The row with this id."""
        ...

    def referring(self, plural: str, field: str, identifier: UUID) -> Sequence[EntityRow]:
        """Rows of a kind whose reference `field` is this id."""
        ...

    def by_ids(self, plural: str, identifiers: Collection[UUID]) -> Sequence[EntityRow]:
        """Those of these rows that there are."""
        ...

    def having(self, plural: str, field: str) -> Sequence[EntityRow]:
        """Rows of a kind that have set a field that is rare."""
        ...

    def with_keys(self, plural: str, field: str, values: Collection[str]) -> Sequence[EntityRow]:
        """Rows of a kind whose key field has one of these values."""
        ...


class EntityHooks:
    """Default behaviour: no further rules."""

    def check(self, document: Document, neighbours: Neighbours) -> Sequence[Violation]:
        """What is wrong with a complete document whose references are resolved, before it is written."""
        del document, neighbours
        return ()


@cache
def _all_hooks() -> Mapping[str, EntityHooks]:
    found: dict[str, EntityHooks] = {}
    for module_info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{module_info.name}")
        found[module_info.name] = module.Hooks()
    return MappingProxyType(found)


def hooks_of(entity: type[Entity]) -> EntityHooks:
    """The rules of an entity."""
    return _all_hooks().get(entity.spec.singular.replace("-", "_"), EntityHooks())
