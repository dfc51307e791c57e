"""From a JSON document to a valid entity, or to the complete list of what is wrong with it."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from schema.base import Catalog, Check, Document, Entity, default_of
from schema.bounds import MOST_VALUES, holds_more_than
from schema.errors import SchemaViolation, Violation, violations_of

E = TypeVar("E", bound=Entity)

_FIRST_STEP: Final = re.compile(r"[.\[]")


def parse(entity: type[E], document: object, catalog: Catalog) -> E:
    """Validate a whole entity: shorthands expanded, nulls replaced by defaults, every rule checked.

    Raises: SchemaViolation: with all violations, not only the first.
    """
    if not isinstance(document, dict):
        raise SchemaViolation([Violation("", "expected a record")])
    if holds_more_than(MOST_VALUES, document):
        raise SchemaViolation([Violation("", f"must not hold more than {MOST_VALUES} values")])
    whole: Document = {str(key): value for key, value in document.items()}
    whole, found = entity.expand(whole)
    whole, more = entity.complete(whole, catalog)
    found = [*found, *more]
    parsed: E | None = None
    try:
        parsed = entity.model_validate(whole)
    except ValidationError as error:
        found.extend(violations_of(error))
    found.extend(broken_rules(entity.spec.checks, entity, whole, found))
    if found or parsed is None:
        raise SchemaViolation(found)
    return parsed


def broken_rules(
    checks: Sequence[Check], record: type[BaseModel], document: Mapping[str, Any], wrong: Iterable[Violation]
) -> list[Violation]:
    """Violations of the cross-field rules, without those that read a field which is itself `wrong`."""
    invalid = {_FIRST_STEP.split(violation.field, maxsplit=1)[0] for violation in wrong}
    filled: dict[str, Any] = {}
    for name in record.model_fields:
        value = document.get(name)
        filled[name] = default_of(record, name) if value is None else value
    return [violation for check in checks if not check.fields & invalid for violation in check.violations(filled)]


def merge(entity: type[Entity], stored: Document, change: object) -> Document:
    """The document a PATCH asks for: `change` laid over `stored`; null unsets, records merge one level deep.

    Raises: SchemaViolation: the change is no object or a shorthand in it is wrong.
    """
    if not isinstance(change, dict):
        raise SchemaViolation([Violation("", "expected a record")])
    patch: Document = {str(key): value for key, value in change.items()}
    patch, found = entity.expand(patch)
    if found:
        raise SchemaViolation(found)
    records = entity.nested_records()
    merged = dict(stored)
    for name, value in patch.items():
        below: Any = stored.get(name)
        merged[name] = {**below, **value} if name in records and _both_maps(below, value) else value
    return merged


def _both_maps(one: object, other: object) -> bool:
    return isinstance(one, dict) and isinstance(other, dict)
