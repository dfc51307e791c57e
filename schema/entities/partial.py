"""The partial: a part of plugins' configurations that several plugins share."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field, ValidationError

from schema.base import Catalog, Document, Entity, EntitySpec, PartialConfig, Unique, sealed_paths
from schema.errors import Violation, violations_of
from schema.types import Name, Rule, ShortText
from schema.validation import broken_rules

_Config = type[PartialConfig]
_TYPES = ("embeddings", "model", "redis-ce", "redis-ee", "vectordb")


def _check_type(kind: str) -> str | None:
    return None if kind in _TYPES else f"expected one of: {', '.join(_TYPES)}"


class Partial(Entity):
    """A part of a configuration under a name of its own; plugins that link to it change with it."""

    spec: ClassVar[EntitySpec] = EntitySpec(
        plural="partials",
        singular="partial",
        natural_key="name",
        unique=(Unique(("name",)),),
        filters=("name",),
        config_by="type",
        gateways=False,
        example={"name": "counters", "type": "redis-ce", "config": {"host": "redis.example.com", "port": 6379}},
    )

    name: Name | None = None
    """Unique name, usable instead of the id."""
    type: Annotated[ShortText, Rule(_check_type, {"enum": list(_TYPES)})]
    """What it configures; fixed."""
    config: dict[str, Any] = Field(default_factory=dict[str, Any])
    """The shared part, complete after writing."""

    @classmethod
    def nested_records(cls) -> frozenset[str]:
        return super().nested_records() | {"config"}

    @classmethod
    def config_of(cls, kind: str, catalog: Catalog) -> _Config | None:
        return catalog.partial_config(kind)

    @classmethod
    def complete(cls, document: Document, catalog: Catalog) -> tuple[Document, list[Violation]]:
        kind, config = document.get("type"), document.get("config")
        declared = catalog.partial_config(kind) if isinstance(kind, str) else None
        if declared is None or not isinstance(config, (dict, type(None))):
            return document, []  # the fields' own rules report it
        given: Document = config or {}
        try:
            complete = declared.model_validate(given).model_dump()
        except ValidationError as error:
            wrong = violations_of(error)
            wrong += broken_rules(declared.checks, declared, given, wrong)
            return {**document, "config": {}}, [violation.below("config") for violation in wrong]
        broken = broken_rules(declared.checks, declared, complete, ())
        return {**document, "config": complete}, [violation.below("config") for violation in broken]

    @classmethod
    def sealed_paths(cls, document: Mapping[str, Any], catalog: Catalog) -> tuple[tuple[str, ...], ...]:
        declared = catalog.partial_config(document["type"])
        return () if declared is None else tuple(("config", *path) for path in sealed_paths(declared))
