"""What an entity is: a typed record plus the facts that the generic engine needs to store, address and relate it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from types import MappingProxyType
from typing import Any, ClassVar, Final, Literal, Protocol, get_args, get_origin

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticUndefined

from schema.aliases import Alias, AliasConflict, unfold
from schema.errors import Violation
from schema.marks import GatewayRule, Referenceable, Sealed, is_reference
from schema.types import Integer, Tags, Uuid, fault
from schema.walk import Path, marked, records_within, values_at

Document = dict[str, Any]
"""An entity as JSON: what clients send, what is stored, what runtimes receive."""

SYSTEM_FIELDS = ("id", "created_at", "updated_at")


class Scope(StrEnum):
    """Whose namespace ids and names live in."""

    CONTROL_PLANE = "control_plane"


@dataclass(frozen=True, slots=True)
class Ref:
    """Marks a field that names another entity.

    `on_delete` says what deleting the other one does to this one: `cascade` deletes it too, `restrict` refuses.
    `nested` mounts this entity below the other one's path as well. `merged`: what it names becomes a part of this entity
    on the way to gateways, so this one changes there with the other one. `listed_as`: in declarative files, entries of the
    other kind list what this entity joins them to under this name. A target that no declaration provides holds nothing, so
    every non-null reference to it is a missing reference.
    """

    to: str
    on_delete: Literal["cascade", "restrict"] = "restrict"
    nested: bool = False
    merged: bool = False
    listed_as: str = ""


@dataclass(frozen=True, slots=True)
class Names:
    """Marks a list of the natural keys of this entity's children of one kind.

    Reading shows those that there are; writing makes, and deletes, whatever is different, unless it is left out.
    """

    of: str


@dataclass(frozen=True, slots=True)
class Unique:
    """Fields whose combination occurs once per scope. `nulls_equal`: two unset values count as the same."""

    fields: tuple[str, ...]
    nulls_equal: bool = False


class Check(Protocol):
    """A cross-field rule as a value. `fields` are those it reads; it is left out when one of them is itself invalid."""

    @property
    def fields(self) -> frozenset[str]: ...

    def violations(self, document: Mapping[str, Any]) -> Iterable[Violation]: ...


@dataclass(frozen=True, slots=True)
class Variant:
    """Two shapes of one entity: `switch` set shows `when_set` only, unset shows everything but `when_set`."""

    switch: str
    when_set: frozenset[str]
    when_unset: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class EntitySpec:
    """Facts about an entity that its fields do not say.

    `natural_key` is the field that stands in for the id in paths and references (below the parent only, where it is
    unique there only). `filters` are the fields that `filter[field][eq|contains]` accepts, `filter_aliases` other names for
    some of them, and `queries` those that may also be asked for as a query parameter of their own. `flags` are query
    parameters of writes that come into the body under their name. `path` and `nested_path` are its last path segments, where
    they are not the plural. `config_by` is the field that says what `config` may be. Not `mounted`: it has no generic paths;
    `custom_read`: one of them is read by an endpoint of its own. Not for `gateways`: no plugin uses it yet, so runtimes do
    not get it. `rare` are fields that few entities set, and by which those few are looked for. `ttl` is the field with the
    seconds after its last change at which it ends; 0 and null: never; nothing may refer to such an entity. Not `tagged`: it
    has no tags. Not `dated`: it does not show when it was changed last. `example` is a body that makes one, for documentation;
    what a parent's path or the server adds is left out, and so is the inside of keys and certificates.
    """

    plural: str
    singular: str
    natural_key: str | None
    scope: Scope = Scope.CONTROL_PLANE
    unique: tuple[Unique, ...] = ()
    filters: tuple[str, ...] = ()
    filter_aliases: tuple[tuple[str, str], ...] = ()
    queries: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()
    variant: Variant | None = None
    path: str = ""
    nested_path: str = ""
    config_by: str | None = None
    mounted: bool = True
    custom_read: bool = False
    gateways: bool = True
    rare: tuple[str, ...] = ()
    ttl: str = ""
    tagged: bool = True
    dated: bool = True
    example: Mapping[str, Any] = field(default_factory=dict[str, Any], compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", self.path or self.plural)
        object.__setattr__(self, "nested_path", self.nested_path or self.path)

    @property
    def hidden(self) -> frozenset[str]:
        """Fields of every entity that clients do not see of this one."""
        return frozenset(name for name, shown in (("tags", self.tagged), ("updated_at", self.dated)) if not shown)

    @property
    def key_below(self) -> str | None:
        """The reference within which the natural key is unique; None: it is unique in the whole scope."""
        for unique in self.unique:
            if self.natural_key in unique.fields:
                return next((name for name in unique.fields if name != self.natural_key), None)
        return None

    @property
    def title(self) -> str:
        """The name in type position: `ConsumerGroup` for `consumer_group`."""
        return "".join(part.capitalize() for part in self.singular.replace("-", "_").split("_"))


class Record(BaseModel):
    """A closed set of fields. An explicit null means unset, so it gives way to the default.

    `aliases` are other names of its fields; `checks` are rules across them, for records within plugin configurations.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)

    aliases: ClassVar[tuple[Alias, ...]] = ()
    checks: ClassVar[tuple[Check, ...]] = ()

    @model_validator(mode="before")
    @classmethod
    def _prepare(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        known = cls.model_fields
        document: dict[Any, Any] = value
        if cls.aliases:
            try:
                document = unfold(cls.aliases, document, frozenset(sealed_paths(cls)))
            except AliasConflict as error:
                raise fault(str(error)) from None
        return {name: item for name, item in document.items() if item is not None or name not in known}


@dataclass(frozen=True, slots=True)
class ReferenceField:
    """A field of an entity that refers to others: one (`{"id"}`) or, with `many`, a list of ids."""

    name: str
    ref: Ref
    many: bool = False


class Catalog(Protocol):
    """What a declaration may ask about its neighbours while a document is completed."""

    def plugin_config(self, name: str) -> "type[PluginConfig] | None": ...

    def partial_config(self, kind: str) -> "type[PartialConfig] | None": ...

    def find(self, plural: str, reference: Mapping[str, Any]) -> Document | None:
        """Another entity in clear, by its id or natural key; None where it is not, or cannot be, known."""
        ...


class Entity(Record):
    """Base of everything that lives below a control plane. `id` and timestamps are accepted, the engine decides them."""

    spec: ClassVar[EntitySpec]

    id: Uuid | None = None
    """Identifier; chosen by the server unless given on creation."""
    tags: Tags | None = None
    """Free labels for grouping and filtering."""
    created_at: Integer | None = None
    """Creation time in seconds since 1970."""
    updated_at: Integer | None = None
    """Time of the last change in seconds since 1970."""

    @classmethod
    def expand(cls, document: Document) -> tuple[Document, list[Violation]]:
        """Turn write-only shorthands into the fields they stand for; also applied to the partial body of a PATCH."""
        return document, []

    @classmethod
    def complete(cls, document: Document, catalog: Catalog) -> tuple[Document, list[Violation]]:
        """Fill defaults that depend on other fields or on other declarations, in a whole document."""
        del catalog
        return document, []

    @classmethod
    def config_of(cls, kind: str, catalog: Catalog) -> "type[Record] | None":
        """What `config` may be for a value of the field that says so; None for an unknown one."""
        del kind, catalog

    @classmethod
    def configs(cls) -> "Mapping[str, type[Record]]":
        """Everything that `config` may be, for kinds whose published schema lists it all."""
        return {}

    @classmethod
    def own_notation(cls, kind: str, catalog: Catalog) -> Document | None:
        """The published schema of what `config` may be by what its owner says, for kinds that are not declared."""
        del kind, catalog

    @classmethod
    def merged(cls, document: Document, catalog: Catalog) -> Document:
        """A complete document in clear together with what it takes from the entities it names."""
        del catalog
        return document

    @classmethod
    def normal_key(cls, key: str) -> str:
        """The stored form of a natural key that a path names."""
        return key

    @classmethod
    def for_gateways(cls, document: Document, credential_key: bytes) -> Document:
        """What runtimes get of a complete document in clear. `credential_key` keys the hashes of what callers present."""
        del credential_key
        return document

    @classmethod
    def gateway_faults(cls, document: Document, catalog: Catalog) -> list[Violation]:
        """What a complete document asks of this product's own gateways that they cannot do."""
        del catalog
        return gateway_faults(cls, document)

    @classmethod
    def lay_over(cls, stored: Document, change: Document, catalog: Catalog) -> Document:
        """A PATCH: `change`, its shorthands expanded, laid over `stored`; null unsets, records merge one level deep."""
        del catalog
        records = cls.nested_records()
        merged = dict(stored)
        for name, value in change.items():
            below: Any = stored.get(name)
            both = name in records and isinstance(below, dict) and isinstance(value, dict)
            merged[name] = {**below, **value} if both else value
        return merged

    @classmethod
    def presented(cls, document: Document, catalog: Catalog) -> Document:
        """What clients read of a complete document in clear."""
        del catalog
        return document

    @classmethod
    def nested_records(cls) -> frozenset[str]:
        """Fields that PATCH merges one level deep instead of replacing."""
        return frozenset(name for name, info in cls.model_fields.items() if _record_type(info.annotation))

    @classmethod
    def sealed_paths(cls, document: Mapping[str, Any], catalog: Catalog) -> tuple[tuple[str, ...], ...]:
        """Paths (`*` = every list item or map value) of the leaves of this document that are encrypted at rest."""
        del document, catalog
        return sealed_paths(cls)

    @classmethod
    @cache
    def references(cls) -> tuple[ReferenceField, ...]:
        """The fields that refer to other entities, in declaration order."""
        return tuple(
            ReferenceField(name, mark, many=_contains(info.annotation, list))
            for name, info in cls.model_fields.items()
            for mark in info.metadata
            if isinstance(mark, Ref)
        )

    @classmethod
    @cache
    def child_names(cls) -> Mapping[str, str]:
        """The fields that list children by name, with the kind of the children."""
        return MappingProxyType(
            {
                name: mark.of
                for name, info in cls.model_fields.items()
                for mark in info.metadata
                if isinstance(mark, Names)
            }
        )

    def document(self) -> Document:
        """The complete JSON form: every field present, null where unset."""
        return self.model_dump()


WEB: Final = ("grpc", "grpcs", "http", "https")
WEB_AND_WEBSOCKET: Final = (*WEB, "ws", "wss")
EVERY_PROTOCOL: Final = (*WEB, "tcp", "tls", "tls_passthrough", "udp", "ws", "wss")

ANY_SCOPE: Final = frozenset({"service", "route", "consumer", "consumer_group"})
NO_GROUP: Final = ANY_SCOPE - {"consumer_group"}
NO_CONSUMER: Final = NO_GROUP - {"consumer"}
"""For plugins that run before it is known who asks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginSpec:
    """Facts about a plugin: where it runs in the chain, where it may be attached, since which runtime it exists.

    `priority`: higher runs earlier. `scopes`: the references that may be set on an instance. `since`: the first
    runtime version that knows it; None as long as there is none, and only control planes whose nodes their owners run
    themselves take it. `streams`: whether our gateways run it on connections that carry no requests, where its
    `allowed_protocols` name such. `gateway_checks`: rules across fields that only our gateways have. `partials`: the types of partials that may stand for a part of the configuration, with the
    part's dotted path.
    """

    name: str
    priority: int
    since: str | None = None
    streams: bool = False
    protocols: tuple[str, ...] = WEB
    allowed_protocols: tuple[str, ...] = WEB
    scopes: frozenset[str] = ANY_SCOPE
    checks: tuple[Check, ...] = ()
    gateway_checks: tuple[Check, ...] = ()
    partials: tuple[tuple[str, str], ...] = ()


class PartialConfig(Record):
    """Base of every partial's `config`. `checks` are rules across its fields."""

    kind: ClassVar[str]
    checks: ClassVar[tuple[Check, ...]] = ()


class PluginConfig(Record):
    """Base of every plugin's `config`."""

    spec: ClassVar[PluginSpec]


@cache
def sealed_paths(record: type[BaseModel]) -> tuple[Path, ...]:
    """Paths of the leaves annotated `Sealed()` in a record, nested ones included."""
    return tuple(path for path, _ in marked(record, Sealed))


@cache
def alias_places(record: type[BaseModel]) -> tuple[tuple[Path, tuple[Alias, ...]], ...]:
    """Where a record and the records within have aliases."""
    everywhere: list[tuple[Path, type[BaseModel]]] = [((), record), *records_within(record)]
    return tuple((path, part.aliases) for path, part in everywhere if issubclass(part, Record) and part.aliases)


def gateway_faults(record: type[BaseModel], document: Mapping[str, Any]) -> list[Violation]:
    """What a complete document asks of this product's own gateways that they cannot do."""
    found = [
        Violation(place, wrong)
        for path, rule in marked(record, GatewayRule)
        for place, value in values_at(document, path)
        if (wrong := rule.check(value)) is not None
    ]
    found += [
        Violation(place, "vault references are not available on this gateway yet")
        for path, _ in marked(record, Referenceable)
        for place, value in values_at(document, path)
        if is_reference(value)
    ]
    return found


def _record_type(annotation: Any) -> bool:
    candidates = (annotation, *get_args(annotation))
    return any(isinstance(part, type) and issubclass(part, Record) for part in candidates)


def _contains(annotation: Any, origin: type) -> bool:
    return get_origin(annotation) is origin or any(_contains(part, origin) for part in get_args(annotation))


def default_of(record: type[BaseModel], name: str) -> Any:
    """The default of one field, None if it has none."""
    value = record.model_fields[name].get_default(call_default_factory=True)
    return None if value is PydanticUndefined else value
