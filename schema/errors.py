"""What is wrong with a document: plain values, collected, never raised one at a time."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from schema.bounds import MOST_FINDINGS


@dataclass(frozen=True, slots=True, order=True)
class Violation:
    """One broken rule. `field` is a dotted path with indices (`config.add.headers[0]`); empty for the whole entity."""

    field: str
    message: str

    def below(self, prefix: str) -> "Violation":
        """The same violation seen from the document that holds this one under `prefix`."""
        if not self.field:
            return Violation(prefix, self.message)
        joint = "" if self.field.startswith("[") else "."
        return Violation(f"{prefix}{joint}{self.field}", self.message)


class SchemaViolation(ValueError):
    """A document breaks its schema; carries every violation, entity rules first, then sorted by field."""

    def __init__(self, violations: Iterable[Violation]) -> None:
        self.violations: tuple[Violation, ...] = tuple(sorted(set(violations)))
        super().__init__("; ".join(f"{v.field or '@entity'}: {v.message}" for v in self.violations))


def dotted(location: Sequence[str | int]) -> str:
    """A path in the form the API reports: `hosts[1]`, `headers.x-a[0]`."""
    path = ""
    for step in location:
        if step == "[key]":
            continue
        if isinstance(step, int):
            path += f"[{step}]"
        else:
            path += f".{step}" if path else step
    return path


# Kong's wording for the type errors that pydantic finds by itself; users search for these texts.
_MESSAGES: Final = {
    "missing": "required field missing",
    "extra_forbidden": "unknown field",
    "string_type": "expected a string",
    "string_unicode": "expected valid UTF-8",
    "int_type": "expected an integer",
    "int_parsing": "expected an integer",
    "int_from_float": "expected an integer",
    "float_type": "expected a number",
    "bool_type": "expected a boolean",
    "list_type": "expected an array",
    "dict_type": "expected a map",
    "model_type": "expected a record",
    "model_attributes_type": "expected a record",
    "none_required": "value must be null",
}


def violations_of(error: ValidationError) -> list[Violation]:
    """Translate pydantic's findings; input values are left out, for they may be secrets. Of too many, the first ones."""
    found: list[Violation] = []
    if (unlisted := error.error_count() - MOST_FINDINGS) > 0:
        found.append(Violation("", f"{unlisted} more violations are not listed"))
    for item in error.errors(include_url=False, include_input=False)[:MOST_FINDINGS]:
        context: dict[str, Any] = item.get("ctx", {})
        if item["type"] == "literal_error":
            message = "expected one of: " + str(context["expected"]).replace("'", "").replace(" or ", ", ")
        else:
            message = _MESSAGES.get(item["type"], item["msg"])
        found.append(Violation(dotted(item["loc"]), message))
    return found
