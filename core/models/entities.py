"""Tables of the declared entities, built from schema/: identity, tags, keys and references are real columns.

Everything else of an entity is one JSONB document; a list of references is in the document, too, and in a table of its
own. Ids and names live in their control plane, so every key and every foreign key starts with organization and control
plane: no row can point into another tenant or another gateway.

Tags have no index: PostgreSQL uses none for conditions that are not leakproof where row-level security holds, and that on
arrays is not. Listing by tags reads the control plane's rows of that kind in the order of the list, which are bounded.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Final
from uuid import UUID

from sqlalchemy import (
    Column,
    DateTime,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    String,
    Table,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from core.db.tenancy import TenantOwned
from core.models.base import Base, Document, Timestamps
from schema.base import Entity, ReferenceField, sealed_paths
from schema.registry import Registry, registry

_PLACE: Final = ("org_id", "control_plane_id")


class EntityRow(Timestamps, TenantOwned):
    """What the tables of all entities have in common. `doc` holds the fields that have no column of their own."""

    entity: ClassVar[type[Entity]]
    key_fields: ClassVar[tuple[str, ...]]
    hashed_fields: ClassVar[tuple[str, ...]]
    reference_fields: ClassVar[tuple[ReferenceField, ...]]

    control_plane_id: Mapped[UUID] = mapped_column(primary_key=True, sort_order=-90)
    id: Mapped[UUID] = mapped_column(primary_key=True, sort_order=-80)
    tags: Mapped[list[str] | None] = mapped_column(ARRAY(String))
    doc: Mapped[Document]

    @classmethod
    def column(cls, name: str) -> Any:
        """The mapped attribute of a key field or of a reference column, for building statements."""
        return getattr(cls, name)


def reference_column(field: str) -> str:
    """The column behind a reference field."""
    return f"{field}_id"


def hash_column(field: str) -> str:
    """The column behind a key field that is sealed: the field itself is in the document, its keyed hash is the key."""
    return f"{field}_hash"


def is_set(field: str) -> str:
    """The condition, in SQL, that a field of the document is set; an index of rare fields has it word by word."""
    return f"(doc -> '{field}') <> 'null'::jsonb"


def constraint_fields(table: str, constraint: str) -> tuple[str, ...] | None:
    """The entity's fields behind a violated constraint, None for one that is not ours."""
    return _CONSTRAINTS.get((table, constraint))


def _links(entity: type[Entity], reference: ReferenceField) -> Table:
    """Who is named by a list of references: constraints hold for each of them, and the way back is indexed."""
    owner, target = _table_name(entity.spec.plural), _table_name(reference.ref.to)
    name = f"{owner}_{reference.name}"
    _CONSTRAINTS[name, f"fk_{name}_named"] = (reference.name,)
    return Table(
        name,
        Base.metadata,
        *(Column(column, Uuid, primary_key=True) for column in (*_PLACE, "owner_id", "named_id")),
        ForeignKeyConstraint(
            (*_PLACE, "owner_id"),
            [f"{owner}.org_id", f"{owner}.control_plane_id", f"{owner}.id"],
            name=f"fk_{name}_owner",
            ondelete="CASCADE",
        ),
        ForeignKeyConstraint(
            (*_PLACE, "named_id"),
            [f"{target}.org_id", f"{target}.control_plane_id", f"{target}.id"],
            name=f"fk_{name}_named",
        ),
        Index(f"ix_{name}_named", *_PLACE, "named_id", "owner_id"),
    )


def _table_name(plural: str) -> str:
    return plural.replace("-", "_")


def _build(entity: type[Entity], declarations: Registry) -> type[EntityRow]:
    spec = entity.spec
    table = _table_name(spec.plural)
    references = tuple(
        reference
        for reference in entity.references()
        if not reference.many and reference.ref.to in declarations.entities
    )
    columns_of = {reference.name: reference_column(reference.name) for reference in references}
    single = {reference.name for reference in entity.references()}
    names = dict.fromkeys(name for unique in spec.unique for name in unique.fields if name not in single)
    sealed = {path[0] for path in sealed_paths(entity) if len(path) == 1}
    keys = tuple(name for name in names if name not in sealed)
    hashed = tuple(name for name in names if name in sealed)
    columns_of |= {name: hash_column(name) for name in hashed}
    constraints: list[Any] = [
        ForeignKeyConstraint(_PLACE, ["control_planes.org_id", "control_planes.id"], ondelete="CASCADE"),
        Index(f"ix_{table}_page", *_PLACE, "created_at", "id"),
    ]
    attributes: dict[str, Any] = {
        "__tablename__": table,
        "__module__": __name__,
        "__doc__": f"Rows of {spec.plural}.",
        "entity": entity,
        "key_fields": keys,
        "hashed_fields": hashed,
        "reference_fields": references,
    }
    if spec.ttl:
        attributes["ends_at"] = mapped_column(DateTime(timezone=True), nullable=True)
        ended = text("ends_at IS NOT NULL")
        constraints.append(Index(f"ix_{table}_ends", "ends_at", *_PLACE, postgresql_where=ended))
    for name in keys:
        attributes[name] = mapped_column(String, nullable=not entity.model_fields[name].is_required())
    for name in hashed:
        attributes[hash_column(name)] = mapped_column(LargeBinary)
    for reference in references:
        column = columns_of[reference.name]
        target = _table_name(reference.ref.to)
        attributes[column] = mapped_column(Uuid, nullable=not entity.model_fields[reference.name].is_required())
        name = f"fk_{table}_{reference.name}"
        # no ON DELETE: the engine deletes children itself, for each of them is a change that runtimes must hear of
        constraints.append(
            ForeignKeyConstraint(
                (*_PLACE, column), [f"{target}.org_id", f"{target}.control_plane_id", f"{target}.id"], name=name
            )
        )
        constraints.append(Index(f"ix_{table}_{reference.name}", *_PLACE, column, "created_at", "id"))
        _CONSTRAINTS[table, name] = (reference.name,)
    for unique in spec.unique:
        fields = [name for name in unique.fields if name in keys or name in columns_of]
        name = f"uq_{table}_{unique.fields[0]}" if len(unique.fields) == 1 else f"uq_{table}_{unique.fields[0]}_scope"
        constraints.append(
            UniqueConstraint(
                *_PLACE,
                *(columns_of.get(field, field) for field in fields),
                name=name,
                postgresql_nulls_not_distinct=unique.nulls_equal or None,
            )
        )
        _CONSTRAINTS[table, name] = unique.fields
    constraints.extend(
        Index(f"ix_{table}_with_{name}", *_PLACE, postgresql_where=text(is_set(name))) for name in spec.rare
    )
    _CONSTRAINTS[table, f"pk_{table}"] = ("id",)
    attributes["__table_args__"] = tuple(constraints)
    return type(f"{spec.title}Row", (EntityRow, Base), attributes)


_CONSTRAINTS: Final[dict[tuple[str, str], tuple[str, ...]]] = {}

ENTITY_ROWS: Final[Mapping[str, type[EntityRow]]] = MappingProxyType(
    {plural: _build(entity, registry()) for plural, entity in registry().entities.items()}
)
"""The mapped class of each entity by its plural name, parents first."""

LINKS: Final[Mapping[tuple[str, str], Table]] = MappingProxyType(
    {
        (plural, reference.name): _links(entity, reference)
        for plural, entity in registry().entities.items()
        for reference in entity.references()
        if reference.many and reference.ref.to in registry().entities
    }
)
"""For each list of references, by plural name and field: owners and what they name."""
