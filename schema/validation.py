"""From a JSON document to a valid entity, or to the complete list of what is wrong with it."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from schema.base import Catalog, Check, Document, Entity, Record, default_of
from schema.bounds import MOST_VALUES, holds_more_than
from schema.errors import SchemaViolation, Violation, violations_of
from schema.walk import records_within, values_at

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
    if not entity.spec.tagged and whole.get("tags") is not None:
        found.append(Violation("tags", "unknown field"))
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


def nested_faults(record: type[Record], document: Mapping[str, Any]) -> list[Violation]:
    """Violations of the cross-field rules of the records within a valid, complete document."""
    return [
        violation.below(place)
        for path, inner in records_within(record)
        if issubclass(inner, Record)
        for place, part in (values_at(document, path) if inner.checks else ())
        for check in inner.checks
        for violation in check.violations(part)
    ]


def merge(entity: type[Entity], stored: Document, change: object, catalog: Catalog) -> Document:
    """The document a PATCH asks for: `change` laid over `stored`; null unsets, records merge one level deep.

    Raises: SchemaViolation: the change is no object or a shorthand in it is wrong.
    """
    if not isinstance(change, dict):
        raise SchemaViolation([Violation("", "expected a record")])
    patch: Document = {str(key): value for key, value in change.items()}
    patch, found = entity.expand(patch)
    if found:
        raise SchemaViolation(found)
    return entity.lay_over(stored, patch, catalog)
