"""What entities take from others that they name in lists, and which of them change with those: within one member alone."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.crud import links, rows
from core.crud.links import Links
from core.crud.references import References
from core.crud.sealing import Sealer
from core.groups.collisions import Members
from core.models.entities import ENTITY_ROWS, EntityRow
from schema.base import Catalog, Document
from schema.registry import Registry

_TAKES: Final[Mapping[str, Sequence[str]]] = {
    plural: fields
    for plural, row in ENTITY_ROWS.items()
    if row.entity.spec.gateways
    and (fields := [reference.name for reference in row.entity.references() if reference.ref.merged])
}
TAKEN_KINDS: Final = frozenset(
    reference.ref.to for row in ENTITY_ROWS.values() for reference in row.entity.references() if reference.ref.merged
)
"""The kinds that others take something from."""


def takers(found: Mapping[str, Sequence[EntityRow]]) -> list[EntityRow]:
    """Those of these rows, by kind, that name something that they take a part of their document from."""
    return [row for plural, fields in _TAKES.items() for row in found[plural] if any(map(row.doc.get, fields))]


class Taken:
    """The entities of some control planes of an organization together with what they take from others of the same one."""

    def __init__(
        self, session: Session, declarations: Registry, org_id: UUID, sealers: Mapping[UUID, Sealer], most: int
    ) -> None:
        self._session = session
        self._org_id = org_id
        self._sealers = sealers
        self._most = most
        self._catalogs = {
            source: _catalog(References(session, declarations, sealer, org_id, source), declarations)
            for source, sealer in sealers.items()
        }

    def merged(self, row: EntityRow) -> Document:
        """A row's document in clear with what it takes from others."""
        source = row.control_plane_id
        document = self._sealers[source].open(row.entity, rows.document_of(row))
        return row.entity.merged(document, self._catalogs[source])

    def changed_with(self, changed: Sequence[tuple[str, UUID]]) -> list[tuple[str, UUID]] | None:
        """The entities that take something from these, and so change with them.

        None: one of them may have lost a collision with another member's, so only a whole configuration tells.
        """
        found: list[tuple[str, UUID]] = []
        for source, sealer in self._sealers.items():
            owners = self._owners(source, changed)
            if owners and len(self._sealers) > 1 and self._collide(source, sealer, owners):
                return None
            found += [(owner.entity.spec.plural, owner.id) for owner in owners]
        return found

    def _owners(self, source: UUID, changed: Sequence[tuple[str, UUID]]) -> list[EntityRow]:
        found: list[EntityRow] = []
        here = Links(self._session, self._org_id, source)
        for plural, row in ENTITY_ROWS.items():
            for reference in links.of(row.entity.references(), plural):
                targets = [identifier for kind, identifier in changed if kind == reference.ref.to]
                if not row.entity.spec.gateways or not reference.ref.merged or not targets:
                    continue
                statement = select(row).where(
                    row.org_id == self._org_id,
                    row.control_plane_id == source,
                    here.naming(plural, reference.name, targets),
                )
                found += self._session.scalars(statement.limit(self._most + 1))
        return found

    def _collide(self, source: UUID, sealer: Sealer, owners: Iterable[EntityRow]) -> bool:
        documents: dict[str, list[Document]] = defaultdict(list)
        for owner in owners:
            documents[owner.entity.spec.plural].append(rows.document_of(owner))
        return Members(self._session, sealer, self._org_id, list(self._sealers)).collide(source, documents)


def _catalog(references: References, declarations: Registry) -> Catalog:
    # Many take from few others: those are opened once.
    found: dict[tuple[str, str], Document | None] = {}

    def find(plural: str, reference: Mapping[str, Any]) -> Document | None:
        key = (plural, str(reference["id"]))
        if key not in found:
            found[key] = references.find(plural, reference)
        return found[key]

    return declarations.knowing(find)
