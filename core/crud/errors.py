"""What can go wrong with an entity, as facts."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.errors import DomainError
from schema.declarative import DeclarativeError
from schema.errors import Violation


class EntityError(DomainError):
    """Root of the engine's refusals."""

    code = "entity-error"


class InvalidEntity(EntityError):
    """The document breaks its schema or a rule across entities; holds every violation."""

    code = "invalid-entity"

    def __init__(self, violations: Iterable[Violation]) -> None:
        self.violations = tuple(sorted(set(violations)))
        super().__init__("validation error")


class InvalidConfiguration(EntityError):
    """A whole configuration is not as its declarations say; holds everything that is wrong with it."""

    code = "invalid-configuration"

    def __init__(self, errors: Sequence[DeclarativeError], *, flatten: bool = False) -> None:
        super().__init__("declarative config is invalid")
        self.errors = tuple(errors)
        self.flatten = flatten


class InvalidRequest(EntityError):
    """Something about the request itself is wrong: an id, a page, a filter."""

    code = "invalid-entity-request"


class KeyTaken(EntityError):
    """Another entity of the same control plane has this key. `key` maps the fields to the values asked for."""

    code = "entity-key-taken"

    def __init__(self, plural: str, key: Mapping[str, Any]) -> None:
        super().__init__("data constraint error", context={"kind": plural})
        self.plural = plural
        self.key = dict(key)


@dataclass(frozen=True, slots=True)
class MissingTarget:
    """A reference to nothing: which field, to what kind, and what it said."""

    field: str
    plural: str
    value: str


class ReferenceMissing(EntityError):
    """References to entities that do not exist in this control plane."""

    code = "entity-reference-missing"

    def __init__(self, missing: Sequence[MissingTarget]) -> None:
        super().__init__("data constraint error", context={"fields": [item.field for item in missing]})
        self.missing = tuple(missing)


class ReferencedByOthers(EntityError):
    """The entity cannot be deleted while others point at it."""

    code = "entity-referenced-by-others"

    def __init__(self, plural: str, by: str) -> None:
        super().__init__(f"an existing '{by}' entity references this '{plural}' entity", context={"kind": plural})
        self.plural = plural
        self.by = by


class UsageConstraint(EntityError):
    """The control plane takes no entities from here, or no more of them."""

    code = "entity-usage-constraint"

    def __init__(self, reason: str) -> None:
        super().__init__("usage constraint error")
        self.reason = reason
