"""The entities of one control plane, all of them at hand: what rules that look around ask of a whole configuration."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from core.models.entities import EntityRow, reference_column


class Settled:
    """Neighbours of every entity (`core/crud/hooks`), found in memory: a look-up for each would cost a statement for each.

    `rows`: everything there is, by plural and id.
    """

    def __init__(self, rows: Mapping[tuple[str, UUID], EntityRow]) -> None:
        self._rows = rows
        self._by_column: dict[tuple[str, str], dict[Any, list[EntityRow]]] = {}
        self._by_rare: dict[tuple[str, str], list[EntityRow]] = {}

    def by_id(self, plural: str, identifier: UUID) -> EntityRow | None:
        """The row with this id."""
        return self._rows.get((plural, identifier))

    def by_ids(self, plural: str, identifiers: Collection[UUID]) -> Sequence[EntityRow]:
        """Those of these rows that there are."""
        found = (self._rows.get((plural, identifier)) for identifier in identifiers)
        return [row for row in found if row is not None]

    def referring(self, plural: str, field: str, identifier: UUID) -> Sequence[EntityRow]:
        """Rows of a kind whose reference `field` is this id."""
        return self._index(plural, reference_column(field)).get(identifier, ())

    def with_keys(self, plural: str, field: str, values: Collection[str]) -> Sequence[EntityRow]:
        """Rows of a kind whose key field has one of these values."""
        index = self._index(plural, field)
        return [row for value in values for row in index.get(value, ())]

    def having(self, plural: str, field: str) -> Sequence[EntityRow]:
        """Rows of a kind that have set a field that is rare."""
        if (plural, field) not in self._by_rare:
            self._by_rare[plural, field] = [row for row in self._of(plural) if row.doc.get(field) is not None]
        return self._by_rare[plural, field]

    def _index(self, plural: str, column: str) -> Mapping[Any, Sequence[EntityRow]]:
        if (plural, column) not in self._by_column:
            index: dict[Any, list[EntityRow]] = defaultdict(list)
            for row in self._of(plural):
                index[getattr(row, column)].append(row)
            self._by_column[plural, column] = index
        return self._by_column[plural, column]

    def _of(self, plural: str) -> Sequence[EntityRow]:
        return [row for (kind, _), row in self._rows.items() if kind == plural]
