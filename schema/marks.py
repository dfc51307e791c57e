"""Marks on fields that say more about a value than its type does."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

# `{vault://<name or prefix>/<resource>[/<key>][?options][#version]}`, the whole of the text.
_REFERENCE: Final = re.compile(r"\{vault://[^/?#{}]+/[^?#{}]*[^/?#{}][^?#{}]*(\?[^#{}]*)?(#\d+)?\}")
_LONGEST_REFERENCE: Final = 2048


def is_reference(value: object) -> bool:
    """Whether a value stands for a secret in a vault. Source: the reference grammar of Kong Gateway's vaults."""
    return isinstance(value, str) and len(value) <= _LONGEST_REFERENCE and _REFERENCE.fullmatch(value) is not None


@dataclass(frozen=True, slots=True)
class Sealed:
    """Marks a leaf that is encrypted at rest and in change records, and clear for its owner and for runtimes."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "x-encrypted": True}


@dataclass(frozen=True, slots=True)
class Referenceable:
    """Marks a leaf that may be a vault reference instead of a value: kept as written, and read by whoever uses it."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def check(value: Any, validate: core_schema.ValidatorFunctionWrapHandler) -> Any:
            return value if is_reference(value) else validate(value)

        as_it_is = core_schema.plain_serializer_function_ser_schema(lambda value: value)
        return core_schema.no_info_wrap_validator_function(check, handler(source), serialization=as_it_is)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "x-referenceable": True}


@dataclass(frozen=True, slots=True)
class Auto:
    """Marks a field that is given a value of its own making where it is left unset."""

    make: Callable[[], str]


@dataclass(frozen=True, slots=True)
class Deprecated:
    """Marks a field that is only there for old clients; `instead` is the dotted path of what replaces it, if anything."""

    instead: str | None = None

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "deprecated": True}


@dataclass(frozen=True, slots=True)
class GatewayRule:
    """A further rule of this product's own gateways: what they cannot do. `check` says what is wrong, or nothing.

    Control planes whose nodes their owners run themselves do not have it.
    """

    check: Callable[[Any], str | None]


@dataclass(frozen=True, slots=True)
class Shown:
    """What the published schema says of a type that is more to the validator than to the reader."""

    type: str

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        del schema, handler
        return {"type": self.type}
