"""Items of the transformers: `name:value`, split at the first colon; further colons belong to the value."""

import re
from typing import Final

from schema.patterns import regex_fault, together_fault
from schema.templates import template_fault
from schema.types import has_control_characters, is_header_name

_STATUS: Final = re.compile(r"[1-9][0-9]{2}(-[1-9][0-9]{2})?", re.ASCII)


def _header_fault(name: str) -> str | None:
    return None if is_header_name(name) else f"'{name}' is not a valid header"


def _missing_value(name: str, value: str) -> str | None:
    return None if value else f"key '{name}' has no value"


def header_name_fault(item: str) -> str | None:
    """What is wrong with the name of a header; a value after it does not matter."""
    return _header_fault(item.partition(":")[0])


def header_value_fault(item: str) -> str | None:
    """What is wrong with a header and its value, which may be empty."""
    name, colon, value = item.partition(":")
    if not colon:
        return f"invalid value: {name}"
    if has_control_characters(value):
        return f"the value of header '{name}' must not contain control characters"
    return _header_fault(name)


def filled_header_fault(item: str) -> str | None:
    """What is wrong with a header and its value, which must not be empty."""
    name, _, value = item.partition(":")
    return _missing_value(name, value) or header_value_fault(item)


def header_rename_fault(item: str) -> str | None:
    """What is wrong with `old:new` for headers."""
    name, _, value = item.partition(":")
    return _missing_value(name, value) or _header_fault(name) or _header_fault(value)


def removed_pattern(item: str) -> str | None:
    """The regex of `name:/regex/`, for the values of a header that are removed."""
    value = item.partition(":")[2]
    return value[1:-1] if len(value) > 1 and value.startswith("/") and value.endswith("/") else None


def removal_fault(item: str) -> str | None:
    """What is wrong with the regex in what is removed."""
    pattern = removed_pattern(item)
    return None if pattern is None or regex_fault(pattern) is None else f"not a valid regex: {pattern}"


def removals_fault(items: list[str]) -> str | None:
    """What is wrong with all regexes of what is removed."""
    return together_fault(pattern for item in items if (pattern := removed_pattern(item)) is not None)


def value_fault(item: str) -> str | None:
    """What is wrong with a name and its value."""
    name, _, value = item.partition(":")
    return _missing_value(name, value)


def template_value_fault(item: str) -> str | None:
    """What is wrong with a name and its value, which may hold templates."""
    name, _, value = item.partition(":")
    if (missing := _missing_value(name, value)) is not None:
        return missing
    if not name:
        return "key '' is empty"
    return uri_template_fault(value)


def header_template_fault(item: str) -> str | None:
    """What is wrong with the templates in a header's value."""
    return uri_template_fault(item.partition(":")[2])


def uri_template_fault(value: str) -> str | None:
    """What is wrong with the templates in a value that stands alone."""
    wrong = template_fault(value)
    return None if wrong is None else f"value '{value}' is not in supported format, error:{wrong}"


def status_fault(item: str) -> str | None:
    """What is wrong with a status or a range of them, as `200` or `200-299`."""
    return None if _STATUS.fullmatch(item) else f"invalid value: {item}"
