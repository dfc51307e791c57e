"""Reads what several control planes hold, with as many statements as one of them takes; each group takes its own."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Uuid, bindparam, column, exists, func, literal, select, text, union_all
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session
from sqlalchemy.sql.selectable import TableValuedAlias

from core.crypto import OrganizationKey, UnsealFailed
from core.groups.members import members_of
from core.models.entities import ENTITY_ROWS, EntityRow
from core.models.organization import Organization
from core.runtime.assignments import Assignment
from schema.base import Document

ROWS: Final = {plural: row for plural, row in ENTITY_ROWS.items() if row.entity.spec.gateways}
"""The kinds that runtimes get."""
MAX_DELTA_CHANGES: Final = 1000
"""A runtime further behind than this gets everything: cheaper than replaying so much history."""


def _places(*names: str) -> TableValuedAlias:
    """Parameters `org_ids`, `control_plane_ids`, … as a table: one row per control plane, or per entity."""
    arrays = [bindparam(f"{name}s", type_=ARRAY(Uuid)) for name in names]
    return func.unnest(*arrays).table_valued(*(column(name, Uuid) for name in names)).render_derived(name="place")


_PLACE: Final = _places("org_id", "control_plane_id")
_ENTITY_PLACE: Final = _places("org_id", "control_plane_id", "id")


def _at(row: type[EntityRow], place: TableValuedAlias) -> Any:
    here = (row.column(name) == place.c[name] for name in place.c.keys())  # noqa: SIM118 - columns, not names
    condition = next(here)
    for more in here:
        condition &= more
    return condition


_KINDS_IN_USE: Final = union_all(
    *(
        select(literal(plural)).where(exists(select(row.id).join(_PLACE, _at(row, _PLACE))))
        for plural, row in ROWS.items()
    )
)
"""Most control planes have few kinds of entities: one question saves a runtime that starts most of the others."""
_ALL_ROWS: Final = {plural: select(row).join(_PLACE, _at(row, _PLACE)) for plural, row in ROWS.items()}
_SOME_ROWS: Final = {plural: select(row).join(_ENTITY_PLACE, _at(row, _ENTITY_PLACE)) for plural, row in ROWS.items()}
_HISTORY: Final = text(
    """
    select place.control_plane_id, change.version, change.entity_type, change.entity_id
    from unnest(cast(:org_ids as uuid[]), cast(:control_plane_ids as uuid[]), cast(:after as bigint[]),
                cast(:up_to as bigint[])) as place (org_id, control_plane_id, after, up_to)
    cross join lateral (
        select version, seq, entity_type, entity_id from config_changes
        where org_id = place.org_id and control_plane_id = place.control_plane_id
          and version > place.after and version <= place.up_to
        order by version, seq limit :most
    ) change
    order by place.control_plane_id, change.version, change.seq
    """
)

Changed = tuple[str, UUID]
"""The kind and the id of an entity."""


@dataclass(slots=True)
class Holding:
    """One control plane as read.

    Attributes:
        sources: the control planes whose entities it has: itself, or a group's members, the oldest first.
        changed: what to tell a runtime that has an older version, None for everything.
        rows: of all members of a group, also those that collide.
        merged: documents in clear of those that take something from others, by id.
        fault: why there can be no update.
    """

    assignment: Assignment
    key: OrganizationKey
    sources: Sequence[UUID]
    changed: list[Changed] | None = None
    rows: dict[str, list[EntityRow]] = field(default_factory=lambda: {plural: [] for plural in ROWS})
    merged: dict[UUID, Document] = field(default_factory=dict[UUID, Document])
    fault: UnsealFailed | None = None


ChangedWith = Callable[[Holding, Sequence[Changed]], Sequence[Changed] | None]
"""What changes because of what it takes from entities that changed; None if only all of the configuration tells."""


def read(
    session: Session, assignments: Sequence[Assignment], have: Mapping[UUID, int | None], changed_with: ChangedWith
) -> list[Holding]:
    """What each of these control planes holds: all of it, or what changed after the version that `have` names for it.

    Needs a session across organizations in which all statements see the same moment.
    """
    keys = _keys(session, {assignment.organization_id for assignment in assignments})
    holdings = [
        Holding(item, keys[item.organization_id], _sources(session, item))
        for item in sorted(assignments, key=lambda item: item.is_group)
    ]
    behind = {
        place.control_plane_id: version
        for place in assignments
        if (version := have.get(place.control_plane_id)) is not None
    }
    if behind:
        changed = _changed(session, [item for item in assignments if item.control_plane_id in behind], behind)
        for holding in holdings:
            history = changed.get(holding.assignment.control_plane_id)
            holding.changed = None if history is None else _shown(history, changed_with(holding, history))
    _read_rows(session, [holding for holding in holdings if not holding.assignment.is_group])
    for holding in holdings:
        if holding.assignment.is_group:  # by itself: its members' entities may be asked for as their own as well
            _read_rows(session, [holding])
    return holdings


def _sources(session: Session, assignment: Assignment) -> Sequence[UUID]:
    if assignment.is_group:
        return members_of(session, assignment.organization_id, assignment.control_plane_id)
    return [assignment.control_plane_id]


def _read_rows(session: Session, holdings: Sequence[Holding]) -> None:
    """Fill in the rows of holdings that have no source in common."""
    owners = {source: holding for holding in holdings for source in holding.sources}
    whole = [holding for holding in holdings if holding.changed is None and holding.sources]
    if whole:
        where = _where_all(whole)
        for plural in session.scalars(_KINDS_IN_USE, where).all():
            _sort_in(owners, plural, session.scalars(_ALL_ROWS[plural], where))
    for plural, where in _where_changed(holdings).items():
        _sort_in(owners, plural, session.scalars(_SOME_ROWS[plural], where))


def _keys(session: Session, organizations: Iterable[UUID]) -> dict[UUID, OrganizationKey]:
    statement = select(Organization.id, Organization.data_key).where(Organization.id.in_(organizations))
    return {identifier: OrganizationKey(identifier, wrapped) for identifier, wrapped in session.execute(statement)}


def _where_all(holdings: Iterable[Holding]) -> dict[str, list[UUID]]:
    """The parameters of `_ALL_ROWS`."""
    pairs = [(holding.assignment.organization_id, source) for holding in holdings for source in holding.sources]
    return {"org_ids": [org_id for org_id, _ in pairs], "control_plane_ids": [source for _, source in pairs]}


def _where_changed(holdings: Iterable[Holding]) -> dict[str, dict[str, list[UUID]]]:
    """The parameters of `_SOME_ROWS` by kind."""
    found: dict[str, dict[str, list[UUID]]] = {}
    for holding in holdings:
        for plural, identifier in holding.changed or ():
            where = found.setdefault(plural, {"org_ids": [], "control_plane_ids": [], "ids": []})
            for source in holding.sources:
                where["org_ids"].append(holding.assignment.organization_id)
                where["control_plane_ids"].append(source)
                where["ids"].append(identifier)
    return found


def _sort_in(owners: Mapping[UUID, Holding], plural: str, rows: Iterable[EntityRow]) -> None:
    for row in rows:
        owners[row.control_plane_id].rows[plural].append(row)


def _changed(
    session: Session, assignments: Sequence[Assignment], behind: Mapping[UUID, int]
) -> dict[UUID, list[Changed] | None]:
    """Each entity that changed after a version once, in the order of the last changes; None if history does not say.

    History says which entities changed; how they are now is read from where snapshots read it. So both agree also
    about a field that was declared after the change was recorded.
    """
    histories: dict[UUID, list[tuple[int, str, UUID]]] = {item.control_plane_id: [] for item in assignments}
    where = {
        "org_ids": [item.organization_id for item in assignments],
        "control_plane_ids": [item.control_plane_id for item in assignments],
        "after": [behind[item.control_plane_id] for item in assignments],
        "up_to": [item.version for item in assignments],
        "most": MAX_DELTA_CHANGES + 1,
    }
    for key, version, plural, identifier in session.execute(_HISTORY, where):
        histories[key].append((version, plural, identifier))
    return {
        item.control_plane_id: _last_of_each(
            histories[item.control_plane_id], item.version - behind[item.control_plane_id]
        )
        for item in assignments
    }


def _last_of_each(history: Sequence[tuple[int, str, UUID]], steps: int) -> list[Changed] | None:
    """Each entity once, where it occurs last; None if the step cannot be made from this history."""
    # Every version has a change of its own: one that is missing was forgotten, and what it did with it.
    whole = len({version for version, _, _ in history}) == steps
    if not whole or len(history) > MAX_DELTA_CHANGES or any(plural not in ENTITY_ROWS for _, plural, _ in history):
        return None
    return _in_order((plural, identifier) for _, plural, identifier in history)


def _shown(history: Iterable[Changed], more: Sequence[Changed] | None) -> list[Changed] | None:
    """What to tell a runtime of a history and what changed with it; None if that is everything."""
    if more is None:
        return None
    shown = _in_order([*(item for item in history if item[0] in ROWS), *more])
    return None if len(shown) > MAX_DELTA_CHANGES else shown


def _in_order(changed: Iterable[Changed]) -> list[Changed]:
    return list(dict.fromkeys(reversed(list(changed))))[::-1]
