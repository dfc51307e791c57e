"""All declared entities, plugins and partials: found in their folders, looked up here and nowhere else."""

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType, ModuleType
from typing import Any, TypeVar

import schema.entities
import schema.partials
import schema.plugins
from schema.base import Catalog, Document, Entity, PartialConfig, PluginConfig, ReferenceField
from schema.validation import merge, parse

T = TypeVar("T")


class DuplicateDeclaration(TypeError):
    """Two declarations claim the same name."""


class Registry:
    """Declarations by name. Entities are ordered so that each comes after those it refers to."""

    def __init__(
        self,
        entities: Iterable[type[Entity]],
        plugins: Iterable[type[PluginConfig]],
        partials: Iterable[type[PartialConfig]] = (),
    ) -> None:
        by_plural: dict[str, type[Entity]] = {}
        for entity in entities:
            _claim(by_plural, entity.spec.plural, entity)
        singulars: dict[str, type[Entity]] = {}
        for entity in by_plural.values():
            _claim(singulars, entity.spec.singular, entity)
        by_name: dict[str, type[PluginConfig]] = {}
        for plugin in plugins:
            _claim(by_name, plugin.spec.name, plugin)
        by_kind: dict[str, type[PartialConfig]] = {}
        for partial in partials:
            _claim(by_kind, partial.kind, partial)
        self.entities: Mapping[str, type[Entity]] = MappingProxyType(_dependency_order(by_plural))
        self.plugins: Mapping[str, type[PluginConfig]] = MappingProxyType(dict(sorted(by_name.items())))
        self.partials: Mapping[str, type[PartialConfig]] = MappingProxyType(dict(sorted(by_kind.items())))

    def plugin_config(self, name: str) -> type[PluginConfig] | None:
        """The configuration class of a plugin, None for an unknown one."""
        return self.plugins.get(name)

    def partial_config(self, kind: str) -> type[PartialConfig] | None:
        """The configuration class of a type of partials, None for an unknown one."""
        return self.partials.get(kind)

    def find(self, plural: str, reference: Mapping[str, Any]) -> Document | None:
        """Declarations alone know no entities."""
        del plural, reference

    def knowing(self, find: Callable[[str, Mapping[str, Any]], Document | None]) -> Catalog:
        """These declarations together with someone who finds entities."""
        return _Neighbourhood(self, find)

    def parse(self, entity: type[Entity], document: object, catalog: Catalog | None = None) -> Document:
        """The complete, valid document of an entity: defaults filled, null where unset, references as records.

        `catalog` is who knows the entities that this one names. Raises: SchemaViolation: with everything that is wrong.
        """
        return parse(entity, document, catalog or self).document()

    def patch(self, entity: type[Entity], stored: Document, change: object, catalog: Catalog | None = None) -> Document:
        """The complete, valid document after a PATCH.

        Raises: SchemaViolation: with everything that is wrong.
        """
        return self.parse(entity, merge(entity, stored, change, catalog or self), catalog)

    def sealed_paths(self, entity: type[Entity], document: Mapping[str, Any]) -> tuple[tuple[str, ...], ...]:
        """Where this document holds leaves that are encrypted at rest; `*` stands for every item."""
        return entity.sealed_paths(document, self)

    def references_to(self, plural: str) -> Iterator[tuple[type[Entity], ReferenceField]]:
        """Every field of every entity that refers to this kind."""
        for entity in self.entities.values():
            for reference in entity.references():
                if reference.ref.to == plural:
                    yield entity, reference

    def nested(self) -> Iterator[tuple[type[Entity], type[Entity], ReferenceField]]:
        """(parent, child, the child's field) for every child that is also mounted below its parent."""
        for parent in self.entities.values():
            for child, reference in self.references_to(parent.spec.plural):
                if reference.ref.nested:
                    yield parent, child, reference


@dataclass(frozen=True, slots=True)
class _Neighbourhood:
    declarations: Registry
    finder: Callable[[str, Mapping[str, Any]], Document | None]

    def plugin_config(self, name: str) -> type[PluginConfig] | None:
        return self.declarations.plugin_config(name)

    def partial_config(self, kind: str) -> type[PartialConfig] | None:
        return self.declarations.partial_config(kind)

    def find(self, plural: str, reference: Mapping[str, Any]) -> Document | None:
        return self.finder(plural, reference)


@cache
def registry() -> Registry:
    """The declarations of this program."""
    return Registry(
        _declared(schema.entities, Entity),
        _declared(schema.plugins, PluginConfig),
        _declared(schema.partials, PartialConfig),
    )


def _declared(package: ModuleType, base: type[T]) -> Iterator[type[T]]:
    for module_info in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        module = importlib.import_module(module_info.name)
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, base) and value.__module__ == module.__name__:
                yield value


def _claim(names: dict[str, T], name: str, value: T) -> None:
    if name in names:
        raise DuplicateDeclaration(f"{name!r} is declared twice")
    names[name] = value


def _dependency_order(entities: Mapping[str, type[Entity]]) -> dict[str, type[Entity]]:
    ordered: dict[str, type[Entity]] = {}

    def place(plural: str, above: tuple[str, ...]) -> None:
        if plural in ordered or plural in above or plural not in entities:
            return
        for reference in entities[plural].references():
            place(reference.ref.to, (*above, plural))
        ordered[plural] = entities[plural]

    for plural in sorted(entities):
        place(plural, ())
    return ordered
