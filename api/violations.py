"""Pydantic's findings in the vocabulary of Konnect's `invalid_parameters`."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from core.errors import InvalidInput, Source, Violation
from schema.bounds import MOST_FINDINGS

_SOURCES: Final[dict[str, Source]] = {"body": "body", "query": "query", "path": "path", "header": "header"}

# Pydantic's type of error → (rule, what is wrong); clients know the rules by name.
_PLAIN: Final = {
    "missing": ("required", "is a required field"),
    "extra_forbidden": ("unknown_property", "is not a known property"),
    "string_type": ("is_string", "must be a string"),
    "bool_type": ("is_boolean", "must be true or false"),
    "bool_parsing": ("is_boolean", "must be true or false"),
    "int_type": ("is_integer", "must be an integer"),
    "int_parsing": ("is_integer", "must be an integer"),
    "int_from_float": ("is_integer", "must be an integer"),
    "float_type": ("is_number", "must be a number"),
    "float_parsing": ("is_number", "must be a number"),
    "list_type": ("is_array", "must be an array"),
    "tuple_type": ("is_array", "must be an array"),
    "dict_type": ("is_object", "must be an object"),
    "model_type": ("is_object", "must be an object"),
    "model_attributes_type": ("is_object", "must be an object"),
    "none_required": ("is_null", "must be null"),
    "uuid_type": ("is_uuid", "must be a UUID"),
    "uuid_parsing": ("is_uuid", "must be a UUID"),
    "datetime_type": ("is_date_time", "must be a date and time as in RFC 3339"),
    "datetime_parsing": ("is_date_time", "must be a date and time as in RFC 3339"),
    "datetime_from_date_parsing": ("is_date_time", "must be a date and time as in RFC 3339"),
    "timezone_aware": ("is_date_time", "must name its offset from UTC"),
    "string_pattern_mismatch": ("matches_regex", "has characters that are not allowed"),
    "json_invalid": ("invalid", "is not valid JSON"),
}

# Pydantic's type → (rule, context key of the bound, template).
_BOUNDS: Final = {
    "string_too_short": ("min_length", "min_length", "must have at least {} characters"),
    "string_too_long": ("max_length", "max_length", "must not have more than {} characters"),
    "too_short": ("min_items", "min_length", "must have at least {} items"),
    "too_long": ("max_items", "max_length", "must not have more than {} items"),
    "greater_than_equal": ("min", "ge", "must be at least {}"),
    "less_than_equal": ("max", "le", "must be at most {}"),
}


def from_pydantic(findings: Sequence[Any]) -> InvalidInput:
    """The findings of one validation as one error. Values are never repeated: they may be secrets. Of too many, the first."""
    listed = [_violation(cast("Mapping[str, Any]", finding)) for finding in findings[:MOST_FINDINGS]]
    if (unlisted := len(findings) - len(listed)) > 0:
        listed.append(Violation("body", f"has {unlisted} more violations that are not listed", source="body"))
    return InvalidInput(listed)


def path_of(location: Sequence[str | int]) -> str:
    """A dotted path with indexes in brackets: `proxy_urls[0].port`."""
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            path += f".{part}" if path else part
    return path


def _violation(finding: Mapping[str, Any]) -> Violation:
    location = list(finding["loc"])
    source = _SOURCES.get(str(location[0])) if location else None
    if finding["type"] == "json_invalid":
        return Violation("body", "is not valid JSON", source="body")
    field = path_of(location[1:] if source else location) or "body"
    kind, context = finding["type"], finding.get("ctx", {})
    if kind in _PLAIN:
        rule, reason = _PLAIN[kind]
        if field == "body" and kind == "missing":
            reason = "must not be empty"
        return Violation(field, reason, rule, source)
    if kind in _BOUNDS:
        rule, key, template = _BOUNDS[kind]
        bound = int(context[key])
        return Violation(field, template.format(bound), rule, source, bound=bound)
    if kind in {"literal_error", "enum"}:
        choices = _choices(str(context["expected"]))
        return Violation(field, f"must be one of {', '.join(choices)}", "enum", source, choices=choices)
    if kind == "violation":
        return Violation(field, str(context["reason"]), str(context["rule"]), source)
    return Violation(field, str(finding["msg"]), "invalid", source)


def _choices(expected: str) -> list[str]:
    """Pydantic says "'a', 'b' or 'c'"."""
    return [part.strip().strip("'") for part in expected.replace(" or ", ", ").split(",")]
